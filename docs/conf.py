"""The site: `make docs`."""

import re

import rqreg_ext

project = 'rqreg_ext'
copyright = 'the rqreg_ext authors'
release = version = rqreg_ext.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton']
exclude_patterns = ['build']
nitpicky = True
# RQ and redis-py publish no inventories of their objects.
nitpick_ignore_regex = [('py:.*', '.*')]

html_theme = 'furo'
html_title = f'rqreg_ext {release}'

autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
myst_heading_anchors = 3

napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [('Round trips', 'returns_style'), ('Source', 'returns_style')]
SECTIONS = ('Args', 'Attributes', 'Example', 'Examples', 'Note', 'Raises', 'Returns', 'Round trips', 'Source', 'Yields')
SECTION = re.compile(rf'\s*(?:{"|".join(SECTIONS)}):\s*')

DIRECTIVE = re.compile(r'^<!-- (\{[\w-]+\})\n(.*?)^-->$', re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r'^<!-- .*?-->\n', re.MULTILINE | re.DOTALL)


def keep_layout(_app: object, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Show a docstring without Google's sections as it is: it is written to be read in a terminal."""
    if any(SECTION.fullmatch(line) for line in lines):
        return
    summary = next((number for number, line in enumerate(lines) if not line), len(lines))
    rest = [f'    {line}' for line in lines[summary + 1 :]]
    text = [line.replace('*', r'\*').replace('`', r'\`') for line in lines[:summary]]
    lines[:] = [*text, '', *(['::', '', *rest, ''] if any(map(str.strip, rest)) else [])]


def show_directives(_app: object, _name: str, source: list[str]) -> None:
    """Make directives of the comments that hold them, as GitHub would print directives; drop all other comments."""
    source[:] = [COMMENT.sub('', DIRECTIVE.sub(r'```\1\n\2```', text)) for text in source]


def setup(app: object) -> None:
    """Connect what this file adds to Sphinx, before napoleon reads the docstrings (at 500)."""
    app.connect('autodoc-process-docstring', keep_layout, priority=400)  # type: ignore[attr-defined]
    app.connect('source-read', show_directives)  # type: ignore[attr-defined]
