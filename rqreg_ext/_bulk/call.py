"""What is known of a call on many jobs when it ends, in whatever way: its result has that, and so has its exception."""

from __future__ import annotations

import time
from typing import Any

from .._query.arguments import progress_of
from .result import BulkResult


class ResultAttacher:
    """A context manager: an exception that leaves its block, of whatever kind, gets the result as its `result`.

    Attributes:
        result: A BulkResult or a BulkResults.
    """

    def __init__(self, result: Any) -> None:
        self.result = result

    def __enter__(self) -> ResultAttacher:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None:
            self.result.interrupted = True
            error.result = self.result  # type: ignore[attr-defined]


class BulkCall(ResultAttacher):
    """The block of a call that has a BulkResult: the time, what remains at the end, and progress().

    Attributes:
        result: The BulkResult.
        total: How many entries, or ids, there are to look at; None if that is unknown.
        looked_at: How many of these are done with.
    """

    result: BulkResult

    def __init__(self, progress: Any, dry_run: Any = False) -> None:
        super().__init__(BulkResult(dry_run=bool(dry_run)))
        self.total: int | None = None
        self.looked_at = 0
        self._progress = progress_of(progress)
        self._leaves_rest = False

    def __enter__(self) -> BulkCall:
        self._started = time.monotonic()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        super().__exit__(kind, error, traceback)
        self.result.seconds = time.monotonic() - self._started
        if self._leaves_rest or error is not None:
            # Other clients may have removed entries during the call.
            self.result.remaining = None if self.total is None else max(0, self.total - self.looked_at)

    def end(self, result: BulkResult) -> None:
        """Note the end of this call in the result of a part of it."""
        of_all = self.result
        result.seconds, result.remaining = of_all.seconds, of_all.remaining
        result.stopped, result.interrupted = of_all.stopped, of_all.interrupted

    @property
    def has_progress(self) -> bool:
        """Whether progress() was given."""
        return self._progress is not None

    def leave_rest(self) -> None:
        """Note that the call ends before it has looked at all."""
        self._leaves_rest = True

    def report(self, processed: int, total: int | None) -> bool:
        """Call progress(); return whether to go on."""
        if self._progress is not None and self._progress(processed, total) is False:
            self.result.stopped = True
        return not self.result.stopped
