"""`rqreg top` in tmux, on a real Redis with real workers: by keys, compared as screens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_redis import PrivateRedis
from redis import Redis
from rq import Queue

from ..running import Command
from .tmux import PROMPT, Window, needs_tmux, rqreg, window

# What differs from run to run.
CHANGING = (
    (re.compile(r'redis://127\.0\.0\.1:\d+/0'), '<server>'),
    (re.compile(r'\d\d:\d\d:\d\dZ'), '<time>'),
    (re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'), '<id>'),
    (re.compile(r' +(\d+[dhms] )?\d+[dhms](?= )'), ' <ago>'),
    (re.compile(r' +$', re.MULTILINE), ''),
)

SCREEN = """
rqreg top  <server>  <time>
3 queues: 0 waiting, 0 started, 83 failed  0 workers
━ 1 Queues ━ 1-3 of 3 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
 queue        queued▼  per s  oldest  start   finish  per s  failed  per s  work
>labels             0      0       -      0        0      0      40      0     0
 mail               0      0       -      0        0      0      40      0     0
 supply             0      0       -      0        3      0       3      0     0







─ 2 Workers ────────────────────────────────────────────────────────────────────
 no worker
─ 3 Newest failures ─ 1-2 of 83 ────────────────────────────────────────────────
 <ago> supply   shop.ask_supplier    TimeoutError: no answer about cup
 <ago> supply   shop.ask_supplier    TimeoutError: no answer about pot
─ 4 Errors ─ 1-2 of 3 ──────────────────────────────────────────────────────────
       40 <ago> <ago> shop.print_label KeyError               labels
       40 <ago> <ago> shop.send_mail   shop.MailServerDown    mail

Tab panel  Enter open  / filter  s sort  r requeue  d delete  ? help  q quit
"""


def masked(screen: str) -> str:
    for pattern, name in CHANGING:
        screen = pattern.sub(name, screen)
    return screen.rstrip('\n')


@pytest.fixture
def terminal(changing: Command, tmp_path: Path) -> Iterator[Window]:
    """A shell at a terminal of 80x24, whose `rqreg` uses the Redis of the test."""
    needs_tmux()
    with window(tmp_path, changing.environment()) as opened:
        yield opened


@pytest.fixture
def shop(shop_jobs: Redis, terminal: Window) -> Window:
    """`rqreg top` on the jobs of the shop."""
    terminal.run(rqreg('top'))
    terminal.wait_for('1 Queues', 'KeyError', 'MailServerDown', gone='reading...')
    return terminal


def has_ended(terminal: Window, status: int) -> None:
    """Check that the command has ended so, and that the terminal is as it was."""
    terminal.wait_for(PROMPT)
    assert terminal.flag('alternate_on') == '0'
    assert terminal.flag('cursor_flag') == '1'
    assert terminal.flag('wrap_flag') == '1'
    terminal.run('echo "it was $?"; stty -a')
    screen = terminal.wait_for('it was \\d', 'echoke')
    assert f'it was {status}' in screen
    modes = set(screen.replace(';', ' ').split())
    assert {'icanon', 'echo', 'isig', 'ixon'} <= modes


def test_first_screen_is_drawn_in_terminal(shop: Window) -> None:
    shop.wait_for('labels +0 +0')
    assert masked(shop.screen).split('\n') == SCREEN.strip('\n').split('\n')


def test_q_ends_program_with_status_0(shop: Window) -> None:
    shop.press('q')
    has_ended(shop, 0)


def test_ctrl_c_quits(shop: Window) -> None:
    shop.press('C-c')
    has_ended(shop, 130)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_end_top(number: signal.Signals, shop: Window, changing: Command) -> None:
    shop.press('q')
    shop.wait_for(PROMPT)
    shop.run(f'ulimit -c 0; {rqreg("top")}')
    shop.wait_for('MailServerDown')
    os.kill(pid_of_top(shop), number)
    has_ended(shop, 128 + number)


def pid_of_top(shell: Window) -> int:
    """Return the process id of the command that the shell of the window runs."""
    children = Path(f'/proc/{shell.flag("pane_pid")}/task/{shell.flag("pane_pid")}/children').read_text(
        encoding='ascii'
    )
    return int(children.split()[0])


def test_ctrl_z_suspends_top_and_fg_resumes_it(shop: Window) -> None:
    shop.press('C-z')
    shop.wait_for('Stopped', PROMPT)
    assert (shop.flag('alternate_on'), shop.flag('cursor_flag')) == ('0', '1')
    shop.run('stty -a')
    assert ' icanon' in shop.wait_for('echoke')
    shop.run('fg')
    shop.wait_for('1 Queues', 'MailServerDown', 'q quit', gone=PROMPT)
    assert (shop.flag('alternate_on'), shop.flag('cursor_flag')) == ('1', '0')
    # It goes on as before.
    shop.press('4')
    shop.wait_for('━ 4 Errors')
    shop.press('q')
    has_ended(shop, 0)


def test_top_goes_on_after_stop_by_signal(shop: Window) -> None:
    pid = pid_of_top(shop)
    os.kill(pid, signal.SIGSTOP)
    shop.wait_for('Stopped')
    shop.run('clear; stty sane; fg')
    shop.wait_for('1 Queues', 'MailServerDown', 'q quit', gone=PROMPT)
    shop.press('q')
    has_ended(shop, 0)


FAILING_CLIENT = """
from redis import Redis

