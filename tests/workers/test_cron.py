"""`rq cron`, and the workers that run what it enqueues."""

from __future__ import annotations

import pytest
from host.patience import eventually
from rq import Queue
from rq.cli import main

from .sides import Side, Sides

pytestmark = pytest.mark.skipif('cron' not in main.commands, reason='this RQ has no `rq cron`')


def test_cron_jobs_are_run_by_workers(sides: Sides) -> None:
    def scenario(side: Side) -> dict[str, int]:
        often, once = (Queue(name, connection=side.client) for name in ('often', 'once'))
        with side.running('cron', 'workers.cron_config') as cron:
            side.rq('worker', '--max-jobs', '3', 'often')
            assert eventually(lambda: once.count == 1)
            cron.process.terminate()
            cron.wait()
        side.work('once')
        assert len(side.counts()) == 4
        assert not side.client.exists('rq:cron_schedulers')
        return {'finished': often.finished_job_registry.count, 'failed': once.failed_job_registry.count}

    # RQ makes the ids up, so what is left in Redis has no key in common.
    assert sides.outcome(scenario) == {'finished': 3, 'failed': 1}
