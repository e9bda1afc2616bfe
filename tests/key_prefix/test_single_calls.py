"""RQ_KEY_PREFIX (RQ 3): every key of ours has it, as every key of RQ's has. Read at import, so in a new process."""

from __future__ import annotations

import pytest

from key_prefix.programs import assert_every_key_has, needs_key_prefix

SCRIPT = """
from private_redis import PrivateRedis
from differential.arguments import TheJob, TheQueue
from differential.comparison import Call, Comparison
from differential.world import AJob, World

JOBS = [
    AJob('a', 'failed', ['results', 'group', 'in_group', 'in_queue']),
    AJob('b', 'started', ['rate_limit', 'allowed']),
]
EXAMPLES = [
    ('FailedJobRegistry', [Call('count'), Call('get_job_ids'), Call('in', 'a'), Call('requeue', 'a')]),
    ('FailedJobRegistry', [Call('remove', 'a', delete_job=True)]),
    ('StartedJobRegistry', [Call('in', 'b'), Call('in', TheJob('a')), Call('get_job_and_execution_ids')]),
    ('StartedJobRegistry', [Call('cleanup', 3e9)]),
    ('ExecutionRegistry', [Call('count'), Call('get_execution_ids')]),
    ('clean_registries', [Call('clean_registries', TheQueue())]),
]
with PrivateRedis() as server:
    comparison = Comparison(server)
    for kind, calls in EXAMPLES:
        outcome = comparison.run(kind, calls, World(jobs=JOBS))[-1]
        print(*(key.decode() for key in outcome.database))
    comparison.close()
"""


@needs_key_prefix
@pytest.mark.parametrize('prefix', ['{app}', 'app:rq', '{'])
def test_every_key_has_the_prefix(prefix: str) -> None:
    assert_every_key_has(prefix, SCRIPT)
