"""What terminals send as keys, and what keys do to the state."""

from __future__ import annotations

import pytest

from rqreg_ext.cli.top.keys import Change, Count, FindFailures, KeyReader, OpenJob, Quit, Refresh, Stop, press
from rqreg_ext.cli.top.state import ORDERS, State, Text

from .states import failure, state


@pytest.mark.parametrize(
    ('data', 'keys'),
    [
        (b'q', ['q']),
        (b'\x1b[A\x1b[B', ['up', 'down']),
        (b'\x1bOA\x1bOF', ['up', 'end']),
        (b'\x1b[5~\x1b[6~\x1b[1~\x1b[4~', ['pageup', 'pagedown', 'home', 'end']),
        (b'\x1b[Z\t', ['backtab', 'tab']),
        (b'\r\n\x7f\x08\x15', ['enter', 'enter', 'backspace', 'backspace', 'clear']),
        ('größe'.encode(), list('größe')),
        # What is not a key of ours, and what follows it.
        (b'\x1b[1;5Cx', ['x']),
        (b'\x1b[200~a', ['a']),
        (b'\xff', ['\ufffd']),
        # Escape twice, and Alt-x.
        (b'\x1b\x1b[A', ['escape', 'up']),
        (b'\x1bx', ['escape', 'x']),
    ],
)
def test_bytes_are_read_as_keys(data: bytes, keys: list[str]) -> None:
    assert KeyReader().feed(data) == keys
    # However they are cut into pieces.
    reader = KeyReader()
    assert [key for byte in data for key in reader.feed(bytes([byte]))] == keys


def test_escape_by_itself_is_only_known_after_a_while() -> None:
    reader = KeyReader()
    assert reader.feed(b'\x1b') == []
    assert reader.is_waiting
    assert reader.end() == ['escape']
    assert not reader.is_waiting
    assert (reader.feed(b'\x1b['), reader.end()) == ([], ['escape', '['])


def pressed(of: State, *keys: str) -> object:
    """Press keys, and return what the last one asks for."""
    asked = None
    for key in keys:
        asked = press(of, key)
    return asked


def selected_key(of: State) -> object:
    row = of.selected()
    return None if row is None else row.key


def test_tab_and_digits_change_panel() -> None:
    shop = state()
    seen = []
    for key in ('tab', 'tab', 'tab', 'tab', 'backtab', '3', '1'):
        press(shop, key)
        seen.append(shop.view)
    assert seen == ['workers', 'failed', 'errors', 'queues', 'errors', 'failed', 'queues']


def test_selection_moves_by_rows_and_pages() -> None:
    shop = state(view='failed')
    page = shop.page
    assert 5 < page < 20
    seen = []
    for key in ('down', 'j', 'up', 'pagedown', 'end', 'down', 'k', 'pageup', 'home', 'up'):
        press(shop, key)
        seen.append(shop.index('failed', shop.rows('failed')))
    assert seen == [1, 2, 1, 1 + page, 29, 29, 28, 28 - page, 0, 0]


def test_selection_stays_with_its_row() -> None:
    shop = state(view='failed')
    pressed(shop, 'down', 'down')
    assert selected_key(shop) == ('mail', 'job-2')
    assert shop.failures is not None
    newer = (failure('new', ago=1.0), *shop.failures.rows)
    shop.failures = shop.failures.__class__('', newer)
    assert selected_key(shop) == ('mail', 'job-2')
    # When it is gone, what has taken its place is selected.
    shop.failures = shop.failures.__class__('', tuple(row for row in newer if row.job_id != 'job-2'))
    assert selected_key(shop) == ('mail', 'job-1')
    # The first row is whichever comes first.
    press(shop, 'home')
    assert selected_key(shop) == ('mail', 'new')


def test_sort_keys_change_order_of_rows() -> None:
    shop = state()
    assert [row.name for row in shop.rows('queues')] == ['mail', 'labels', 'supply']
    while shop.order_of('queues').name != 'failed':
        press(shop, 's')
    assert [row.name for row in shop.rows('queues')] == ['labels', 'mail', 'supply']
    press(shop, 'S')
    assert [row.name for row in shop.rows('queues')] == ['supply', 'labels', 'mail']
    for _ in ORDERS['queues']:
        press(shop, 's')
    assert (shop.order_of('queues').name, shop.panel.is_reversed) == ('failed', False)


@pytest.mark.parametrize('view', ORDERS)
def test_every_order_can_compare_every_row(view: str) -> None:
    shop = state(view=view)
    for _ in ORDERS[view]:
        press(shop, 's')
        assert shop.rows(view)


def test_typed_filter_selects_rows() -> None:
    shop = state()
    assert pressed(shop, '/', *'lax', 'backspace', 'enter') is None
    assert [row.name for row in shop.rows('queues')] == ['labels']
    # What is there can be edited; Escape leaves it.
    pressed(shop, '/', *'x', 'escape')
    assert shop.panel.search.text == 'la'
    press(shop, 'escape')
    assert len(shop.rows('queues')) == 3


def test_keys_are_text_while_a_filter_is_typed() -> None:
    shop = state()
    pressed(shop, '/', *'q?sd')
    assert (shop.typed, shop.text) == ('q?sd', None)
    pressed(shop, 'clear', 'up', 'tab', ' ', 'ö')
    assert shop.typed == ' ö'


