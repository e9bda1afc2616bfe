"""install() if RQ is too old, too new, missing, or present twice: a clear message, and no program breaks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import rq

from rqreg_ext._fastpath import releases

from .programs import Programs

INSTALLS = """
    import sys
    import rqreg_ext
    before = rqreg_ext.install()
    import rq.registry
    report = rqreg_ext.install()
    print(rqreg_ext.is_installed(), rq.VERSION)
    print(report)
    print(rq.registry.FailedJobRegistry.__mro__[1].__module__)
"""


@pytest.fixture
def copy_of_rq(programs: Programs) -> Path:
    """Copy the installed RQ into the folder of the programs, where it is found first; return the copy."""
    assert rq.__file__ is not None
    folder = programs.folder / 'rq'
    shutil.copytree(Path(rq.__file__).parent, folder, ignore=shutil.ignore_patterns('__pycache__'))
    return folder


@pytest.mark.parametrize('version', ['1.16.2', '2.4.0'])
def test_too_old_rq_is_not_replaced(programs: Programs, copy_of_rq: Path, version: str) -> None:
    (copy_of_rq / 'version.py').write_text(f"VERSION = '{version}'\n")
    first, *report, kind = programs.output(INSTALLS).splitlines()
    assert first == f'False {version}'
    assert f'{".".join(map(str, releases.OLDEST))} or newer' in report[0]
    assert version in report[0]
    assert kind == 'rq.registry'
    asks = 'import rq.registry, rqreg_ext; print(rqreg_ext.is_installed(), rq.registry.FailedJobRegistry.__module__)'
    assert programs.output(asks, RQREG_EXT_INSTALL='1') == 'False rq.registry\n'


@pytest.mark.parametrize('version', ['3.1.0', '4.0.0', '12.0rc1'])
def test_newer_rq_is_replaced_with_note(programs: Programs, copy_of_rq: Path, version: str) -> None:
    (copy_of_rq / 'version.py').write_text(f"VERSION = '{version}'\n")
    first, *report, kind = programs.output(INSTALLS).splitlines()
    assert first == f'True {version}'
    assert any('is newer than those tested' in line for line in report)
    assert kind == 'rqreg_ext._core'


def test_install_without_rq_says_so(programs: Programs) -> None:
    source = """
        import sys
        # Importing rq raises ImportError, as if it were not installed.
        sys.modules['rq'] = None
        import rqreg_ext
        print(rqreg_ext.install())
        rqreg_ext.uninstall()
    """
    assert 'rq' in programs.output(source)
    programs.write('program.py', 'try:\n    import rq_is_not_here\nexcept ImportError as error:\n    print(error)')
    assert programs.run('program.py', RQREG_EXT_INSTALL='1').stdout == "No module named 'rq_is_not_here'\n"


def test_second_copy_of_rq_under_other_name_is_left_and_reported(programs: Programs, copy_of_rq: Path) -> None:
    vendored = programs.folder / 'vendored'
    vendored.mkdir()
    (vendored / '__init__.py').write_text('')
    copy_of_rq.rename(vendored / 'rq')
    for path in (vendored / 'rq').rglob('*.py'):
        text = path.read_text()
        path.write_text(text.replace('from rq', 'from vendored.rq').replace('import rq', 'import vendored.rq'))
    source = """
        import vendored.rq.registry
        import rq.registry
        import rqreg_ext
        theirs = vendored.rq.registry.FailedJobRegistry
        report = rqreg_ext.install()
        assert vendored.rq.registry.FailedJobRegistry is theirs
        assert not issubclass(theirs, rq.registry.FailedJobRegistry)
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
        assert [left.place for left in report.left] == ['vendored.rq.registry']
        assert 'copy of RQ' in report.left[0].reason
    """
    assert programs.output(source) == ''


@pytest.mark.parametrize('when', ['before', 'after'])
def test_second_import_of_rq_is_left_and_reported(programs: Programs, when: str) -> None:
    source = """
        import sys
        import rq.registry, rqreg_ext
        first = rq.registry
        if sys.argv[1] == 'before':
            rqreg_ext.install()
        rqreg_ext.FailedJobRegistry
        for name in [name for name in sys.modules if name.partition('.')[0] == 'rq']:
            del sys.modules[name]
        import rq.registry
        second = rq.registry
        report = rqreg_ext.install()
        assert first.FailedJobRegistry is rqreg_ext.FailedJobRegistry or sys.argv[1] == 'after'
        assert second.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
        assert 'rq.registry' in [left.place for left in report.left], report
        from redis import Redis
        second.FailedJobRegistry('q', connection=Redis())
        rqreg_ext.uninstall()
        assert first.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, when) == ''


def test_modules_that_raise_on_access_are_skipped(programs: Programs) -> None:
    source = """
        import sys, types

        class Raises(types.ModuleType):
            def __getattribute__(self, name):
                raise RuntimeError(name)

        class NoModule:
            def __getattr__(self, name):
                raise RuntimeError(name)

        sys.modules['raises'] = Raises('raises')
        sys.modules['no_module'] = NoModule()
        sys.modules['nothing'] = None
        from rq.registry import FailedJobRegistry
        import rqreg_ext
        rqreg_ext.install()
        assert FailedJobRegistry is rqreg_ext.FailedJobRegistry
        rqreg_ext.uninstall()
        assert FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source) == ''


def test_other_finder_is_still_asked(programs: Programs) -> None:
    source = """
        import sys
        import rqreg_ext

        class Watches:
            def find_spec(self, name, path=None, target=None):
                if name == 'rq':
                    print('asked for', name)

        rqreg_ext.install()
        sys.meta_path.insert(0, Watches())
        import rq.registry
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
    """
    assert 'asked for rq\n' in programs.output(source)
