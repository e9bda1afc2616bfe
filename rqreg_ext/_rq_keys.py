"""The keys of the installed RQ, for whoever reads a Redis without importing rq.

RQ says them in its sources, in lines like `key_template = 'rq:failed:{0}'`. Where rq is imported already they are its
classes' own; else the lines are read, which takes a millisecond where `import rq` takes a third of a second.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

# By the name that stands for each in RQ too: rq.registry.FailedJobRegistry is `queue.failed_job_registry`.
# ReadyJobRegistry came with RQ 3.
REGISTRIES = ('started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready')
_WITHOUT_READY = frozenset(REGISTRIES) - {'ready'}

_KEY = r'key_template|redis_queues_keys|redis_queue_namespace_prefix|REDIS_WORKER_KEYS|WORKERS_BY_QUEUE_KEY'
_CLASS_OR_KEY = re.compile(rf'^class (\w+)|^(?:    )?({_KEY})(?:: str)? = (.+)$', re.MULTILINE)


class Keys(NamedTuple):
    """The names of the keys that RQ writes."""

    # The sets of the keys of all queues, and of all workers.
    queues: str
    workers: str
    # That of the set of a queue's workers, with %s for the queue's name.
    queue_workers: str
    # What stands before the name in a queue's key.
    queue_prefix: str
    # By registry: what the queue's name is put into.
    templates: dict[str, str]

    def of_registry(self, registry: str, queue: str) -> str:
        """Return the key of a queue's registry."""
        return self.templates[registry].format(queue)

    def workers_of(self, queue: str) -> str:
        """Return the key of the set of a queue's workers."""
        return self.queue_workers % queue

    def queue_name(self, key: str) -> str:
        """Return the name of the queue that has this key; RQ's ValueError for another key."""
        if not key.startswith(self.queue_prefix):
            raise ValueError(f'Not a valid RQ queue key: {key}')
        return key[len(self.queue_prefix) :]


def installed_keys() -> Keys:
    """Return the keys of the installed RQ, importing it only where its sources do not say them."""
    return _keys('rq' in sys.modules)


@cache
def _keys(is_imported: bool) -> Keys:
    keys = None if is_imported else _keys_in_sources()
    return keys or _keys_of_classes()


def class_name(registry: str) -> str:
    """Return the name of the class that rq.registry has for a registry."""
    return f'{registry.capitalize()}JobRegistry'


def _keys_of_classes() -> Keys:
    from rq import queue, registry, worker_registration

    classes = {name: getattr(registry, class_name(name), None) for name in REGISTRIES}
    return Keys(
        queues=queue.Queue.redis_queues_keys,
        workers=worker_registration.REDIS_WORKER_KEYS,
        queue_workers=worker_registration.WORKERS_BY_QUEUE_KEY,
        queue_prefix=queue.Queue.redis_queue_namespace_prefix,
        templates={name: found.key_template for name, found in classes.items() if found is not None},
    )


def _keys_in_sources() -> Keys | None:
    """Return what the sources say; None where there are none, or where they do not say it in such lines."""
    spec = find_spec('rq')
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        return None
    try:
        said = _said_in(Path(folders[0]))
    except (OSError, NameError, SyntaxError, TypeError, AttributeError):
        return None
    templates = {name: said.get((class_name(name), 'key_template')) for name in REGISTRIES}
    keys = Keys(
        queues=said.get(('Queue', 'redis_queues_keys'), ''),
        workers=said.get(('', 'REDIS_WORKER_KEYS'), ''),
        queue_workers=said.get(('', 'WORKERS_BY_QUEUE_KEY'), ''),
        queue_prefix=said.get(('Queue', 'redis_queue_namespace_prefix'), ''),
        templates={name: template for name, template in templates.items() if template is not None},
    )
    return keys if all(keys) and keys.templates.keys() >= _WITHOUT_READY else None


def _said_in(folder: Path) -> dict[tuple[str, str], str]:
    """Return the keys that RQ's modules say, by class ('' for none) and name."""
    # RQ 3 builds them from the prefix in rq.defaults, a module that imports nothing of rq.
    defaults = _run(folder / 'defaults.py')
    said = {}
    for name in ('registry', 'queue', 'worker_registration'):
        owner = ''
        for found in _CLASS_OR_KEY.finditer((folder / f'{name}.py').read_text(encoding='utf-8')):
            class_, key, expression = found.groups()
            if class_ is not None:
                owner = class_
            else:
                # What importing rq would evaluate.
                said[owner, key] = _as_str(eval(expression, defaults))
    return said


def _as_str(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f'{key!r} is no key')
    return key


def _run(file: Path) -> dict[str, Any]:
    """Return the names of a module, without importing its package."""
    spec = spec_from_file_location('rq.defaults', file)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(vars(module))
