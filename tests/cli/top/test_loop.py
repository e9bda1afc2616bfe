"""What the threads post, and how the loop hears of it."""

from __future__ import annotations

import os
import threading

from rqreg_ext.cli.top.data import Counted, Done, FailuresView, Groups, Opened, Running, Unreachable
from rqreg_ext.cli.top.loop import Inbox, take
from rqreg_ext.cli.top.state import Target

from .states import NOW, failure, overview, queue, state


def test_data_is_taken_and_the_error_is_gone_with_it() -> None:
    shop = state()
    take(shop, Unreachable('ConnectionError'))
    assert (shop.error, shop.is_late) == ('ConnectionError', True)
    assert [row.name for row in shop.rows('queues')] == ['mail', 'labels', 'supply']
    take(shop, overview(queue('other')))
    assert (shop.error, shop.is_late) == (None, False)
    assert [row.name for row in shop.rows('queues')] == ['other']
    take(shop, FailuresView('', (failure('a'),)))
    take(shop, Groups(NOW))
    assert (len(shop.rows('failed')), len(shop.rows('errors'))) == (1, 0)


def test_paused_screen_keeps_overview() -> None:
    shop = state(is_paused=True)
    take(shop, overview())
    assert len(shop.rows('queues')) == 3


def test_change_goes_from_count_to_done() -> None:
    shop = state(counting=Target('delete', failure('a')))
    take(shop, Counted('delete 3 jobs?'))
    assert (shop.question, shop.counting is not None) == ('delete 3 jobs?', True)
    take(shop, Counted(None, 'no failed job matches'))
    assert (shop.question, shop.counting, shop.message) == (None, None, 'no failed job matches')
    take(shop, Running('delete: 1 of 3'))
    assert shop.running == 'delete: 1 of 3'
    take(shop, Done('deleted 3'))
    assert (shop.running, shop.message) == (None, 'deleted 3')


def test_opened_job_is_shown_as_text() -> None:
    shop = state()
    take(shop, Opened('a', ('id  a',), failure('a')))
    assert shop.text is not None
    assert (shop.text.title, shop.text.lines, shop.text.row) == ('job a', ('id  a',), failure('a'))


def test_inbox_wakes_waiting_loop() -> None:
    inbox = Inbox()
    keyboard, typing = os.pipe()
    assert inbox.wait(keyboard, 0.0) == []
    thread = threading.Thread(target=inbox.post, args=(Done('x'),))
    thread.start()
    inbox.wait(keyboard, 60.0)
    thread.join()
    assert list(inbox.messages()) == [Done('x')]
    # What a signal writes.
    os.write(inbox.writing, bytes([15]))
    inbox.wait(keyboard, 60.0)
    assert (inbox.signals(), inbox.signals()) == ([15], [])
    os.write(typing, b'q')
    assert inbox.wait(keyboard, 60.0) == [keyboard]


def test_inbox_never_blocks_posting_thread() -> None:
    inbox = Inbox()
    for number in range(100_000):
        inbox.post(Done(str(number)))
    assert len(list(inbox.messages())) == 100_000
