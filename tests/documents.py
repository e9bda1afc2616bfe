"""README.md and the pages of the site, as their readers see them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / 'README.md'
CONTRIBUTING = ROOT / 'CONTRIBUTING.md'
DOCS = ROOT / 'docs'
PAGES = sorted(DOCS.glob('*.md'))
MARKDOWN = MarkdownIt('commonmark').enable('table')


def source_of(path: Path) -> str:
    """Return the text of a file."""
    return path.read_text(encoding='utf-8')


class _Text(HTMLParser):
    """The text of an HTML page, without tags and comments."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def rendered_text(markdown: str) -> str:
    """Return the text that a reader sees."""
    parser = _Text()
    parser.feed(MARKDOWN.render(markdown))
    return ''.join(parser.parts)


def code_blocks(markdown: str, language: str) -> list[str]:
    """Return the blocks of code of a language."""
    return [token.content for token in MARKDOWN.parse(markdown) if token.type == 'fence' and token.info == language]


def _inline(markdown: str) -> list[Token]:
    return [child for token in MARKDOWN.parse(markdown) for child in token.children or ()]


def relative_links(markdown: str) -> list[str]:
    """Return the targets of links and images that are in the repository."""
    targets = [str(token.attrGet('href') or token.attrGet('src') or '') for token in _inline(markdown)]
    return [target for target in targets if target and not re.match(r'[a-z]+:', target)]


def headings(markdown: str) -> list[str]:
    """Return the anchors of the headings, as GitHub and the site make them."""
    texts = [text.content for start, text in _pairs(markdown) if start.type == 'heading_open']
    return [re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-') for text in texts]


def first_paragraph(markdown: str) -> str:
    """Return what stands below the title."""
    return next(text.content for start, text in _pairs(markdown) if start.type == 'paragraph_open')


def _pairs(markdown: str) -> list[tuple[Token, Token]]:
    """Return each token with the one after it, which has the text of what the first one opens."""
    return list(pairwise(MARKDOWN.parse(markdown)))


def table_rows(markdown: str) -> list[list[str]]:
    """Return the cells of all rows of tables, as they are written, without the rows of titles."""
    rows: list[list[str]] = []
    for start, text in _pairs(markdown):
        if start.type == 'tr_open':
            rows.append([])
        elif start.type == 'th_open':
            rows[-1:] = [[]]
        elif start.type == 'td_open':
            rows[-1].append(text.content)
    return [row for row in rows if row]