class Failing(Redis):
    calls = 0

    def execute_command(self, *words, **options):
        return self._count(super().execute_command, *words, **options)

    def pipeline(self, *words, **options):
        return self._count(super().pipeline, *words, **options)

    def _count(self, call, *words, **options):
        Failing.calls += 1
        if Failing.calls > 200:
            raise ZeroDivisionError('of the test')
        return call(*words, **options)
"""


def test_exception_ends_top_and_is_shown(shop_jobs: Redis, terminal: Window, changing: Command, tmp_path: Path) -> None:
    (tmp_path / 'failing_client.py').write_text(FAILING_CLIENT)
    (tmp_path / 'failing_settings.py').write_text(f'REDIS_URL = {changing.url!r}\n')
    terminal.run(f'export PYTHONPATH={tmp_path}:$PYTHONPATH; unset RQ_REDIS_URL')
    terminal.run(rqreg('top', '-c', 'failing_settings', '--connection-class', 'failing_client.Failing'))
    terminal.wait_for('ZeroDivisionError: of the test', PROMPT)
    has_ended(terminal, 1)


def test_resized_terminal_is_drawn_anew(shop: Window) -> None:
    shop.resize(120, 40)
    shop.wait_for('━' * 90, r'(?m)^Tab panel')
    assert len(shop.lines) == 40
    shop.resize(60, 14)
    # There is no room for the other panels.
    screen = shop.wait_for('1 Queues', gone='Workers')
    assert len(screen.rstrip('\n').split('\n')) == 14
    shop.resize(15, 4)
    shop.wait_for('too small')
    shop.resize(80, 24)
    shop.wait_for('1 Queues', '2 Workers', '3 Newest failures', '4 Errors')


def test_keys_filter_sort_and_turn_pages(shop: Window) -> None:
    shop.press('3')
    shop.wait_for(r'━ 3 Newest failures ━ 1-\d+ of 83')
    shop.press('NPage')
    shop.wait_for(r'━ 3 Newest failures ━ (?!1-)\d+-\d+ of 83')
    shop.type('/supplier')
    shop.wait_for('/supplier_')
    shop.press('Enter')
    screen = shop.wait_for('filter: supplier ━ 1-3 of 3')
    assert screen.count('no answer about') >= 3
    shop.type('/')
    shop.press('C-u')
    shop.type('func=nothing*')
    shop.press('Enter')
    shop.wait_for('nothing matches the filter')
    shop.press('Escape')
    shop.wait_for('of 83')
    shop.type('ss')
    shop.wait_for('function▲')
    shop.type('S')
    shop.wait_for('function▼')


def test_enter_leads_from_a_queue_to_its_failures_and_to_a_job(shop: Window) -> None:
    shop.type('/supply')
    shop.press('Enter')
    shop.wait_for('filter: supply')
    shop.press('Enter')
    shop.wait_for('filter: queue=supply ━ 1-3 of 3')
    shop.press('Enter')
    shop.wait_for('━ job ', 'stands in +failed registry of supply', r'shop.ask_supplier')
    shop.press('End')
    shop.wait_for('TimeoutError: no answer about')
    shop.type('q')
    shop.wait_for('filter: queue=supply')


def test_one_job_is_requeued_after_a_question(shop: Window, connection: Redis) -> None:
    failed = Queue('supply', connection=connection).failed_job_registry
    shop.type('3/queue=supply')
    shop.press('Enter')
    shop.wait_for('1-3 of 3')
    shop.type('r')
    shop.wait_for(r'requeue shop.ask_supplier of supply \([0-9a-f-]+…? \[y/N\]')
    shop.type('n')
    shop.wait_for('nothing was changed')
    assert failed.count == 3
    shop.type('ry')
    shop.wait_for(r'\[y/N\]|requeued')
    shop.type('y')
    shop.wait_for('requeued 1 of 1 job in', '1-2 of 2')
    assert (failed.count, Queue('supply', connection=connection).count) == (2, 1)


def test_deleting_group_asks_with_its_number(shop: Window, connection: Redis) -> None:
    shop.type('4')
    shop.press('Down')
    shop.wait_for('>.*MailServerDown')
    shop.type('d')
    shop.wait_for(r'delete 40 jobs of 1 queue \(mail 40\)\? \[y/N\]')
    shop.type('y')
    shop.wait_for('deleted 40 of 40 jobs in', gone='MailServerDown')
    assert Queue('mail', connection=connection).failed_job_registry.count == 0
    assert Queue('labels', connection=connection).failed_job_registry.count == 40


def test_all_failed_jobs_that_match_are_requeued(shop: Window, connection: Redis) -> None:
    shop.type('3R')
    shop.wait_for(r'requeue 83 jobs of 3 queues \(labels 40, mail 40, supply 3\)\? \[y/N\]')
    shop.type('y')
    shop.wait_for('requeued 83 of 83 jobs in', 'no failed job')
    assert Queue('mail', connection=connection).count == 40


def test_change_in_top_is_logged(shop_jobs: Redis, terminal: Window, tmp_path: Path) -> None:
    log = tmp_path / 'changes'
    terminal.run(rqreg('top', '--log', str(log), '--reason', 'the printer is back'))
    terminal.wait_for('KeyError')
    terminal.type('4d')
    terminal.wait_for(r'delete 40 jobs of 1 queue \(labels 40\)\? \[y/N\]')
    terminal.type('y')
    terminal.wait_for('deleted 40 of 40 jobs in')
    terminal.type('q')
    has_ended(terminal, 0)
    (record,) = map(json.loads, log.read_text().splitlines())
    assert (record['action'], record['jobs'], record['queues']) == ('delete', 40, {'labels': 40})
    assert record['filters'] == {'search': 'func=shop.print_label exc=KeyError'}
    assert (record['reason'], record['interrupted'], record['error']) == ('the printer is back', False, None)


def test_change_that_cannot_be_logged_is_reported_at_end(shop_jobs: Redis, terminal: Window) -> None:
    terminal.run(rqreg('top', '--log', '/dev/full'))
    terminal.wait_for('KeyError')
    terminal.type('4d')
    terminal.wait_for(r'labels 40\)\? \[y/N\]')
    terminal.type('y')
    screen = terminal.wait_for('deleted 40 of 40 jobs in')
    assert '/dev/full' not in screen
    terminal.type('q')
    terminal.wait_for('could not be logged', '"jobs": 40')
    has_ended(terminal, 1)


def test_read_only_top_changes_nothing(shop_jobs: Redis, terminal: Window) -> None:
    terminal.run(rqreg('top', '--read-only'))
    screen = terminal.wait_for('1 Queues', 'KeyError')
    assert 'requeue' not in screen
    terminal.type('3d')
    terminal.wait_for('--read-only was given')
    assert Queue('mail', connection=shop_jobs).failed_job_registry.count == 40


def test_paused_screen_ignores_new_jobs_but_takes_keys(shop: Window, connection: Redis) -> None:
    shop.type('p')
    shop.wait_for('PAUSED')
    before = shop.screen
    Queue('mail', connection=connection).enqueue('shop.send_mail', 1)
    # Keys still work.
    shop.press('Down')
    shop.wait_for('> *mail')
    assert ' 0 waiting' in shop.screen
    shop.press('Home')
    shop.wait_for('> *labels')
    assert shop.screen == before
    shop.type('p')
    shop.wait_for(' 1 waiting', gone='PAUSED')


def test_help_is_shown_until_escape(shop: Window) -> None:
    shop.type('?')
    screen = shop.wait_for('━ help', 'Shift-Tab')
    assert 'Ctrl-C' in screen
    shop.press('Escape')
    shop.wait_for('1 Queues')


def test_worker_panel_shows_job_that_a_worker_runs(shop_jobs: Redis, terminal: Window, changing: Command) -> None:
    Queue('exports', connection=shop_jobs).enqueue('time.sleep', 600, job_id='export-1')
    worker = subprocess.Popen(
        [sys.executable, '-m', 'rq.cli', 'worker', '--quiet', '--url', changing.url, '--name', 'web-1', 'exports'],
        start_new_session=True,
    )
    try:
        terminal.run(rqreg('top'))
        terminal.wait_for(r'web-1 +busy +\d+s time.sleep', '1 worker: 1 busy')
        terminal.press('Tab', 'Enter')
        terminal.wait_for('━ job export-1', 'started registry of exports')
        terminal.type('r')
        terminal.wait_for('select a failed job')
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def test_top_goes_on_after_server_comes_back(terminal: Window) -> None:
    server = PrivateRedis().start()
    try:
        Queue('mail', connection=server.client()).enqueue('shop.send_mail', 1)
        terminal.run(rqreg('top', '--url', server.url))
        terminal.wait_for(' 1 waiting')
        server.kill()
        terminal.wait_for(r'the data is \d+s old; trying again. ConnectionError', r'> *mail +1')
        server.start()
        Queue('labels', connection=server.client()).enqueue('shop.print_label', 1)
        terminal.wait_for('labels', gone='trying again')
        terminal.press('q')
        has_ended(terminal, 0)
    finally:
        server.stop()


def test_silent_server_makes_data_old_but_keys_work(terminal: Window) -> None:
    """Nothing says that the connection is lost. Keys work."""
    with PrivateRedis() as server:
        Queue('mail', connection=server.client()).enqueue('shop.send_mail', 1)
        terminal.run(rqreg('top', '--url', server.url, '--interval', '0.5'))
        terminal.wait_for(' 1 waiting')
        os.kill(server.pid, signal.SIGSTOP)
        try:
            terminal.wait_for(r'the data is \d+s old')
            terminal.type('2')
            terminal.wait_for('━ 2 Workers')
        finally:
            os.kill(server.pid, signal.SIGCONT)
        terminal.wait_for('2 Workers', gone='old;')
        terminal.press('C-c')
        has_ended(terminal, 130)


def test_ctrl_c_ends_top_while_the_server_does_not_answer(terminal: Window) -> None:
    with PrivateRedis() as server:
        Queue('mail', connection=server.client()).enqueue('shop.send_mail', 1)
        terminal.run(rqreg('top', '--url', server.url))
        terminal.wait_for(' 1 waiting')
        os.kill(server.pid, signal.SIGSTOP)
        try:
            terminal.wait_for(r'the data is \d+s old')
            terminal.press('C-c')
            has_ended(terminal, 130)
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_ctrl_c_while_jobs_are_changed_says_what_was_done(
    shop_jobs: Redis, terminal: Window, redis_server: PrivateRedis
) -> None:
    terminal.run(rqreg('top'))
    terminal.wait_for('KeyError')
    terminal.type('3R')
    terminal.wait_for('requeue 83 jobs')
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        terminal.type('y')
        terminal.wait_for('requeue\\.\\.\\.')
        terminal.press('C-c')
        terminal.wait_for('rqreg: (requeued|ended before)', PROMPT)
        has_ended(terminal, 130)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)


def test_names_with_control_characters_are_escaped(connection: Redis, terminal: Window) -> None:
    name = 'a\x1b[2J\n'
    connection.sadd('rq:queues', f'rq:queue:{name}')
    connection.zadd(f'rq:failed:{name}', {'j\x1b[2J': 4e9})
    terminal.run(rqreg('top'))
    screen = terminal.wait_for(re.escape(r'>a\x1b[2J\n'))
    assert len(screen.splitlines()) == 24
    terminal.type('3')
    terminal.wait_for(re.escape(r'job j\x1b[2J of a\x1b[2J'))


def test_no_color_variable_leaves_colours_out(shop_jobs: Redis, terminal: Window) -> None:
    terminal.run(rqreg('top'))
    terminal.wait_for('MailServerDown')
    assert re.search(r'\x1b\[[\d;]*3[1-6]m', terminal.styled())
    terminal.press('q')
    terminal.wait_for(PROMPT)
    terminal.run(f'NO_COLOR=1 {rqreg("top")}')
    terminal.wait_for('MailServerDown')
    assert not re.search(r'\x1b\[[\d;]*[34][0-7]m', terminal.styled())
    assert re.search(r'7m(\x1b\[[\d;]*m)*>labels', terminal.styled())
