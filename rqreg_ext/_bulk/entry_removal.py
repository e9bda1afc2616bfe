"""Removing entries of a registry without deleting their jobs: a ZREM for many of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .._fastpath.dispatch import BulkDecision
from .._fastpath.exchange import INTEGER, ask
from .._fastpath.server_errors import is_denied
from .._query.membership import Members, in_chunks
from .chunk_sizer import FIRST_CHUNK
from .operation import BulkOperation, JobSteps
from .options import Options

# How many entries one ZREM removes.
_ENTRIES_PER_ZREM = 500


class EntryRemoval(BulkOperation):
    """An operation that removes entries with ZREM, and does not change the jobs."""

    def __init__(self, registry: Any, options: Options, decision: BulkDecision, steps: JobSteps) -> None:
        super().__init__(registry, options, decision, steps)
        self._members = Members(registry)
        # Whether the last ZREM was sent again after a lost connection, and may have been done twice.
        self._was_resent = False

    def _do_jobs(self, job_ids: list[str]) -> Iterator[int]:
        processed = 0
        while processed < len(job_ids):
            if self._processor.decide():
                chunk = job_ids[processed : processed + (self._chunk_size or _ENTRIES_PER_ZREM)]
                self._do_entries(chunk)
            else:
                chunk = job_ids[processed : processed + (self._chunk_size or FIRST_CHUNK)]
                for job_id in chunk:
                    self._do_one_by_rq(job_id)
            processed += len(chunk)
            yield processed

    def _do_entries(self, chunk: list[str]) -> None:
        self._was_resent = False
        for sent, done in in_chunks(chunk, self._count_members if self.result.dry_run else self._remove):
            if isinstance(done, UnicodeEncodeError):
                self.result.failed.append((sent[0], done))
                continue
            self.result.done += done
            if self._was_resent:
                self.result.unconfirmed += len(sent) - done
            else:
                self.result.missing += len(sent) - done

    def _remove(self, chunk: Sequence[str]) -> int:
        try:
            removed, *_ = ask(
                self._connection,
                [(INTEGER, 'ZREM', self._registry.key, *chunk), *self._replica_wait.commands()],
                self._note_resent,
            )
            self._is_acknowledged &= self._replica_wait.is_acknowledged
        except Exception as error:
            # RQ's loop over an empty registry sends no ZREM either.
            if not is_denied(error) or self._has_any(chunk):
                raise
            return 0
        return int(removed)

    def _note_resent(self) -> None:
        self._was_resent = True

    def _has_any(self, chunk: Sequence[str]) -> bool:
        """Tell whether any of the jobs is in the registry; True if the user has no right to see that."""
        try:
            return any(self._members.contain(chunk))
        except Exception as error:
            if not is_denied(error):
                raise
            return True

    def _count_members(self, chunk: Sequence[str]) -> int:
        return sum(self._members.contain(chunk))
