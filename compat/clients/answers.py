"""Answers over HTTP, and what two equal ones cannot have in common."""

from __future__ import annotations

import difflib
import http.client
import re
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

LIMIT_SECONDS = 900
LINES_SHOWN = 12


@dataclass(frozen=True)
class Request:
    """A request: with a form it is a POST."""

    path: str
    form: Mapping[str, str | list[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What a report calls it."""
        return f'{"GET" if self.form is None else "POST"} {self.path}'


@dataclass(frozen=True)
class Answer:
    """The answer to a request: its headers in the order in which they came."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    seconds: float

    def text(self) -> str:
        """Return all of it, line by line."""
        lines = [str(self.status), *(f'{name}: {value}' for name, value in self.headers)]
        return '\n'.join([*lines, '', self.body])

    def header(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for found, value in self.headers if found.lower() == name.lower()]


@dataclass(frozen=True)
class Mask:
    """What differs by nature: a pattern with one group, which is replaced by the name of what it is."""

    name: str
    pattern: re.Pattern[str]

    def apply(self, text: str) -> str:
        """Return the text without it."""
        return self.pattern.sub(self._replaced, text)

    def _replaced(self, match: re.Match[str]) -> str:
        start, end = match.start(1) - match.start(), match.end(1) - match.start()
        return f'{match[0][:start]}<{self.name}>{match[0][end:]}'


def mask(name: str, pattern: str) -> Mask:
    """Return a mask; in the pattern ^ and $ are the ends of a line."""
    return Mask(name, re.compile(pattern, re.MULTILINE))


# The moment of the answer.
DATE = mask('date', r'^Date: (.*)$')


def ask(port: int, request: Request, cookies: dict[str, str] | None = None) -> Answer:
    """Send a request with the cookies, and keep those that the answer sets; a redirection is an answer like others."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=LIMIT_SECONDS)
    headers = dict(request.headers)
    if cookies:
        headers['Cookie'] = '; '.join(f'{name}={value}' for name, value in cookies.items())
    body = None
    if request.form is not None:
        body = urllib.parse.urlencode(request.form, doseq=True)
        headers['Content-Type'] = 'application/x-www-form-urlencoded'
    start = time.perf_counter()
    try:
        connection.request('GET' if request.form is None else 'POST', request.path, body, headers)
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    answer = Answer(
        response.status, tuple(response.getheaders()), content.decode(errors='replace'), time.perf_counter() - start
    )
    if cookies is not None:
        for value in answer.header('Set-Cookie'):
            name, _, rest = value.partition('=')
            cookies[name] = rest.partition(';')[0]
    return answer


@dataclass
class Browser:
    """A visitor of a site: the cookies that were set go along with each request."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, request: Request, form_token: str = '') -> Answer:
        """Send a request; `form_token` names the field and the cookie that a site wants to see again in each form."""
        if form_token and request.form is not None:
            field_name, cookie = form_token.split('=')
            request = Request(request.path, {**request.form, field_name: self.cookies[cookie]}, request.headers)
        return ask(self.port, request, self.cookies)


def text_differences(plain: str, ours: str, masks: Iterable[Mask]) -> list[str]:
    """Return the lines that differ between two texts, apart from what the masks name."""
    for one in masks:
        plain, ours = one.apply(plain), one.apply(ours)
    if plain == ours:
        return []
    found = difflib.unified_diff(plain.split('\n'), ours.split('\n'), 'plain', 'accelerated', lineterm='', n=0)
    return [line[:300] for line, _ in zip(found, range(LINES_SHOWN), strict=False)]
