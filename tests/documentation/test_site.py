"""The site has every public name and every problem kind, and says for whom each page is, and which test shows it."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from documents import CONTRIBUTING, DOCS, PAGES, README, ROOT, first_paragraph, rendered_text, source_of, table_rows

import rqreg_ext
from rqreg_ext._query.job_fields import FIELDS

# What `make docs` installs, and nothing else has.
SPHINX = Path(sys.prefix, 'sphinx')
GOOGLE = """Delete all.

Args:
    progress: called with (done, total).

Round trips:
    Two to seven a chunk.

Source:
    rq.job.Job.delete; Redis ZREM.
"""


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_each_page_says_first_for_whom_it_is(page: Path) -> None:
    assert first_paragraph(source_of(page)).startswith('For ')


def test_index_leads_to_every_page() -> None:
    (*trees,) = re.findall(r'<!-- \{toctree\}\n(?::.*\n)*\n((?:.+\n)+)-->', source_of(DOCS / 'index.md'))
    listed = [name for tree in trees for name in tree.split()]
    assert sorted([*listed, 'index']) == [page.stem for page in PAGES]


def test_reference_has_every_public_name() -> None:
    entries = re.findall(r'^\.\. auto\w+:: rqreg_ext\.(\w+)$', source_of(DOCS / 'reference.md'), re.MULTILINE)
    assert sorted(entries) == sorted(rqreg_ext.__all__)


def test_reference_names_what_it_documents_where_directives_are_not_shown() -> None:
    text = source_of(DOCS / 'reference.md')
    shown = rendered_text(text)
    of_classes = re.findall(r':members: ((?:\w+,\s+)+\w+)$', text, re.MULTILINE)
    names = [*rqreg_ext.__all__, *(name for members in of_classes for name in re.split(r',\s+', members))]
    assert [name for name in names if not re.search(rf'\b{name}\b', shown)] == []


@pytest.mark.parametrize('page', [README, *PAGES], ids=lambda page: page.stem)
def test_nothing_is_printed_that_is_for_the_site_or_the_tests(page: Path) -> None:
    text = source_of(page)
    assert re.findall(r'^%.*|^`{3,}\{.*', text, re.MULTILINE) == []
    assert re.search(r'invisible|\{toctree|\{eval-rst|assert ', rendered_text(text)) is None


def test_directives_in_comments_are_the_sites() -> None:
    source = ['<!-- hidden -->\n<!-- {toctree}\n:maxdepth: 1\n\ninstall\n-->\nText <!-- {x} -->\n']
    conf().show_directives(None, 'index', source)
    assert source == ['```{toctree}\n:maxdepth: 1\n\ninstall\n```\nText <!-- {x} -->\n']


def test_problem_kinds_has_a_row_for_each_kind() -> None:
    rows = table_rows(source_of(DOCS / 'problem-kinds.md'))
    assert [row[0].strip('`') for row in rows] == [kind.value for kind in rqreg_ext.ProblemKind]
    assert [row for row in rows if len(row) != 5 or not all(row)] == []
    assert {row[1] for row in rows} == {'registry', 'all'}


def paths_of_tests(text: str) -> list[str]:
    return re.findall(r'`((?:tests|compat)/[^`]*)`', text)


@pytest.mark.parametrize('page', [README, CONTRIBUTING, *PAGES], ids=lambda page: page.stem)
def test_tests_that_are_named_exist(page: Path) -> None:
    assert [path for path in paths_of_tests(source_of(page)) if not (ROOT / path).exists()] == []


def test_each_failure_and_each_host_has_a_test() -> None:
    rows = table_rows(source_of(DOCS / 'failures.md'))
    assert len(rows) > 30
    assert [row[0] for row in rows if not paths_of_tests(row[-1])] == []


def public_docstrings() -> dict[str, str]:
    """Return the docstrings of all public names, and of their public members."""
    found = {}
    for name in rqreg_ext.__all__:
        value = getattr(rqreg_ext, name)
        found[name] = value.__doc__ or ''
        for member in dir(value) if isinstance(value, type) else ():
            if not member.startswith('_'):
                found[f'{name}.{member}'] = inspect.getdoc(getattr(value, member)) or ''
    return found


def test_docstrings_send_nobody_to_what_is_not_public() -> None:
    private = re.compile(r'rqreg_ext\._|\w+Mixin\b|\bFIELDS\b|[Ss]ee there')
    assert [name for name, text in public_docstrings().items() if private.search(text)] == []


def test_find_documents_every_filter_and_every_field() -> None:
    documented = {rqreg_ext.BaseRegistry.find: FIELDS, rqreg_ext.JobFilters: rqreg_ext.JobFilters.__annotations__}
    for owner, names in documented.items():
        text = inspect.getdoc(owner) or ''
        assert [name for name in names if not re.search(rf'\b{name}\b', text)] == []


def conf() -> ModuleType:
    """Return what Sphinx is configured by."""
    spec = importlib.util.spec_from_file_location('conf', DOCS / 'conf.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docstring_without_sections_keeps_its_layout() -> None:
    lines = ['Delete *all*.', '', 'progress: called with (done, total).', '    and more']
    conf().keep_layout(None, 'function', 'purge', None, None, lines)
    assert lines == [
        r'Delete \*all\*.',
        '',
        '::',
        '',
        '    progress: called with (done, total).',
        '        and more',
        '',
    ]


def test_docstring_with_sections_is_left_to_napoleon() -> None:
    lines = GOOGLE.splitlines()
    conf().keep_layout(None, 'function', 'purge', None, None, lines)
    assert lines == GOOGLE.splitlines()


@pytest.mark.skipif(not SPHINX.is_dir(), reason='`make docs` installs Sphinx')
def test_sections_of_our_own_are_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SPHINX))
    from sphinx.ext.napoleon import Config, GoogleDocstring

    text = str(GoogleDocstring(GOOGLE, Config(napoleon_custom_sections=conf().napoleon_custom_sections)))
    assert ':param progress: called with (done, total).' in text
    assert ':Round trips: Two to seven a chunk.' in text
    assert ':Source: rq.job.Job.delete; Redis ZREM.' in text
