"""What `rq cron` is to enqueue."""

from __future__ import annotations

from rq import cron

from . import jobs

cron.register(jobs.succeed, queue_name='often', interval=1)
cron.register(jobs.fail, queue_name='once', interval=3600)
