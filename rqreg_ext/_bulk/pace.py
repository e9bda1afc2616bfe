"""`rate=`: how fast a call may change jobs."""

from __future__ import annotations

import time
from typing import Any

from .._query.arguments import rate_of

# Seconds: the jobs of one period are changed together, and a delay of up to one period is made up for.
_PERIOD = 0.1
# time.sleep() does not take any number of seconds.
_LONGEST_SLEEP = 3600.0


class Pace:
    """Has a call wait before each chunk, so that it changes no more than `rate` jobs per second.

    The first job is due at once: after some seconds, no more than rate * seconds + 1 jobs were changed. Time in which
    nothing was changed is not made up for.

    Attributes:
        rate: The jobs per second.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._most = max(1, int(rate * _PERIOD))
        # When the job was due that was changed last; before the first chunk, None.
        self._last: float | None = None

    @classmethod
    def of(cls, rate: Any) -> Pace | None:
        """Return the pace for `rate`: a number, None, or a Pace that several calls share. Raises as rate_of()."""
        if rate is None or isinstance(rate, Pace):
            return rate
        return cls(rate_of(rate))

    def wait(self, count: int) -> int:
        """Wait until the next jobs may be changed; return how many of these `count`."""
        count = min(count, self._most)
        if self._last is None:
            self._last = time.monotonic() - 1 / self.rate
        while (seconds := self._last + count / self.rate - time.monotonic()) > 0:
            time.sleep(min(seconds, _LONGEST_SLEEP))
        return count

    def note(self, changed: int) -> None:
        """Note how many of them were changed: the call does not wait for jobs that were skipped."""
        if self._last is not None:
            not_before = time.monotonic() - max(_PERIOD, 1 / self.rate)
            self._last = max(self._last + changed / self.rate, not_before)
