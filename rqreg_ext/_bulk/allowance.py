"""`limit=` and `rate=` of one call: how many jobs it may change, and when."""

from __future__ import annotations

from typing import Any

from .._query.arguments import most_changes_of
from .pace import Pace
from .result import BulkResult


class Allowance:
    """How many jobs a call may still change. The result of the call tells how many it has changed.

    Attributes:
        pace: That of `rate=`; None without one, and in a dry run.
    """

    def __init__(self, result: BulkResult, limit: Any, rate: Any) -> None:
        self._result = result
        self._limit = most_changes_of(limit)
        pace = Pace.of(rate)
        self.pace = None if result.dry_run else pace
        # How many changed jobs the pace knows of.
        self._noted = 0

    @property
    def left(self) -> int | None:
        """How many jobs may still be changed; None without a limit."""
        return None if self._limit is None else self._limit - self._changed

    @property
    def is_used_up(self) -> bool:
        """Whether as many jobs were changed as may be."""
        return self._limit is not None and self._changed >= self._limit

    def wait(self, count: int) -> int:
        """Return how many of the next `count` jobs may be processed now, after waiting if there is a pace.

        It is 0 if as many jobs were changed as may be.
        """
        self.note_changes()
        if self.left is not None:
            count = min(count, self.left)
        return count if self.pace is None or not count else self.pace.wait(count)

    def note_changes(self) -> None:
        """Tell the pace how many jobs were changed since the last time."""
        if self.pace is not None:
            self.pace.note(self._changed - self._noted)
            self._noted = self._changed

    @property
    def _changed(self) -> int:
        return self._result.done + self._result.unconfirmed