def test_filter_of_failed_jobs_is_searched_on_server() -> None:
    shop = state(view='failed')
    asked = pressed(shop, '/', *'exc=Key*', 'enter')
    assert isinstance(asked, FindFailures)
    assert asked.search.text == 'exc=Key*'


def test_enter_opens_what_is_selected() -> None:
    shop = state()
    asked = pressed(shop, 'enter')
    assert isinstance(asked, FindFailures)
    assert (shop.view, asked.search.text) == ('failed', 'queue=mail')
    assert pressed(shop, '2', 'enter') == OpenJob('job-9')
    assert (pressed(shop, 'down', 'enter'), shop.message) == (None, 'this worker runs no job')
    asked = pressed(shop, '4', 'enter')
    assert isinstance(asked, FindFailures)
    assert (shop.view, asked.search.text) == ('failed', 'func=shop.print_label exc=KeyError')
    pressed(shop, 'escape')
    assert shop.failures is not None
    assert pressed(shop, 'down', 'enter') == OpenJob('job-1', shop.failures.rows[1])


def test_change_is_counted_before_it_is_asked_for() -> None:
    shop = state(view='failed')
    asked = pressed(shop, 'down', 'r')
    assert isinstance(asked, Count)
    assert (asked.target.verb, asked.target.job and asked.target.job.job_id) == ('requeue', 'job-1')
    # Before the answer of the server, nothing is asked, and y is no answer.
    assert press(shop, 'y') is None
    assert shop.running is None
    shop.question = 'requeue job job-1 of mail?'
    assert press(shop, 'y') == Change(asked.target)
    assert (shop.question, shop.counting) == (None, None)


@pytest.mark.parametrize('key', ['n', 'N', 'escape', 'enter', 'q', 'r', ' '])
def test_any_answer_but_y_is_no(key: str) -> None:
    shop = state(view='failed')
    press(shop, 'd')
    shop.question = 'delete job job-0 of mail?'
    assert press(shop, key) is None
    assert (shop.question, shop.counting, shop.running, shop.message) == (None, None, None, 'nothing was changed')


def test_capital_key_changes_all_jobs_that_match() -> None:
    shop = state(view='errors')
    asked = pressed(shop, 'd')
    assert isinstance(asked, Count)
    assert (asked.target.verb, asked.target.search.text) == ('delete', 'func=shop.print_label exc=KeyError')
    shop = state(view='failed')
    asked = pressed(shop, '/', *'down', 'enter', 'R')
    assert isinstance(asked, Count)
    assert (asked.target.verb, asked.target.job, asked.target.search.text) == ('requeue', None, 'down')


@pytest.mark.parametrize(('view', 'key'), [('queues', 'r'), ('workers', 'd'), ('queues', 'D'), ('errors', 'R')])
def test_key_of_change_without_jobs_gives_message(view: str, key: str) -> None:
    shop = state(view=view)
    assert press(shop, key) is None
    assert shop.message


def test_read_only_refuses_keys_of_changes() -> None:
    shop = state(view='failed', is_read_only=True)
    for key in 'rdRD':
        assert press(shop, key) is None
        assert '--read-only' in shop.message
    shop.text = Text('job job-1', ['id'], failure('job-1'))
    assert press(shop, 'r') is None
    assert '--read-only' in shop.message


def test_second_change_is_refused_while_one_runs() -> None:
    shop = state(view='failed', running='requeue: 1 of 2')
    assert press(shop, 'd') is None
    assert 'Esc' in shop.message
    assert press(shop, 'escape') == Stop()


def test_keys_typed_during_count_are_no_answer() -> None:
    shop = state(view='failed')
    press(shop, 'R')
    assert [press(shop, key) for key in ('/', 'm', 'y', 'd', 'down', '4')] == [None] * 6
    assert (shop.typed, shop.view, shop.index('failed', shop.rows('failed'))) == (None, 'failed', 0)
    assert press(shop, 'escape') == Stop()
    assert press(shop, 'q') == Quit()


def test_opened_job_scrolls_and_can_be_changed() -> None:
    shop = state(view='failed', text=Text('job job-1', [str(number) for number in range(100)], failure('job-1')))
    assert shop.text is not None
    pressed(shop, 'down', 'pagedown')
    assert shop.text.offset == 1 + shop.page
    press(shop, 'end')
    assert shop.text.offset == 100 - shop.page
    asked = press(shop, 'd')
    assert isinstance(asked, Count)
    assert asked.target.job is not None
    shop.counting = None
    press(shop, 'q')
    assert shop.text is None


def test_pause_refresh_zoom_help_and_quit_keys_work() -> None:
    shop = state()
    press(shop, 'p')
    assert shop.is_paused
    press(shop, ' ')
    assert not shop.is_paused
    assert press(shop, 'u') == Refresh()
    assert press(shop, 'q') == Quit()
    press(shop, 'z')
    assert list(shop.heights()) == ['queues']
    press(shop, '?')
    assert shop.text is not None
    assert all(len(line) <= 80 for line in shop.text.lines)
