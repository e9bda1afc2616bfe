"""RQREG_EXT_INSTALL=1 in the environment, which is read at the start of an interpreter."""

from __future__ import annotations

import sys

import pytest

from .programs import Programs

SHOWS_BASE = 'import rq.registry; print([c.__module__ for c in rq.registry.FailedJobRegistry.__mro__][1])'


def base_of_registry(programs: Programs, *options: str, **variables: str) -> str:
    programs.write('shows_base.py', SHOWS_BASE)
    ended = programs.run(*options, 'shows_base.py', **variables)
    assert (ended.returncode, ended.stderr) == (0, ''), ended.stderr
    return ended.stdout.strip()


def test_environment_without_variable_does_not_install(programs: Programs) -> None:
    assert base_of_registry(programs) == 'rq.registry'
    assert base_of_registry(programs, RQREG_EXT_INSTALL='0') == 'rq.registry'
    assert base_of_registry(programs, RQREG_EXT_INSTALL='') == 'rq.registry'


@pytest.mark.parametrize('off', ['0', '', 'false', 'False', 'NO', 'off'])
def test_variables_take_words_for_off(programs: Programs, off: str) -> None:
    assert base_of_registry(programs, RQREG_EXT_INSTALL=off) == 'rq.registry'
    assert base_of_registry(programs, RQREG_EXT_INSTALL='on', RQREG_EXT_DISABLE=off) == 'rqreg_ext._core'


def test_environment_variable_installs(programs: Programs) -> None:
    assert base_of_registry(programs, RQREG_EXT_INSTALL='1') == 'rqreg_ext._core'


def test_disable_variable_goes_before_install_variable(programs: Programs) -> None:
    assert base_of_registry(programs, RQREG_EXT_INSTALL='1', RQREG_EXT_DISABLE='1') == 'rq.registry'


@pytest.mark.parametrize('option', ['-E', '-I', '-O', '-B', '-s'])
def test_environment_variable_installs_with_each_interpreter_option(programs: Programs, option: str) -> None:
    assert base_of_registry(programs, option, RQREG_EXT_INSTALL='1') == 'rqreg_ext._core'


def test_start_imports_neither_rq_nor_redis(programs: Programs) -> None:
    source = """
        import sys
        assert not [name for name in sys.modules if name.partition('.')[0] in ('rq', 'redis', 'typing', 'logging')]
        # Of ours, only the import hook is loaded.
        ours = {name for name in sys.modules if name.startswith('rqreg_ext')}
        at_startup = [f'rqreg_ext._install{name}' for name in ('', '.at_startup', '.import_hook')]
        assert ours == {'rqreg_ext', *at_startup}, ours
        import json, http.client, email, asyncio
        assert ours == {name for name in sys.modules if name.startswith('rqreg_ext')}
        import rqreg_ext
        assert rqreg_ext.is_installed()
        import rq
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''


def test_start_without_variable_imports_next_to_nothing_of_ours(programs: Programs) -> None:
    source = "import sys; print(sorted(name for name in sys.modules if name.startswith('rqreg_ext')))"
    # rqreg_ext.start names a function, which has to be imported.
    names = ('', '._install', '._install.at_startup', '._install.import_hook') if sys.version_info >= (3, 15) else ()
    assert programs.output(source) == f'{[f"rqreg_ext{name}" for name in names]}\n'


@pytest.mark.parametrize(
    'statement', ['import rq.worker', 'import rq.registry', 'from rq.queue import Queue', 'import rq.cli']
)
def test_environment_variable_installs_whichever_module_of_rq_is_imported_first(
    programs: Programs, statement: str
) -> None:
    source = f"""
        {statement}
        import sys, rqreg_ext, rq.registry, rq.worker
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
        # A package from RQ 2.7 on.
        worker_module = sys.modules[rq.worker.BaseWorker.__module__]
        assert worker_module.StartedJobRegistry is rqreg_ext.StartedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''


def test_own_module_named_rq_is_left_alone(programs: Programs) -> None:
    """A program may have a module of this name."""
    programs.write('rq.py', 'registry = "mine"')
    source = """
        import sys
        before = set(sys.modules)
        import rq
        print(rq.registry, sorted(set(sys.modules) - before))
    """
    assert programs.output(source) == programs.output(source, RQREG_EXT_INSTALL='1') == "mine ['rq']\n"


def test_environment_variable_installs_after_import_of_rq_that_failed(programs: Programs) -> None:
    source = """
        import sys
        sys.modules['croniter'] = None
        sys.modules['redis'] = None
        for _ in range(2):
            try:
                import rq
            except ImportError:
                pass
            else:
                raise AssertionError('imported')
        del sys.modules['redis'], sys.modules['croniter']
        for name in [name for name in sys.modules if name.partition('.')[0] == 'rq']:
            del sys.modules[name]
        import rq, rqreg_ext
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''


@pytest.mark.parametrize(
    'source',
    [
        '1 / 0',
        'import no_such_module',
        'raise ImportError("not here")',
        'def f():\n    raise KeyboardInterrupt\nf()',
        'import warnings; warnings.warn("whoever imports", stacklevel=2)',
        'syntax error here',
    ],
)
def test_failing_import_of_rq_has_same_traceback(programs: Programs, source: str) -> None:
    programs.write('rq/__init__.py', source)
    programs.write('program.py', 'import rq')
    plain = programs.run('program.py')
    ours = programs.run('program.py', RQREG_EXT_INSTALL='1')
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert plain.stderr


def test_installation_prints_nothing(programs: Programs) -> None:
    """No warning is issued, and nothing is logged at level INFO or above."""
    source = """
        import logging
        logging.basicConfig(level=logging.INFO)
        import rq.registry, rq.worker, rq.cli
        import rqreg_ext
        assert rqreg_ext.install().replaced
        rqreg_ext.uninstall()
    """
    programs.write('program.py', source)
    for options in ([], ['-W', 'error'], ['-X', 'dev']):
        ended = programs.run(*options, 'program.py', RQREG_EXT_INSTALL='1')
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, '', '')


def test_uninstall_works_after_start_with_variable(programs: Programs) -> None:
    source = """
        import rq.registry, rqreg_ext
        rqreg_ext.uninstall()
        assert rq.registry.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''
