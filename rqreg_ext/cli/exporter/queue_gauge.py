"""A gauge of all queues, which is written without an object for each of its samples. Needs prometheus_client."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample


class QueueGauge(Metric):
    """A gauge with a value for each queue, or for each queue and status.

    Attributes:
        statuses: The statuses; none if there is one value for each queue.
        rows: The name of each queue, and its values in the order of the statuses.
    """

    def __init__(self, name: str, documentation: str, statuses: tuple[str, ...] = ()) -> None:
        super().__init__(name, documentation, 'gauge')
        self.statuses = statuses
        self.rows: list[tuple[str, Sequence[float]]] = []
        # These are made if prometheus_client asks for them.
        del self.samples

    @cached_property
    def samples(self) -> list[Sample]:  # type: ignore[override]
        """The samples, as other metrics have them."""
        return [
            Sample(self.name, labels, value)
            for queue, values in self.rows
            for labels, value in zip(labels_of(self.statuses, queue), values, strict=True)
        ]


def labels_of(statuses: Sequence[str], queue: str) -> list[dict[str, str]]:
    """Return the labels of each value of a queue."""
    return [{'queue': queue, 'status': status} for status in statuses] or [{'queue': queue}]
