"""That an installed rqreg_ext works: imported from where it was installed, against a real Redis."""

from __future__ import annotations

from pathlib import Path

from host.test_subinterpreters import PROGRAM, assert_work_where_rq_does
from offline import FreshVenv
from private_redis import PrivateRedis

CALL = """\
import redis, rqreg_ext
from rqreg_ext import FailedJobRegistry, Queue, _core
connection = redis.Redis(port={port}, db={db})
connection.flushdb()
queue = Queue('packaged', connection=connection)
connection.zadd(FailedJobRegistry(queue=queue).key, {{'one': 2**40, 'two': 2**41}})
registry = queue.failed_job_registry
print(registry.count, registry.get_job_ids(), 'one' in registry, registry.remove('one'), len(registry))
print(isinstance(registry, _core.FailedJobRegistry))
print(rqreg_ext.__file__)
print(_core.__file__)
"""


def check(venv: FreshVenv, server: PrivateRedis, cwd: Path) -> None:
    """Fail unless the package of the environment, and no other one, answers, and prints nothing else."""
    output = venv.ask(CALL.format(port=server.port, db=1), cwd)
    assert len(output.splitlines()) == 4, output
    answers, is_core, package, core = output.splitlines()
    assert answers == "2 ['one', 'two'] True 1 1"
    assert is_core == 'True'
    for path in (package, core):
        assert Path(path).is_relative_to(venv.folder)


def check_subinterpreters(venv: FreshVenv, server: PrivateRedis, cwd: Path) -> None:
    """Fail unless registries work in sub-interpreters of this Python wherever RQ does."""
    source = (
        f'import sys, runpy; sys.argv[1:] = [{server.url!r}]; runpy.run_path({str(PROGRAM)!r}, run_name="__main__")'
    )
    assert_work_where_rq_does(venv.ask(source, cwd).splitlines())
