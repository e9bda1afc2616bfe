"""What the screen shows of a state."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from rqreg_ext.cli.top.columns import COLUMNS, cut, fitted, number_text, rate_text, rule, sized
from rqreg_ext.cli.top.data import FailuresView, Groups, Overview
from rqreg_ext.cli.top.draw import draw
from rqreg_ext.cli.top.keys import press
from rqreg_ext.cli.top.screen import encoded
from rqreg_ext.cli.top.search import Search
from rqreg_ext.cli.top.state import State, Text

from .states import NOW, failure, group, lines, overview, queue, state, worker

SIZES = [(80, 24), (80, 25), (200, 60), (40, 12), (20, 6), (132, 43), (81, 16), (300, 7)]

SCREEN = """
rqreg top  localhost:6379, database 0  14:13:20Z
3 queues: 12 345 waiting, 1 started, 83 failed  2 workers: 1 busy, 1 idle
━ 1 Queues ━ 1-3 of 3 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
 queue        queued▼  per s  oldest  start   finish  per s  failed  per s  work
>mail          12 345   +2.5  1m 30s      1        0      0      40      0     1
 labels             0      -       -      0        0      -      40      -     1
 supply             0      -       -      0        3      -       3      -     1






─ 2 Workers ─ 1-2 of 2 ─────────────────────────────────────────────────────────
 w1           busy       12s shop.send_mail   job-9     mail          23       3
 w2           idle         - -                -         mail           0       0
─ 3 Newest failures ─ 1-2 of 30 ────────────────────────────────────────────────
      1m mail     shop.send_mail       shop.MailServerDown: refused
   1m 1s mail     shop.send_mail       shop.MailServerDown: refused
─ 4 Errors ─ 1-2 of 2 ──────────────────────────────────────────────────────────
       40      1m      2h shop.print_label KeyError               labels
       30      1m      2h shop.send_mail   shop.MailServerDown    mail

