"""What all commands have in common: options, errors, exit statuses, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from private_redis import PrivateRedis, free_port
from redis import Redis
from rq.cli.helpers import shared_options

import rqreg_ext
from rqreg_ext.cli.root import COMMANDS, root

from .running import Command, words

# What a command needs besides queues; and its exit status for a server that is not there, and for wrong usage.
NEEDED: dict[str, list[str]] = {
    'show': ['no-such-job'],
    'trim': ['--keep', '1'],
    'move': ['--to', 'mail'],
    'empty': ['mail'],
    'completion': ['bash'],
    'exporter': ['--once'],
    'check': ['--failed', '1000:'],
}
MONITORING = ('check',)
# They need no server.
LOCAL = ('completion', 'man')
# It needs a terminal, and is tested in tests/cli/top.
AT_TERMINAL = ('top',)
# They need a file: tests/cli/test_export.py.
WITH_FILE = ('export', 'restore')
WITHOUT_TERMINAL = [name for name in COMMANDS if name not in (*AT_TERMINAL, *WITH_FILE)]
# The options of RQ's command that choose a class of what this command never uses.
NOT_OURS = {'--worker-class', '--queue-class'}


def test_version_imports_neither_rq_nor_redis_nor_click() -> None:
    program = (
        'import sys; sys.argv = ["rqreg", "--version"]; from rqreg_ext.cli import main; status = main(); '
        'print(status, [name for name in ("click", "redis", "rq", "asyncio") if name in sys.modules])'
    )
    ended = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [f'rqreg {rqreg_ext.__version__}', '0 []']


def test_console_script_is_installed() -> None:
    command = Path(sys.executable).parent / 'rqreg'
    ended = subprocess.run([command, '--version'], capture_output=True, text=True, check=True)
    assert ended.stdout == f'rqreg {rqreg_ext.__version__}\n'


def test_help_names_each_command(rqreg: Command) -> None:
    ended = rqreg('--help')
    assert (ended.status, ended.err) == (0, '')
    assert [name for name in COMMANDS if f'  {name} ' not in ended.out] == []


def options_of(name: str) -> dict[str, click.Parameter]:
    """Return the options of a command, each by all of its names."""
    with root.make_context('rqreg', ['--help'], resilient_parsing=True) as context:
        command = root.get_command(context, name)
    assert command is not None
    return {option: parameter for parameter in command.params for option in parameter.opts}


def arguments_of(name: str) -> list[str]:
    """Return arguments with which a command changes nothing."""
    options = options_of(name)
    common = [option for option in ('--all-queues', '--dry-run') if option in options and name != 'fsck']
    return [name, *common, *NEEDED.get(name, [])]


def formats_of(name: str) -> list[str]:
    """Return the formats in which a command prints data."""
    output = options_of(name).get('--output')
    return [] if output is None else list(output.type.choices)  # type: ignore[attr-defined]


# ---- What each command does: new ones are found here


@pytest.mark.parametrize('name', COMMANDS)
def test_help_of_command_fits_in_80_columns(name: str, rqreg: Command) -> None:
    ended = rqreg(name, '--help', COLUMNS='80')
    assert (ended.status, ended.err) == (0, '')
    assert [line for line in ended.lines if len(line) > 80] == []
    assert ended.out.startswith(f'Usage: rqreg {name} ')
    # What each option is for.
    assert [
        option for option in options_of(name).values() if isinstance(option, click.Option) and not option.help
    ] == []


@pytest.mark.parametrize('name', [name for name in COMMANDS if name not in WITH_FILE])
def test_json_of_command_has_the_schema(name: str, rqreg: Command, tmp_path: Path) -> None:
    formats = formats_of(name)
    log = tmp_path / 'log'
    log.touch()
    for output in {'json', 'jsonl'}.intersection(formats):
        ended = rqreg(*arguments_of(name), '--output', output, RQREG_LOG=str(log))
        assert ended.err == '' or name == 'show'
        assert ended.status in (0, 1)
        values = [ended.json] if output == 'json' else ended.values
        assert {value['schema'] for value in values} <= {1}
        assert 'NaN' not in ended.out


@pytest.mark.parametrize('name', WITHOUT_TERMINAL)
def test_command_prints_no_control_characters_into_pipe(name: str, rqreg: Command, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    log.touch()
    ended = rqreg(*arguments_of(name), RQREG_LOG=str(log))
    assert ended.status in (0, 1), ended.err
    assert '\x1b' not in ended.out + ended.err
    assert '\r' not in ended.out + ended.err


@pytest.mark.parametrize('name', COMMANDS)
def test_unknown_option_is_wrong_usage(name: str, rqreg: Command) -> None:
    ended = rqreg(name, '--no-such-option')
    assert (ended.status, ended.out) == (3 if name in MONITORING else 2, '')
    assert '--no-such-option' in ended.err
    assert ended.err.endswith(f'Try `rqreg {name} --help`.\n')


@pytest.mark.parametrize('name', [name for name in WITHOUT_TERMINAL if name not in LOCAL])
def test_command_without_server_says_so_in_a_line(name: str, rqreg: Command) -> None:
    arguments = [*arguments_of(name), '--url', f'redis://127.0.0.1:{free_port()}']
    ended = rqreg(*arguments, *(['--log', 'stream'] if name == 'log' else []))
    said = ended.out if name in MONITORING else ended.err
    assert ended.status == (2 if name in MONITORING else 4)
    assert len(said.splitlines()) == 1
    assert 'ConnectionError' in said


@pytest.mark.parametrize(
    ('name', 'output'), [(name, output) for name in WITHOUT_TERMINAL for output in formats_of(name) or ['table']]
)
def test_command_ends_quietly_if_pipe_is_closed(name: str, output: str, rqreg: Command, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    log.touch()
    chosen = ['--output', output] if output in formats_of(name) else []
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        words(*arguments_of(name), *chosen),
        env=rqreg.environment(RQREG_LOG=str(log)),
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert b'Traceback' not in ended.stderr
    assert b'BrokenPipe' not in ended.stderr
    assert ended.returncode in (0, 1)


@pytest.mark.covering(1)
@pytest.mark.parametrize('name', WITHOUT_TERMINAL)
@pytest.mark.parametrize('variables', [{}, {'PYTHONUNBUFFERED': '1'}])
def test_full_disk_is_reported_in_one_line(
    name: str, variables: dict[str, str], rqreg: Command, tmp_path: Path
) -> None:
    (tmp_path / 'log').touch()
    with open('/dev/full', 'w') as full:
        ended = subprocess.run(
            words(*arguments_of(name)),
            env=rqreg.environment(RQREG_LOG=str(tmp_path / 'log'), **variables),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            text=True,
        )
    assert ended.returncode == (3 if name in MONITORING else 1)
    *outcome, said = [line for line in ended.stderr.splitlines() if 'there is no job' not in line]
    assert said == 'rqreg: stdout: No space left on device'
    # What is done, or would be, must be known.
    assert ['would' in line for line in outcome] == ([True] if '--dry-run' in arguments_of(name) else [])


@pytest.mark.parametrize('name', WITHOUT_TERMINAL)
def test_closed_streams_do_not_change_status(name: str, rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / 'log').touch()
    environment = rqreg.environment(RQREG_LOG=str(tmp_path / 'log'))
    expected = rqreg(*arguments_of(name), RQREG_LOG=str(tmp_path / 'log')).status
    for closed in ('<&-', '>&-', '2>&-', '<&- >&- 2>&-'):
        ended = subprocess.run(
            ['sh', '-c', f'exec "$0" "$@" {closed}', *words(*arguments_of(name))],
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
            text=True,
        )
        assert (ended.returncode, 'Traceback' in ended.stderr) == (expected, False), (closed, ended.stderr)


@pytest.mark.parametrize('name', [name for name in WITHOUT_TERMINAL if '--limit' in options_of(name)])
def test_huge_limit_is_taken_as_none(name: str, rqreg: Command, tmp_path: Path) -> None:
    (tmp_path / 'log').touch()
    arguments = [*arguments_of(name), *(['--newest'] if name == 'ls' else [])]
    ended = rqreg(*arguments, '--limit', '9' * 30, RQREG_LOG=str(tmp_path / 'log'))
    without = rqreg(*arguments, RQREG_LOG=str(tmp_path / 'log'))
    assert (ended.status, ended.err, len(ended.lines)) == (without.status, '', len(without.lines))
    if name == 'ls':
        assert len(rqreg('ls', '--limit', '9' * 30).lines) == 84


@pytest.mark.parametrize('name', [name for name in WITHOUT_TERMINAL if {'--queue', 'queues'} & options_of(name).keys()])
def test_mistyped_queue_is_answered_with_near_names(name: str, rqreg: Command) -> None:
    options = options_of(name)
    arguments = [argument for argument in arguments_of(name) if argument != '--all-queues']
    ended = rqreg(*arguments, *(['--queue'] if '--queue' in options else []), 'mial')
    assert ended.status == (3 if name in MONITORING else 2)
    assert "did you mean 'mail'?" in ended.out + ended.err


@pytest.mark.parametrize('name', [name for name in COMMANDS if name not in LOCAL])
def test_each_command_has_the_options_of_rqs_commands(name: str, rqreg: Command) -> None:
    ours = options_of(name)

    @shared_options_of_rq
    def rqs() -> None: ...

    for parameter in rqs.__click_params__:  # type: ignore[attr-defined]
        if not NOT_OURS & set(parameter.opts):
            assert [ours[option].envvar for option in parameter.opts] == [parameter.envvar] * len(parameter.opts)
    assert rqreg(name, '--help').status == 0


def shared_options_of_rq(function: object) -> object:
    for option in shared_options:
        function = option(function)
    return function


def test_rqreg_without_arguments_says_how_to_use_it(rqreg: Command) -> None:
    ended = rqreg()
    assert (ended.status, ended.out) == (2, '')
    assert 'Usage: rqreg' in ended.err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['statz'], "there is no command 'statz' (did you mean 'stats'?)"),
        (['stats', '--sorted'], '--sorted'),
        (['stats', 'mial'], "there is no queue 'mial' (did you mean 'mail'?). RQ knows 'labels', 'mail', 'supply'\n"),
        (['stats', 'x*'], "no queue matches 'x*'. RQ knows labels, mail, supply\n"),
        (['stats', '--url', 'http://x'], '--url http://x: Redis URL must specify'),
        (['stats', '--watch', '999999999999d'], "'999999999999d' is not a duration: give a number of seconds"),
        (['stats', '--watch', '1e300'], "'1e300' is not a duration: give a number of seconds"),
        (['stats', '--watch', '-1'], "'-1' is not a duration: give a number of seconds"),
        (['fsck', '--settle', '999999h'], 'up to ten years'),
        (['ls', '--ended-after', '999999999999d'], "'999999999999d' is not a time: give a duration before now"),
        (['ls', '--ended-after', '9999999d'], "'9999999d' is not a time: give a duration before now"),
        (
            ['ls', '--ended-after', '2026-01-02T00:00Z', '--ended-before', '2026-01-01T00:00Z'],
            ': --ended-after=2026-01-02T',
        ),
        (
            ['errors', '--exc-text', ''],
            "--exc-text='' is found in every text: give a text that the exception has, or leave",
        ),
        (['delete', '--all-queues', '--min-score', '5', '--max-score', '1'], '--min-score=5.0 is greater than --max-'),
        (['ls', '--ended-after', '0001-01-01T00:00+05:00'], "'0001-01-01T00:00+05:00' is not a time"),
        (['stats', 'na\udcffme'], "'na\\udcffme' is not text in UTF-8"),
        (['show', '\udcff'], "'\\udcff' is not text in UTF-8"),
        (['ls', '--queue', '\udcff', '--waiting'], "'\\udcff' is not text in UTF-8"),
        (['empty', '\udcff', '--yes'], "'\\udcff' is not text in UTF-8"),
        (['restore', 'none', '--to-queue', '', '--yes'], '--to-queue: give the name of a queue'),
        (['restore', '', '--yes'], 'FILE: give the name of a file, or -'),
        (['export', ''], 'FILE: give the name of a file, or -'),
        (['ls', '--job-class', 'nothing.Job'], '--job-class nothing.Job: Invalid attribute name'),
        (['export', '-', '--job-class', 'os.path'], '--job-class os.path: Invalid job class'),
        (['stats', '--connection-class', 'nothing'], '--connection-class nothing: Invalid attribute name'),
        (['stats', '--connection-class', 'os.getcwd'], '--connection-class os.getcwd: '),
        (['stats', '--url', 'redis://localhost?nothing=1'], "unexpected keyword argument 'nothing'"),
        (['stats', '--url', 'redis://:secret@localhost:port'], '--url redis://:***@localhost:port: Port could not'),
        (['stats', '--url', '', '--config', 'no_such_module'], '--config no_such_module: No module named'),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], message: str, rqreg: Command) -> None:
    ended = rqreg(*arguments)
    assert (ended.status, ended.out) == (2, '')
    assert message in ended.err


def test_missing_server_is_status_4(rqreg: Command) -> None:
    ended = rqreg('stats', '-u', f'redis://127.0.0.1:{free_port()}')
    assert (ended.status, ended.out) == (4, '')
    assert ended.err.startswith('rqreg: no answer from the server: ConnectionError')
    assert len(ended.err.splitlines()) == 1


def test_server_that_refuses_is_status_4() -> None:
    with PrivateRedis(requirepass='secret') as server:
        ended = Command(server.url)('stats')
        assert (ended.status, ended.out) == (4, '')
        assert ended.err.startswith('rqreg: the server refuses: AuthenticationError')
        assert Command(server.url.replace('//', '//:secret@'))('stats').status == 0


def test_settings_of_rq_choose_server(shop_server: PrivateRedis, tmp_path: Path) -> None:
    (tmp_path / 'shop_settings.py').write_text(f'REDIS_HOST = "127.0.0.1"\nREDIS_PORT = {shop_server.port}\n')
    without = Command('')
    assert 'mail' in without('stats', '-c', 'shop_settings', '--path', str(tmp_path)).out
    assert 'mail' in without('stats', '-P', str(tmp_path), RQ_CONFIG='shop_settings').out
    assert 'mail' in without('stats', REDIS_HOST='127.0.0.1', REDIS_PORT=str(shop_server.port)).out
    # The URL goes before the settings.
    assert without('stats', '-c', 'shop_settings', '-P', str(tmp_path), '-u', 'redis://127.0.0.1:1').status == 4


def test_key_prefix_of_environment_is_used(connection: Redis, changing: Command) -> None:
    if not hasattr(__import__('rq.defaults').defaults, 'RQ_KEY_PREFIX'):
        pytest.skip('RQ before 3 has no RQ_KEY_PREFIX')
    connection.sadd('shop:queues', 'shop:queue:mail')
    connection.rpush('shop:queue:mail', 'a', 'b')
    (queue,) = changing('stats', '-o', 'json', RQ_KEY_PREFIX='shop').json['queues']
    assert (queue['queue'], queue['queued']) == ('mail', 2)


def test_names_of_queues_are_printed_in_one_line(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:new\n\x1bline')
    shown = 'new\\n\\x1bline'
    assert changing('ls', '--queue', 'x*').err.startswith(f"rqreg ls: no queue matches 'x*'. RQ knows {shown}\n")
    assert changing('check', '--queued', 'x=1').err.startswith(
        f"rqreg check: there is no queue 'x'. RQ knows {shown}\n"
    )
    ended = changing('check', '--queued', 'new\n\x1bline=1:2')
    assert (len(ended.lines), f"'{shown}_queued'=0;1;2;0" in ended.out) == (1, True)


def test_colours_are_printed_at_terminals_only(rqreg: Command) -> None:
    for variables, has_colours in (({}, True), ({'NO_COLOR': '1'}, False), ({'TERM': 'dumb'}, False)):
        terminal = rqreg.at_terminal('stats', **variables)
        assert terminal.end() == 0
        assert ('\x1b[' in terminal.text) is has_colours
    assert '\x1b[' not in rqreg('stats').out


def test_name_that_terminal_cannot_show_is_escaped(connection: Redis, changing: Command) -> None:
    connection.sadd('rq:queues', 'rq:queue:größe')
    ended = changing('stats', PYTHONIOENCODING='ascii')
    assert (ended.status, ended.err) == (0, '')
    assert 'gr\\xf6\\xdfe' in ended.out
