"""Where pages show what was measured: between two comments, which `python -m benchmarks.publish` fills."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .child import ROOT

README = ROOT / 'README.md'
PAGE = ROOT / 'docs' / 'benchmarks.md'


@dataclass(frozen=True)
class Place:
    """A place in a page."""

    path: Path
    begin: str
    end: str

    def filled(self, text: str, content: str) -> str:
        """Return the text of the page with the content between the comments. Raises SystemExit without a place."""
        before, begin, rest = text.partition(self.begin)
        _, end, after = rest.partition(self.end)
        if not begin or not end:
            raise SystemExit(f'{self.path.name} has no place for the results: {self.begin.strip()} ... {self.end}')
        return f'{before}{self.begin}{content}\n{self.end}{after}'

    def fill(self, content: str) -> None:
        """Write the content into the page."""
        self.path.write_text(self.filled(self.path.read_text(encoding='utf-8'), content), encoding='utf-8')


SUMMARY = Place(README, '<!-- python -m benchmarks.publish -->\n', '<!-- end -->\n')
CALLS = Place(PAGE, '<!-- python -m benchmarks.publish -->\n', '<!-- end -->\n')
PROGRAMS = Place(PAGE, '<!-- python -m benchmarks.programs.publish -->\n', '<!-- end of programs -->\n')
DEPLOYMENTS = Place(PAGE, '<!-- python -m benchmarks.deployments.publish -->\n', '<!-- end of deployments -->\n')
