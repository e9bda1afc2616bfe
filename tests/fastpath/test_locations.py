"""The keys of queues and registries are those of RQ's classes."""

from __future__ import annotations

import pytest
import rq
import rq.registry

from rqreg_ext._fastpath.rq_keys import REGISTRIES, queue_name


def test_key_of_a_registry_is_that_of_rqs_class() -> None:
    for name, registry_kind in REGISTRIES.items():
        registry_class = getattr(rq.registry, f'{name.capitalize()}JobRegistry')
        assert registry_kind.key('{q}') == registry_class.key_template.format('{q}')


def test_every_registry_of_jobs_has_a_name() -> None:
    classes = {name for name in vars(rq.registry) if name.endswith('JobRegistry')}
    assert set(map(str, REGISTRIES.values())) == classes


def test_name_of_a_queue_is_read_from_its_key() -> None:
    assert queue_name(rq.Queue.redis_queue_namespace_prefix + 'a:b') == 'a:b'
    with pytest.raises(ValueError, match='Not a valid RQ queue key: rq:job:a'):
        queue_name('rq:job:a')
