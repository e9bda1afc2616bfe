"""The names people import: all of RQ's, documented, with RQ's signatures, and cheap to import."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import rq.executions
import rq.registry
from differential.sides import KINDS, REGISTRIES
from differential.strategies import methods_of
from redis import Redis

import rqreg_ext
import rqreg_ext.registry

CLASSES = (*REGISTRIES, 'ExecutionRegistry')
# Data, not calls: the comparison looks at them after every construction.
DATA = {'connection', 'job_class', 'death_penalty_class', 'key_template'}


def rqs(name: str) -> Any:
    return getattr(rq.executions if name == 'ExecutionRegistry' else rq.registry, name)


def is_of_a_newer_rq(name: str) -> bool:
    return name == 'ReadyJobRegistry' and not hasattr(rq.registry, name)


def test_module_has_every_name_of_rq_registry() -> None:
    names = [name for name in vars(rq.registry) if not name.startswith('__')]
    assert [name for name in names if not hasattr(rqreg_ext.registry, name)] == []


def test_package_has_every_class() -> None:
    expected = {*REGISTRIES, 'ExecutionRegistry', 'Queue', 'clean_registries'}
    assert expected <= set(rqreg_ext.__all__)
    assert expected <= set(dir(rqreg_ext))
    assert [name for name in expected if not callable(getattr(rqreg_ext, name))] == []


def test_package_has_every_call_on_whole_redis() -> None:
    expected = {'batch', 'check', 'purge', 'requeue_all', 'snapshot', 'BulkResult', 'BulkResults', 'Snapshot'}
    assert expected <= set(rqreg_ext.__all__)


@pytest.mark.parametrize('name', [name for name in rqreg_ext.__all__ if not is_of_a_newer_rq(name)])
def test_every_name_resolves_and_is_documented(name: str) -> None:
    found = getattr(rqreg_ext, name)
    assert found.__name__ == name
    assert (found.__doc__ or '').strip()


def test_missing_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match='no_such_name'):
        _ = rqreg_ext.no_such_name
    with pytest.raises(AttributeError, match='no_such_name'):
        _ = rqreg_ext.registry.no_such_name


@pytest.mark.parametrize('name', CLASSES)
def test_class_has_every_attribute_of_rq_class(name: str) -> None:
    assert [attribute for attribute in dir(rqs(name)) if not hasattr(getattr(rqreg_ext, name), attribute)] == []


@pytest.mark.parametrize('name', CLASSES)
def test_every_public_method_is_in_the_random_calls(name: str) -> None:
    public = {attribute for attribute in dir(rqs(name)) if not attribute.startswith('_')}
    assert public - set(methods_of(name)) - DATA == set()


def test_every_registry_of_a_queue_is_in_the_random_calls() -> None:
    public = {attribute for attribute in dir(rq.Queue) if attribute.endswith('_job_registry')}
    assert public - set(methods_of('Queue')) == set()


@pytest.mark.parametrize('name', KINDS)
def test_every_class_has_a_docstring(name: str) -> None:
    assert (getattr(rqreg_ext, name).__doc__ or '').strip()


@pytest.mark.parametrize('name', CLASSES)
def test_every_public_method_has_a_docstring(name: str) -> None:
    ours = getattr(rqreg_ext, name)
    documented = [attribute for attribute in dir(rqs(name)) if inspect.getdoc(getattr(rqs(name), attribute))]
    public = [attribute for attribute in documented if not attribute.startswith('_') and attribute not in DATA]
    assert [attribute for attribute in public if not inspect.getdoc(getattr(ours, attribute))] == []


@pytest.mark.parametrize('name', CLASSES)
def test_signatures_have_rqs_parameters(name: str) -> None:
    def parameters(function: Any) -> list[tuple[str, Any, Any]]:
        # Without self, which a method in C takes by position only.
        found = list(inspect.signature(function).parameters.values())[1:]
        return [(parameter.name, parameter.kind, parameter.default) for parameter in found]

    ours = getattr(rqreg_ext, name)
    for attribute in dir(rqs(name)):
        expected = getattr(rqs(name), attribute)
        if inspect.isfunction(expected) and not attribute.startswith('_'):
            assert parameters(getattr(ours, attribute)) == parameters(expected), attribute


@pytest.mark.parametrize('name', ['cleanup', 'get_job_ids', 'remove'])
def test_patch_with_autospec_is_called(connection: Redis, name: str) -> None:
    """mock gives `self` only to a patched method that is written in Python: the one thing such a patch shows of C."""
    registry = rqreg_ext.FailedJobRegistry('q', connection)
    calls = {'cleanup': lambda: registry.count, 'get_job_ids': lambda: registry.get_job_ids(0, 5)}
    with mock.patch.object(rqreg_ext.FailedJobRegistry, name, autospec=True) as patched:
        calls.get(name, lambda: registry.remove('a'))()
    patched.assert_called_once()


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_imports_neither_rq_nor_redis() -> None:
    code = "import sys, rqreg_ext; print([name for name in sys.modules if name.split('.')[0] in ('rq', 'redis')])"
    assert run_python(code) == '[]'


def test_names_resolve_on_first_use() -> None:
    code = "import sys, rqreg_ext; rqreg_ext.FailedJobRegistry; print('rq.registry' in sys.modules)"
    assert run_python(code) == 'True'


def test_package_has_version() -> None:
    assert rqreg_ext.__version__.count('.') == 2


def test_sources_that_are_not_compiled_say_so(tmp_path: Path) -> None:
    shutil.copytree(Path(rqreg_ext.__file__).parent, tmp_path / 'rqreg_ext', ignore=shutil.ignore_patterns('*.so'))
    # An editable installation finds the package by a finder of its own.
    program = (
        'import sys; sys.meta_path[:] = [f for f in sys.meta_path if "ditable" not in repr(f)]; '
        f'sys.path.insert(0, {str(tmp_path)!r}); import rqreg_ext; rqreg_ext.snapshot'
    )
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(
        f'ImportError: {tmp_path / "rqreg_ext"} has the sources of rqreg_ext,'
    )
