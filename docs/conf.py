"""The guide as a site: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rqreg_ext

project = 'rqreg_ext'
copyright = 'the rqreg_ext authors'
release = version = rqreg_ext.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx_copybutton']
exclude_patterns = ['build']
nitpicky = True
# RQ and redis-py publish no inventories of their objects.
nitpick_ignore_regex = [('py:.*', '.*')]

html_theme = 'furo'
html_title = f'rqreg_ext {release}'

autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
myst_heading_anchors = 2


def setup(app: object) -> None:
    """Show docstrings as they are: they are written to be read in a terminal."""

    def keep_layout(_app: object, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
        summary = next((number for number, line in enumerate(lines) if not line), len(lines))
        rest = [f'    {line}' for line in lines[summary + 1 :]]
        text = [line.replace('*', r'\*').replace('`', r'\`') for line in lines[:summary]]
        lines[:] = [*text, '', *(['::', '', *rest, ''] if any(map(str.strip, rest)) else [])]

    app.connect('autodoc-process-docstring', keep_layout)  # type: ignore[attr-defined]
