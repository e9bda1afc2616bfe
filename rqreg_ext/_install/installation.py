"""install(), uninstall() and is_installed().

This module does not import rq. The replacement itself is in replacement.py, which is loaded when rq is.
"""

from __future__ import annotations

import sys
from _thread import RLock

from . import import_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .replacement import Left, Replaced, Replacement

_lock = RLock()
_replacement: Replacement | None = None


class InstallReport:
    """The result of install(): what was replaced, and what was not. As a str, it is a report to print.

    As a bool, it is False if nothing is replaced now, and nothing will be when rq is imported.

    Attributes:
        replaced (tuple): (place, name) of each variable, attribute or item that now holds our class instead of RQ's.
            `place` is its path, such as 'package.module.NAME'; `name` is the name of the class.
        left (tuple): (place, name, reason) of each place that still holds RQ's class.
        reason (str): Why nothing was replaced: rq is not imported yet, is missing or too old, or RQREG_EXT_DISABLE is
            set. Empty if the registries were replaced.
        notes (tuple): Further information, as sentences.
    """

    __slots__ = ('_is_installed', 'left', 'notes', 'reason', 'replaced')

    def __init__(
        self,
        reason: str = '',
        replaced: tuple[Replaced, ...] = (),
        left: tuple[Left, ...] = (),
        notes: tuple[str, ...] = (),
        is_waiting: bool = False,
    ) -> None:
        self._is_installed = is_waiting or not reason
        self.reason = reason
        self.replaced = replaced
        self.left = left
        self.notes = notes

    def __bool__(self) -> bool:
        """Return whether the registries are replaced, or will be when rq is imported."""
        return self._is_installed

    def __repr__(self) -> str:
        return f'<InstallReport: {len(self.replaced)} replaced, {len(self.left)} left, {self.reason or "installed"}>'

    def __str__(self) -> str:
        lines = [self.reason or f'rqreg_ext is installed: {len(self.replaced)} replaced, {len(self.left)} left']
        lines += [f'  replaced {place}' for place, _ in self.replaced]
        lines += [f'  left {place}: {reason}' for place, _, reason in self.left]
        lines += [f'  note: {note}' for note in self.notes]
        return '\n'.join(lines)


def install() -> InstallReport:
    """Replace RQ's registry classes by ours in every loaded module, and in modules that are loaded later.

    If rq is not imported yet, it is not imported now: the classes are replaced when it is. rq.Queue, rq.Worker and
    RQ's other classes stay the same objects, and use our registries. A second call also replaces what modules have
    imported since the first.

    The call does nothing if the environment variable RQREG_EXT_DISABLE is set, or if rq is missing or too old. It
    raises and prints nothing, logs to the logger 'rqreg_ext' at level DEBUG, and is thread-safe.

    Returns:
        An InstallReport.

    Round trips:
        None.
    """
    if import_hook.is_disabled():
        return InstallReport(f'rqreg_ext is not installed: the environment has {import_hook.DISABLE} set')
    if 'rq' in sys.modules:
        return _replace(in_all_modules=True)
    with _lock:
        import_hook.wait_for_rq(install_in_rq)
    return InstallReport('rqreg_ext is not installed yet: it will be when the program imports rq', is_waiting=True)


def uninstall() -> None:
    """Undo install(): put RQ's own classes, the identical objects, back into all modules.

    That includes modules that imported our classes from rq since. Names that a module imported from rqreg_ext stay
    ours, and so do existing registries and classes derived from ours. Without install() before, the call does nothing.
    It is thread-safe.

    Round trips:
        None.
    """
    global _replacement
    with _lock:
        import_hook.stop_waiting()
        if _replacement is not None:
            _replacement.restore()
            _replacement = None


def is_installed() -> bool:
    """Return whether RQ's registries are replaced by ours, or will be when rq is imported.

    Returns:
        A bool. It is also True if RQREG_EXT_INSTALL=1 or `python -m rqreg_ext` has installed the package.
    """
    return _replacement is not None or import_hook.is_waiting()


def install_in_rq() -> None:
    """Replace RQ's classes when rq has just been imported. Errors are logged: they must not make that import fail."""
    try:
        _replace(in_all_modules=False)
    except Exception:
        from logging import getLogger

        getLogger('rqreg_ext').debug('rqreg_ext is not installed', exc_info=True)


def _replace(in_all_modules: bool) -> InstallReport:
    global _replacement
    # Imported here for start-up time: it imports rq.
    # The import comes before the lock is taken: another thread that is importing rq may be waiting for the lock.
    try:
        from .replacement import Replacement
    except ImportError as error:
        from logging import getLogger

        getLogger('rqreg_ext').debug('rqreg_ext is not installed: %s', error)
        return InstallReport(f'rqreg_ext is not installed: {error}')
    with _lock:
        if _replacement is None:
            _replacement = Replacement()
        _replacement.replace(in_all_modules)
        return InstallReport('', tuple(_replacement.replaced), tuple(_replacement.left), tuple(_replacement.notes))
