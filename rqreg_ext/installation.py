"""install(): our registries wherever a program holds RQ's.

Installing into a program that has not imported rq costs it nothing until it does: the rest is in _replacement/.
"""

from __future__ import annotations

import sys
from _thread import RLock

from . import _import_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._replacement import Left, Replaced, Replacement

_lock = RLock()
_replacement: Replacement | None = None


class Report:
    """What install() did.

    replaced: (place, name) of each place that holds our class instead of RQ's of that name.
    left: (place, name, reason) of each place that still holds RQ's class.
    reason: why nothing is replaced, if nothing is: rq is not imported yet, or cannot be used, or an operator said no.
    notes: what else there is to know, as sentences.
    """

    __slots__ = ('left', 'notes', 'reason', 'replaced')

    def __init__(
        self,
        reason: str = '',
        replaced: tuple[Replaced, ...] = (),
        left: tuple[Left, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        self.reason = reason
        self.replaced = replaced
        self.left = left
        self.notes = notes

    def __repr__(self) -> str:
        return f'<rqreg_ext Report: {len(self.replaced)} replaced, {len(self.left)} left, {self.reason or "installed"}>'

    def __str__(self) -> str:
        lines = [self.reason or f'rqreg_ext is installed: {len(self.replaced)} replaced, {len(self.left)} left']
        lines += [f'  replaced {place}' for place, _ in self.replaced]
        lines += [f'  left {place}: {reason}' for place, _, reason in self.left]
        lines += [f'  note: {note}' for note in self.notes]
        return '\n'.join(lines)


def install() -> Report:
    """Put our registries in the place of RQ's in every loaded module, and in those loaded later.

    Where rq is not imported yet, it is not imported now: they are replaced when it is. rq.Queue, rq.Worker and the
    other classes of RQ stay the same objects; their registries are ours. Calling it again replaces what came since.

    Returns a Report of what was replaced and what was left, and why; the same goes to the logger "rqreg_ext" at DEBUG.
    Does nothing where the environment has RQREG_EXT_DISABLE=1, where rq is missing, or too old. Raises nothing, prints
    nothing, and costs no round trip. Thread-safe.
    """
    if _import_hook.is_disabled():
        return Report(f'rqreg_ext is not installed: the environment has {_import_hook.DISABLE} set')
    if 'rq' in sys.modules:
        return _replace(everywhere=True)
    with _lock:
        _import_hook.wait_for_rq()
    return Report('rqreg_ext is not installed yet: it will be when the program imports rq')


def uninstall() -> None:
    """Put RQ's own classes, the identical objects, back where install() put ours, and where ours came from there since.

    Names that a module imports from rqreg_ext itself stay ours. Registries that exist already, and classes derived from
    ours, go on as they are. Does nothing where nothing is installed. Thread-safe.
    """
    global _replacement
    with _lock:
        _import_hook.stop_waiting()
        if _replacement is not None:
            _replacement.restore()
            _replacement = None


def is_installed() -> bool:
    """Tell whether our registries are in the place of RQ's, or will be as soon as rq is imported."""
    return _replacement is not None or _import_hook.is_waiting()


def install_in_rq() -> None:
    """Replace RQ's classes where they are when rq has just been imported; our failure is no failure of that import."""
    try:
        _replace(everywhere=False)
    except Exception:
        from logging import getLogger

        getLogger('rqreg_ext').debug('rqreg_ext is not installed', exc_info=True)


def _replace(everywhere: bool) -> Report:
    global _replacement
    # Imported before the lock is taken: who imports rq in another thread may wait for the lock in its turn.
    try:
        from ._replacement import Replacement
    except ImportError as error:
        from logging import getLogger

        getLogger('rqreg_ext').debug('rqreg_ext is not installed: %s', error)
        return Report(f'rqreg_ext is not installed: {error}')
    with _lock:
        if _replacement is None:
            _replacement = Replacement()
        _replacement.replace(everywhere)
        return Report('', tuple(_replacement.replaced), tuple(_replacement.left), tuple(_replacement.notes))
