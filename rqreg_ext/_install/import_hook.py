"""An import hook that calls a function as soon as rq has been imported.

rqreg_ext.pth or rqreg_ext.start loads this module in programs that may never import rq. It must cost next to nothing,
so it imports only modules that every interpreter has already loaded at its start.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

INSTALL, DISABLE = 'RQREG_EXT_INSTALL', 'RQREG_EXT_DISABLE'
# In lower case. rqreg_ext.pth has the same.
OFF = ('', '0', 'false', 'no', 'off')


def is_requested() -> bool:
    """Return whether RQREG_EXT_INSTALL is set, and not to one of OFF."""
    return _is_on(INSTALL)


def is_disabled() -> bool:
    """Return whether RQREG_EXT_DISABLE is set, and not to one of OFF."""
    return _is_on(DISABLE)


def _is_on(variable: str) -> bool:
    return os.environ.get(variable, '').strip().lower() not in OFF


def wait_for_rq(install: Callable[[], None]) -> None:
    """Have the function called when rq is imported: in the importing thread, before the import returns."""
    if not is_waiting() and not is_disabled():
        sys.meta_path.insert(0, _Finder(install))


def is_waiting() -> bool:
    """Return whether the hook is active."""
    return any(type(finder) is _Finder for finder in sys.meta_path)


def stop_waiting() -> None:
    """Remove the hook."""
    for finder in [finder for finder in sys.meta_path if type(finder) is _Finder]:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds rq by the other finders, and wraps its loader."""

    def __init__(self, install: Callable[[], None]) -> None:
        self._install = install

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of rq with a wrapped loader; None for any other module."""
        if name != 'rq':
            return None
        for finder in sys.meta_path:
            find_spec = None if finder is self else getattr(finder, 'find_spec', None)
            spec: ModuleSpec | None = None if find_spec is None else find_spec(name, path, target)
            if spec is not None:
                # Only a package can be RQ: a program may have its own rq.py.
                if spec.submodule_search_locations is not None and hasattr(spec.loader, 'exec_module'):
                    spec.loader = _Loader(spec.loader, self._install)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Loads rq by its own loader, then calls the function.

    The module gets its own loader back before any of its code runs, so that nothing in rq can see the difference.
    """

    def __init__(self, loader: Any, install: Callable[[], None]) -> None:
        self._loader = loader
        self._install = install

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then call the function."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        stop_waiting()
        self._install()

    # The interpreter removes frames of its import system from tracebacks, and skips them when it attributes a warning.
    # With this file name our frame counts as one of them: an error or warning in rq looks as it would without the hook.
    exec_module.__code__ = exec_module.__code__.replace(co_filename='<frozen importlib._bootstrap_external>')
