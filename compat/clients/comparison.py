"""The steps of a client on both sides, one after the other: answers, keys left in Redis, and times."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from private_redis import free_port

from compat.clients import programs
from compat.clients.answers import DATE, Answer, Browser, Mask, Request, mask, text_differences
from compat.clients.keys import key_differences
from compat.clients.programs import Ended
from compat.clients.sides import OURS, PLAIN, SIDES, Population, Side
from compat.environments import ROOT, Environment


@dataclass(frozen=True)
class Row:
    """A step of a client: what it gave, the seconds on both sides, and how the sides differ."""

    client: str
    step: str
    result: str
    plain: float | None = None
    accelerated: float | None = None
    differences: list[str] = field(default_factory=list)


@dataclass
class Comparison:
    """One client on both sides, each on its copy of the population."""

    client: str
    population: Population
    environment: Environment
    masks: tuple[Mask, ...]
    rows: list[Row] = field(default_factory=list)
    turns: Iterator[int] = field(default_factory=count)
    # How long the longest step took on both sides together, since the keys were compared.
    longest: float = 0.0

    def __post_init__(self) -> None:
        self.population.copy()
        for side in SIDES:
            programs.require_effect(side, self.environment, self.population.url(side))

    def in_turn(self) -> Iterator[Side]:
        """Yield the sides for a step: each is first as often as the other."""
        start = time.monotonic()
        yield from SIDES if next(self.turns) % 2 == 0 else SIDES[::-1]
        self.longest = max(self.longest, time.monotonic() - start)

    def command(self, *words: str, keys: bool = False, masks: Iterable[Mask] = ()) -> None:
        """Compare a command that ends: what it prints, its exit status, and with `keys` also what is in Redis."""
        ended: dict[str, Ended] = {}
        for side in self.in_turn():
            url = self.population.url(side)
            ended[side.name] = programs.run(
                side, self.environment, [word.replace('{url}', url) for word in words], ROOT, RQ_REDIS_URL=url
            )
        plain, ours = ended[PLAIN.name], ended[OURS.name]
        found = [f'exit status {plain.status} of plain, {ours.status} of ours'] if plain.status != ours.status else []
        for of_plain, of_ours in ((plain.output, ours.output), (plain.errors, ours.errors)):
            found += text_differences(of_plain, of_ours, (*self.masks, *masks))
        found += self.keys() if keys else []
        result = f'exit status {plain.status}'
        self.rows.append(Row(self.client, ' '.join(words), result, plain.seconds, ours.seconds, found))

    def keys(self) -> list[str]:
        """Return how the keys differ after the steps since the last time."""
        clients = (self.population.client(side) for side in SIDES)
        # One side writes its times no later than the other is done with the same step; RQ counts in whole seconds.
        found = key_differences(*clients, seconds=self.longest + 1)
        self.longest = 0.0
        return found

    @contextlib.contextmanager
    def web(
        self, new_command: Callable[[Side, int], list[str]], folders: dict[str, Path] | None = None, **variables: str
    ) -> Iterator[Web]:
        """Serve with a command on both sides; `new_command` makes it for a side and a port."""
        with contextlib.ExitStack() as stack:
            browsers = {}
            for side in SIDES:
                port = free_port()
                folder = folders[side.name] if folders else Path(stack.enter_context(tempfile.TemporaryDirectory()))
                more = {**variables, 'RQ_REDIS_URL': self.population.url(side)}
                command = new_command(side, port)
                stack.enter_context(programs.serving(side, self.environment, command, folder, port, more))
                browsers[side.name] = Browser(port)
            yield Web(self, browsers)


@dataclass
class Web:
    """The servers of both sides."""

    comparison: Comparison
    browsers: dict[str, Browser]

    def ask(self, request: Request, expected: int = 200, form_token: str = '', keys: bool = False) -> Answer:
        """Send a request to both sides, compare, with `keys` also what is in Redis, and return plain's answer.

        `form_token`: see Browser.ask().
        """
        answers = {side.name: self.browsers[side.name].ask(request, form_token) for side in self.comparison.in_turn()}
        plain, ours = answers[PLAIN.name], answers[OURS.name]
        masks = (DATE, *self._ports(), *self.comparison.masks)
        found = text_differences(plain.text(), ours.text(), masks)
        if plain.status != expected:
            found.append(f'status {plain.status} of plain, {expected} was expected:\n{plain.body[-500:]}')
        found += self.comparison.keys() if keys else []
        row = Row(self.comparison.client, request.name, str(plain.status), plain.seconds, ours.seconds, found)
        self.comparison.rows.append(row)
        return plain

    def _ports(self) -> list[Mask]:
        ports = [browser.port for browser in self.browsers.values()]
        return [mask('port of the program', rf'127\.0\.0\.1:({port})\b') for port in ports]
