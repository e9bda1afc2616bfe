"""The keys that are read off RQ's sources are those of its classes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import rq
import rq.registry

from rqreg_ext import _rq_keys

RQ = Path(rq.__file__).parent


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of RQ's sources that is found in the place of RQ."""
    folder = tmp_path / 'rq'
    shutil.copytree(RQ, folder)
    spec = ModuleSpec('rq', None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(_rq_keys, 'find_spec', lambda name: spec if name == 'rq' else None)
    return folder


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding='utf-8')
    assert old in text
    file.write_text(text.replace(old, new), encoding='utf-8')


def test_the_sources_say_what_the_classes_say() -> None:
    of_classes = _rq_keys._keys_of_classes()
    assert _rq_keys._keys_in_sources() == of_classes
    assert of_classes.of_registry('started', '{q}') == rq.registry.StartedJobRegistry.key_template.format('{q}')
    assert of_classes.queue_name(rq.Queue.redis_queue_namespace_prefix + 'a:b') == 'a:b'


def test_every_registry_of_jobs_is_among_them() -> None:
    classes = {name for name in vars(rq.registry) if name.endswith('JobRegistry')}
    assert {_rq_keys.class_name(name) for name in _rq_keys._keys_of_classes().templates} == classes


def test_a_key_that_is_no_queues() -> None:
    with pytest.raises(ValueError, match='Not a valid RQ queue key: rq:job:a'):
        _rq_keys.installed_keys().queue_name('rq:job:a')


def test_rq_is_not_imported_for_it() -> None:
    code = (
        'import sys; from rqreg_ext._rq_keys import installed_keys; keys = installed_keys();'
        'assert not [name for name in sys.modules if name == "rq" or name.startswith("rq.")];'
        'import rq; assert keys == installed_keys()'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_other_keys_in_the_sources_are_taken(sources: Path) -> None:
    """So it is the sources that are read."""
    replace(sources / 'registry.py', ":wip:{0}'", ":at work:{0}'")
    found = _rq_keys._keys_in_sources()
    assert found is not None
    assert found.templates['started'].endswith(':at work:{0}')


@pytest.mark.parametrize(
    ('file', 'old', 'new'),
    [
        ('registry.py', 'key_template = ', 'key_template=made_of('),
        ('registry.py', ":wip:{0}'", ":wip:{0}'.upper(1)"),
        ('registry.py', ":wip:{0}'", ":wip:{0}' + elsewhere"),
        ('registry.py', 'class StartedJobRegistry', 'class RunningJobRegistry'),
        ('queue.py', 'redis_queues_keys: str = ', 'redis_queues_keys = made_of('),
        ('queue.py', 'redis_queues_keys', 'keys_of_queues'),
        ('worker_registration.py', 'REDIS_WORKER_KEYS = ', 'REDIS_WORKER_KEYS: str = lambda: '),
    ],
)
def test_sources_that_say_it_in_another_way(sources: Path, file: str, old: str, new: str) -> None:
    """Then rq is imported."""
    replace(sources / file, old, new)
    assert _rq_keys._keys_in_sources() is None
    _rq_keys._keys.cache_clear()
    assert _rq_keys._keys(False) == _rq_keys._keys_of_classes()
    _rq_keys._keys.cache_clear()


def test_no_sources(sources: Path) -> None:
    shutil.rmtree(sources)
    assert _rq_keys._keys_in_sources() is None


def test_no_rq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rq_keys, 'find_spec', lambda name: None)
    assert _rq_keys._keys_in_sources() is None