Tab panel  Enter open  / filter  s sort  r requeue  d delete  ? help  q quit
"""


def test_whole_screen_is_drawn_as_expected() -> None:
    assert lines(state(width=80, height=24)) == SCREEN.strip('\n').split('\n')


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(
    'changes', [{}, {'view': 'failed'}, {'is_zoomed': True}, {'error': 'ConnectionError: no'}, {'text': 1}]
)
def test_screen_has_size_of_terminal(size: tuple[int, int], changes: dict[str, object]) -> None:
    shop = state(width=size[0], height=size[1], **changes)
    if shop.text is not None:
        shop.text = Text('job', [str(number) * 30 for number in range(100)])
    drawn = lines(shop)
    assert len(drawn) == size[1]
    assert max(map(cell_len, drawn)) <= size[0]
    assert 'quit' in drawn[-1] or 'back' in drawn[-1] or size[0] < 80


@pytest.mark.parametrize('size', [(1, 1), (19, 24), (80, 5), (0, 0)])
def test_screen_fits_terminal_that_is_too_small(size: tuple[int, int]) -> None:
    drawn = lines(state(width=size[0], height=size[1]))
    assert len(drawn) <= size[1]
    assert all(len(line) <= size[0] for line in drawn)


def test_panels_say_reading_before_anything_was_read() -> None:
    drawn = '\n'.join(lines(State()))
    assert drawn.count('reading...') == 5


def test_redis_without_queues_is_said_to_be_empty() -> None:
    empty = State(now=NOW, overview=overview(), failures=FailuresView(), groups=Groups(NOW))
    drawn = '\n'.join(lines(empty))
    assert [drawn.count(text) for text in ('no queue', 'no worker', 'no failed job', 'reading')] == [1, 1, 2, 0]


def test_wide_and_control_characters_keep_width_of_screen() -> None:
    shop = state(width=100, height=24)
    shop.overview = overview(
        queue('邮件邮件邮件邮件邮件邮件邮件邮件邮件邮件邮件邮件', failed=1),
        queue('a\x1b[2J\n\u202eb', failed=1),
        workers=(worker('w\x07', 'b\x08sy'),),
        left_out=('mail\r not read',),
    )
    shop.failures = FailuresView('', (failure('j\t1', exc_message='a\nb\x9b', worker_name='w\0'),))
    shop.groups = Groups(NOW, (group('f\x1b', 'e\x7f', 1, 'q\n'),))
    for view in COLUMNS:
        shop.view = view
        for line in draw(shop):
            text = ''.join(part for part, _ in line)
            assert text.isprintable()
            assert cell_len(text) <= 100
    drawn = '\n'.join(lines(shop))
    assert r'a\x1b[2J\n\u202eb' in drawn
    assert '邮件' in drawn


def test_next_page_shows_next_rows() -> None:
    shop = state(view='failed', is_zoomed=True)
    assert '━ 1-18 of 30 ━' in lines(shop)[2]
    press(shop, 'pagedown')
    drawn = lines(shop)
    assert '━ 19-30 of 30 ━' in drawn[2]
    assert sum(line.startswith('>') for line in drawn) == 1


def test_selected_row_is_marked_without_colours() -> None:
    drawn = [encoded(line, has_colours=False) for line in draw(state())]
    selected = [line for line in drawn if line.startswith('\x1b[7m>')]
    assert len(selected) == 1
    assert not [code for line in drawn for code in re.findall(r'\x1b\[([\d;]*)m', line) if '3' in code or '4' in code]


def test_sorted_column_has_arrow() -> None:
    shop = state()
    assert 'queued▼' in lines(shop)[3]
    press(shop, 'S')
    assert 'queued▲' in lines(shop)[3]


def test_lost_connection_shows_error_and_age_of_data() -> None:
    shop = state(error='ConnectionError: refused\n', now=NOW + 75)
    (line,) = [line for line in lines(shop) if 'ConnectionError' in line]
    assert '1m 15s' in line
    assert '\\n' in line
    # A server that does not answer has no error yet.
    assert any('the data is 1m 15s old' in line for line in lines(state(now=NOW + 75)))
    assert not any('old;' in line for line in lines(state(now=NOW + 1)))


def test_screen_says_if_paused_or_read_only() -> None:
    assert 'PAUSED' in lines(state(is_paused=True))[0]
    drawn = lines(state(is_read_only=True))
    assert 'read-only' in drawn[0]
    assert 'requeue' not in drawn[-1]


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'question': 'delete 3 jobs of 1 queue (mail 3)?'}, 'delete 3 jobs of 1 queue (mail 3)? [y/N]'),
        ({'question': 'x' * 90}, 'x' * 73 + '… [y/N]'),
        ({'typed': 'ma\x1bil'}, r'/ma\x1bil_'),
        ({'running': 'requeue: 5 of 9'}, 'requeue: 5 of 9'),
        ({'counting': object()}, 'counting... (Esc stops it)'),
        ({'message': 'requeued 9'}, 'requeued 9'),
        ({'view': 'failed'}, 'job job-0 of mail, by w1'),
        ({'view': 'errors'}, 'in labels; latest job-1'),
    ],
)
def test_line_above_keys_describes_state(changes: dict[str, object], text: str) -> None:
    assert lines(state(**changes))[-2] == text


def test_columns_are_left_out_by_rank() -> None:
    usual = COLUMNS['queues'][:10]
    titles = {width: [column.title for column, _ in fitted(usual, width)] for width in (200, 79, 40, 20)}
    assert len(titles[200]) == len(titles[79]) == 10
    assert titles[40] == ['queue', 'queued', 'oldest', 'failed']
    assert titles[20] == ['queue', 'queued']
    for columns in COLUMNS.values():
        for width in range(1, 220):
            found = fitted(columns, width)
            if len(found) > 1:
                assert sum(size for _, size in found) + len(found) - 1 <= width


def test_every_title_has_room_for_its_arrow() -> None:
    assert [
        column
        for columns in COLUMNS.values()
        for column in columns
        if column.order and len(column.title) >= column.width
    ] == []


def test_rare_registries_have_columns_if_there_are_any() -> None:
    shop = state(width=200)
    assert 'sched' not in lines(shop)[3]
    shop.overview = overview(queue('mail', scheduled=1))
    assert 'sched' in lines(shop)[3]


def test_numbers_and_rates_are_short() -> None:
    numbers = {0: '0', 1234: '1 234', 999_999: '999 999', 1_234_567: '1.2M', 12 * 10**12: '12.0T'}
    assert {number: number_text(number) for number in numbers} == numbers
    rates = {None: '-', 0.0: '0', 0.04: '0', -0.5: '-0.5', 99.9: '+99.9', 100.0: '+100', 12_345.0: '+12k', 2e6: '+2M'}
    assert {rate: rate_text(rate) for rate in rates} == rates
    for exponent in range(9):
        for digit in (1, 9.9995):
            assert len(rate_text(-digit * 10**exponent)) <= 6
            assert len(number_text(int(digit * 10**exponent))) <= 7


def test_texts_are_cut_and_filled_to_a_width() -> None:
    assert [sized('ab', 4), sized('ab', 4, is_right=True), sized('abcde', 4)] == ['ab  ', '  ab', 'abc…']
    # No half of a wide character.
    assert cut('邮件邮', 4) == '邮 …'
    assert [cell_len(sized('邮件a邮', width)) for width in range(9)] == list(range(9))
    assert rule(['a', 'b'], 12, is_thick=False) == '─ a ─ b ────'
    assert rule(['abcdef'], 5, is_thick=True) == '━ abc'


def test_filter_without_matches_is_said() -> None:
    shop = state()
    shop.panels['queues'].search = Search('x')
    assert any('nothing matches the filter' in line for line in lines(shop))
    assert 'filter: x' in lines(shop)[2]


def test_overview_without_rates_is_drawn() -> None:
    shop = state(overview=Overview(NOW))
    assert '0 queues' in '\n'.join(lines(shop))
