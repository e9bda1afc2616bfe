"""`rqreg exporter` as a process that serves, and what it answers."""

from __future__ import annotations

import gzip
import ssl
import time
import urllib.request
from contextlib import suppress
from types import TracebackType
from typing import Any

from cli.running import SECONDS, Command
from prometheus_client.parser import text_string_to_metric_families

# The samples of a scrape: their values by name and labels.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_in(text: str) -> Samples:
    """Return the samples of a text in the Prometheus format."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """Return the value of a sample; None if there is none."""
    return samples.get((name, frozenset(labels.items())))


def named(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of the samples of this name, by the values of their labels, ordered by the labels' names."""
    return {tuple(text for _, text in sorted(labels)): found for (one, labels), found in samples.items() if one == name}


class Serving:
    """An exporter that serves, of the Redis of a command; a context manager.

    Attributes:
        said: The lines that it has written to stderr when it began to serve.
    """

    def __init__(self, command: Command, *arguments: str) -> None:
        self.process = command.start('exporter', '--port', '0', *arguments)
        assert self.process.stderr is not None
        self.said = self.process.stderr.readline()
        assert self.said.startswith('rqreg: serving '), self.said + self.process.stderr.read()
        self.url = self.said.split()[2]
        self.root = self.url.removesuffix('/metrics')

    def get(self, path: str = '/metrics', **headers: str) -> tuple[str, Any]:
        """Return the text at a path, and the headers."""
        context = ssl._create_unverified_context() if self.url.startswith('https') else None
        request = urllib.request.Request(self.root + path, headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS, context=context) as answer:
            body = answer.read()
            if answer.headers['Content-Encoding'] == 'gzip':
                body = gzip.decompress(body)
            return body.decode(), answer.headers

    def scrape(self) -> Samples:
        """Return the samples."""
        return samples_in(self.get()[0])

    def scrape_until(self, name: str, expected: float | None, **labels: str) -> Samples:
        """Scrape until a sample has this value; return all samples of that scrape."""
        deadline = time.monotonic() + SECONDS
        while True:
            samples = self.scrape()
            if value(samples, name, **labels) == expected:
                return samples
            assert time.monotonic() < deadline, samples
            time.sleep(0.1)

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; return the exit status, and what was written to stderr since it began to serve."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, err

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        # Its pipes are closed after end().
        with suppress(ValueError):
            self.process.communicate(timeout=SECONDS)
