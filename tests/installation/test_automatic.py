"""RQREG_EXT_INSTALL=1 in the environment: what it does to a program, and what it does not."""

from __future__ import annotations

import pytest

from .programs import Programs

ASKS = 'import rq.registry; print([c.__module__ for c in rq.registry.FailedJobRegistry.__mro__][1])'


def asked(programs: Programs, *options: str, **variables: str) -> str:
    programs.write('asks.py', ASKS)
    ended = programs.run(*options, 'asks.py', **variables)
    assert (ended.returncode, ended.stderr) == (0, ''), ended.stderr
    return ended.stdout.strip()


def test_off_unless_asked_for(programs: Programs) -> None:
    assert asked(programs) == 'rq.registry'
    assert asked(programs, RQREG_EXT_INSTALL='0') == 'rq.registry'
    assert asked(programs, RQREG_EXT_INSTALL='') == 'rq.registry'


def test_on(programs: Programs) -> None:
    assert asked(programs, RQREG_EXT_INSTALL='1') == 'rqreg_ext._core'


def test_an_operator_takes_it_out(programs: Programs) -> None:
    assert asked(programs, RQREG_EXT_INSTALL='1', RQREG_EXT_DISABLE='1') == 'rq.registry'


@pytest.mark.parametrize('option', ['-E', '-I', '-O', '-B', '-s'])
def test_options_of_the_interpreter(programs: Programs, option: str) -> None:
    assert asked(programs, option, RQREG_EXT_INSTALL='1') == 'rqreg_ext._core'


def test_rq_is_imported_no_earlier_than_the_program_does(programs: Programs) -> None:
    source = """
        import sys
        assert not [name for name in sys.modules if name.partition('.')[0] in ('rq', 'redis', 'typing', 'logging')]
        # Nothing of ours but what waits.
        ours = {name for name in sys.modules if name.startswith('rqreg_ext')}
        assert ours == {'rqreg_ext', 'rqreg_ext._import_hook'}, ours
        import json, http.client, email, asyncio
        assert ours == {name for name in sys.modules if name.startswith('rqreg_ext')}
        import rqreg_ext
        assert rqreg_ext.is_installed()
        import rq
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''


def test_a_program_without_it_loads_nothing_of_ours(programs: Programs) -> None:
    assert (
        programs.output("import sys; print([name for name in sys.modules if name.startswith('rqreg_ext')])") == '[]\n'
    )


@pytest.mark.parametrize(
    'statement', ['import rq.worker', 'import rq.registry', 'from rq.queue import Queue', 'import rq.cli']
)
def test_whatever_is_imported_first(programs: Programs, statement: str) -> None:
    source = f"""
        {statement}
        import rqreg_ext, rq.registry, rq.worker.base
        assert rq.registry.FailedJobRegistry is rqreg_ext.FailedJobRegistry
        assert rq.worker.base.StartedJobRegistry is rqreg_ext.StartedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''


def test_an_rq_that_is_not_rq(programs: Programs) -> None:
    """A module of the program, of the same name."""
    programs.write('rq.py', 'registry = "mine"')
    source = """
        import sys
        before = set(sys.modules)
        import rq
        print(rq.registry, sorted(set(sys.modules) - before))
    """
    assert programs.output(source) == programs.output(source, RQREG_EXT_INSTALL='1') == "mine ['rq']\n"


def test_an_import_of_rq_that_fails_is_tried_again(programs: Programs) -> None:
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
def test_an_import_of_rq_that_fails_has_the_same_traceback(programs: Programs, source: str) -> None:
    programs.write('rq/__init__.py', source)
    programs.write('program.py', 'import rq')
    plain = programs.run('program.py')
    ours = programs.run('program.py', RQREG_EXT_INSTALL='1')
    assert (ours.returncode, ours.stdout, ours.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert plain.stderr


def test_nothing_is_printed(programs: Programs) -> None:
    """Not by a warning, nor by the log of a program that shows all but what is for debugging."""
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


def test_uninstall_in_an_accelerated_program(programs: Programs) -> None:
    source = """
        import rq.registry, rqreg_ext
        rqreg_ext.uninstall()
        assert rq.registry.FailedJobRegistry is not rqreg_ext.FailedJobRegistry
    """
    assert programs.output(source, RQREG_EXT_INSTALL='1') == ''
