"""Installation as soon as rq is imported, by whoever imports it.

The .pth file of the package runs this in programs that may never import rq: it has to cost next to nothing, so it uses
only what every interpreter has loaded at its start.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

DISABLE = 'RQREG_EXT_DISABLE'


def is_disabled() -> bool:
    """Tell whether an operator does not want us in this process."""
    return os.environ.get(DISABLE, '0') not in ('', '0')


def wait_for_rq() -> None:
    """Install in the thread that imports rq, before its import returns."""
    if not is_waiting() and not is_disabled():
        sys.meta_path.insert(0, _Finder())


def is_waiting() -> bool:
    """Tell whether rq is still waited for."""
    return any(type(finder) is _Finder for finder in sys.meta_path)


def stop_waiting() -> None:
    """Do nothing when rq is imported."""
    for finder in [finder for finder in sys.meta_path if type(finder) is _Finder]:
        sys.meta_path.remove(finder)


class _Finder:
    """Finds rq as the other finders do, and hangs itself into its loading."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of rq, with a loader that installs when it is done; None for any other module."""
        if name != 'rq':
            return None
        for finder in sys.meta_path:
            find_spec = None if finder is self else getattr(finder, 'find_spec', None)
            spec: ModuleSpec | None = None if find_spec is None else find_spec(name, path, target)
            if spec is not None:
                # A program may have an rq.py of its own, which is no package.
                if spec.submodule_search_locations is not None and hasattr(spec.loader, 'exec_module'):
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """The loader of rq, and more at its end. The module has its own loader again before any of its code runs."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code, then install."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        stop_waiting()
        from .installation import install_in_rq

        install_in_rq()

    # What fails in rq has the traceback that it would have without us, and a warning points to whoever imports: the
    # interpreter passes over the frames of its import system, and this is one.
    exec_module.__code__ = exec_module.__code__.replace(co_filename='<frozen importlib._bootstrap_external>')
