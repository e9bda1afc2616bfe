"""Arguments of the Lua scripts are passed by the names in their headers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import embed_lua
import pytest
import redis
from private_redis import PrivateRedis

from rqreg_ext import _core
from rqreg_ext._fastpath.exchange import run_script
from rqreg_ext._fastpath.script_arguments import Template, first_in_order, in_order

REQUEUE = dict.fromkeys(['job_prefix', 'queue_prefix', 'default_timeout', 'empty_exc_info'], '')


@pytest.mark.parametrize(
    ('given', 'wrong'),
    [({}, 'job_id: '), ({'job_id': 'a', 'origin': 'q'}, 'origin: '), ({'id': 'a'}, 'id, job_id: ')],
)
def test_missing_or_unknown_argument_is_refused_before_anything_is_sent(given: dict[str, str], wrong: str) -> None:
    with pytest.raises(TypeError, match=f'^{wrong}not exactly the arguments of has_execution.lua, which are job_id$'):
        run_script(redis.Redis(port=1), 'has_execution', ['started', 'executions'], given)


def test_arguments_are_put_into_the_order_of_the_script() -> None:
    names = _core.SCRIPTS['delete_many'][2].split()
    given = {name: position for position, name in reversed(list(enumerate(names)))}
    assert in_order('delete_many', given) == list(range(len(names)))


def test_template_has_what_is_the_same_in_its_place() -> None:
    template = Template('requeue_job', {name: name for name in REQUEUE})
    rest = {name: name for name in _core.SCRIPTS['requeue_job'][2].split() if name not in REQUEUE}
    given = dict(reversed(list(rest.items())))
    assert template.filled(given) == in_order('requeue_job', {**given, **{name: name for name in REQUEUE}})
    changed = template.filled({**given, 'default_timeout': 1})
    assert [value for value in changed if value not in template.filled(given)] == [1]
    assert template.filled(given) == _core.SCRIPTS['requeue_job'][2].split()


@pytest.mark.parametrize(
    ('given', 'wrong'),
    [({}, 'job_id: '), ({'job_id': 'a', 'origin': 'q'}, 'origin: '), ({'id': 'a'}, 'id, job_id: ')],
)
def test_template_refuses_missing_or_unknown_argument(given: dict[str, str], wrong: str) -> None:
    with pytest.raises(TypeError, match=f'^{wrong}not exactly the arguments of has_execution.lua, which are job_id$'):
        Template('has_execution', {}).filled(given)


def test_first_arguments_must_be_the_first_ones() -> None:
    assert first_in_order('requeue_job', REQUEUE) == ('', '', '', '')
    with pytest.raises(TypeError, match=r'^default_timeout, metadata: not exactly the arguments'):
        first_in_order('requeue_job', {name: '' for name in (*REQUEUE, 'metadata') if name != 'default_timeout'})


@pytest.mark.parametrize('call', ["remove('a', delete_job=True)", "requeue('a')"])
def test_core_refuses_to_run_a_script_without_an_argument(redis_server: PrivateRedis, call: str) -> None:
    code = f"""
import redis, rqreg_ext
from rqreg_ext._fastpath import installed_rq
installed_rq.delete_arguments = installed_rq.delete_arguments[:-1]
installed_rq.requeue_arguments = installed_rq.requeue_arguments[:-1]
try:
    rqreg_ext.FailedJobRegistry('q', redis.Redis(port={redis_server.port})).{call}
except SystemError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout in ('argument 9 of a script is missing\n', 'argument 3 of a script is missing\n')


def test_script_has_the_arguments_of_what_it_requires_and_its_own(tmp_path: Path) -> None:
    (tmp_path / 'shared.inc.lua').write_text('-- Shared.\n-- arguments: first second\n')
    (tmp_path / 'own.lua').write_text(
        '-- requires shared.inc.lua\n-- arguments: second\n-- arguments: third\nreturn 1\n'
    )
    script = embed_lua.read_script(tmp_path / 'own.lua')
    assert script.arguments == ('first', 'second', 'third')
    assert script.text.startswith(b'local first, second, third = unpack(ARGV, 1, 3)\nlocal REST = 4\n-- Shared.\n')


def test_file_required_twice_is_included_once(tmp_path: Path) -> None:
    (tmp_path / 'base.inc.lua').write_text('-- arguments: base\n')
    for name in ('left', 'right'):
        (tmp_path / f'{name}.inc.lua').write_text(f'-- requires base.inc.lua\n-- arguments: {name}\n')
    (tmp_path / 'own.lua').write_text('-- requires left.inc.lua right.inc.lua base.inc.lua\nreturn 1\n')
    script = embed_lua.read_script(tmp_path / 'own.lua')
    assert script.arguments == ('base', 'left', 'right')
    assert script.text.count(b'-- arguments: base\n') == 1


def test_script_without_arguments_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / 'own.lua').write_text('return 1\n')
    assert embed_lua.read_script(tmp_path / 'own.lua') == ('own', b'return 1\n', ())
