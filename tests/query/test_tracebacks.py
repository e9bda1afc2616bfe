"""The exception that a text ends with, and its line without what is unique in it."""

from __future__ import annotations

import traceback
from base64 import b64encode
from binascii import a2b_base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rqreg_ext import _core
from rqreg_ext._query.tracebacks import exception_in, exception_in_any, folded_line_of


class OrderError(Exception):
    """An exception of this module."""


def chain(first: Exception, second: Exception, explicitly: bool) -> Exception:
    try:
        try:
            raise first
        except Exception as error:
            if explicitly:
                raise second from error
            raise second  # noqa: B904
    except Exception as error:
        return error


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def invalid_syntax() -> Exception:
    try:
        compile('x = = 1', 'config.py', 'exec')
    except SyntaxError as error:
        return error
    raise AssertionError


def too_deep() -> Exception:
    def again() -> Any:
        return again()

    try:
        again()
    except RecursionError as error:
        return error
    raise AssertionError


def local() -> Exception:
    class Local(Exception):
        pass

    return raised(Local('here'))


INNER = ''.join(traceback.format_exception(raised(KeyError('inner'))))
CHAINED = ''.join(traceback.format_exception(chain(KeyError('one'), IndexError('two'), True)))


@pytest.mark.parametrize(
    ('error', 'name', 'message'),
    [
        (raised(ValueError('bad')), 'ValueError', 'bad'),
        (raised(ValueError('')), 'ValueError', ''),
        (raised(ValueError()), 'ValueError', ''),
        (raised(ValueError('a: b: c')), 'ValueError', 'a: b: c'),
        (raised(KeyError('k')), 'KeyError', "'k'"),
        (raised(OrderError('order 7')), f'{__name__}.OrderError', 'order 7'),
        (local(), f'{__name__}.local.<locals>.Local', 'here'),
        (raised(ValueError('one\ntwo\n  three')), 'ValueError', 'one\ntwo\n  three'),
        (raised(ValueError('\none')), 'ValueError', 'one'),
        (raised(RuntimeError(f'failed:\n{INNER}')), 'RuntimeError', f'failed:\n{INNER}'.strip()),
        (raised(RuntimeError(f'failed:\n\n{INNER}')), 'RuntimeError', f'failed:\n\n{INNER}'.strip()),
        (chain(KeyError('one'), OrderError('two'), True), f'{__name__}.OrderError', 'two'),
        (chain(KeyError('one'), OrderError('two'), False), f'{__name__}.OrderError', 'two'),
        (chain(ValueError('a\n\nb'), TypeError('c\nd'), False), 'TypeError', 'c\nd'),
        (invalid_syntax(), 'SyntaxError', 'invalid syntax'),
        (too_deep(), 'RecursionError', 'maximum recursion depth exceeded'),
    ],
)
def test_exception_in_traceback_is_found(error: Exception, name: str, message: str) -> None:
    found = exception_in(''.join(traceback.format_exception(error)).encode())
    assert (found[0], found[1].partition(' while calling')[0]) == (name, message)


def test_exception_group_gives_its_name_and_message() -> None:
    exec_globals: dict[str, Any] = {}
    try:
        exec('error = ExceptionGroup("many", [ValueError("a"), KeyError("b")])', exec_globals)
    except NameError:
        pytest.skip('Python has no exception groups')
    name, message = exception_in(''.join(traceback.format_exception(raised(exec_globals['error']))).encode())
    assert name == 'ExceptionGroup'
    assert message.splitlines()[0] == 'many (2 sub-exceptions)'


@pytest.mark.parametrize(
    ('text', 'name', 'line'),
    [
        ('Job stopped by user, work-horse terminated.', None, 'Job stopped by user, work-horse terminated.'),
        (
            'Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); ',
            None,
            'Work-horse terminated unexpectedly; waitpid returned # (signal #);',
        ),
        (
            'Moved to FailedJobRegistry, due to AbandonedJobError, at 2026-01-02 03:04:05.6+00:00',
            'AbandonedJobError',
            'Moved to FailedJobRegistry, due to AbandonedJobError, at #-#-# #:#:#.#+#:#',
        ),
        ('', None, ''),
        ('\n', None, ''),
        ('Traceback (most recent call last):\n', None, 'Traceback (most recent call last):'),
        ('Traceback (most recent call last):\n  File "x"\n', None, '  File "x"'),
        ('Traceback (most recent call last):\n  File "x"\nnot a name: 1\n', None, 'not a name: #'),
        ('one\ntwo 2', None, 'two #'),
    ],
)
def test_text_that_is_no_traceback_gives_its_last_line(text: str, name: str | None, line: str) -> None:
    found = exception_in(text.encode())
    assert found == (name, text.strip())
    assert folded_line_of(found) == line


@pytest.mark.parametrize(
    ('message', 'folded'),
    [
        ('order 123 not found', 'order # not found'),
        ('order 456 not found', 'order # not found'),
        ('job 0f9cb1d8-1c4a-4c9e-8f0e-5a8a4b4f5a10 is gone', 'job # is gone'),
        ('<Order object at 0x7F00a1b2c3d4>', '<Order object at #>'),
        ('customer cus_9s6XKzkNRiz8i3', 'customer cus_#'),
        ('customer 9s6XKzkNRiz8i3', 'customer #'),
        ('file report-2026-01-02.csv', 'file report-#-#-#.csv'),
        ('https://example.com/users/42?page=7', 'https://example.com/users/#?page=#'),
        ('codec utf8 of python3', 'codec utf# of python#'),
        ('deadbeef', 'deadbeef'),
        ('first 1\nsecond 2', 'first #'),
        ('x' * 1000, 'x' * 288),
    ],
)
def test_line_without_what_is_unique(message: str, folded: str) -> None:
    text = ''.join(traceback.format_exception(raised(ValueError(message))))
    assert folded_line_of(exception_in(text.encode())) == f'ValueError: {folded}'


# ---- The same in C

PARTS = st.sampled_from(
    [
        'Traceback (most recent call last):\n',
        '  File "x"\n',
        '\tx\n',
        '\n',
        '\n\nThe above exception was the direct cause of the following exception:\n\n',
        '\n\nDuring handling of the above exception, another exception occurred:\n\n',
        'app.<locals>.Error',
        'Error',
        'Érror',
        '.',
        '<locals>',
        ': ',
        ':',
        ' ',
        '7',
        'é',
        '\u2003',
        '\x1c',
    ]
)


@settings(max_examples=2000, deadline=None, database=None)
@given(st.lists(PARTS, max_size=12).map(''.join), st.booleans())
def test_c_finds_the_same_exception_or_leaves_it(text: str, is_traceback: bool) -> None:
    text = f'Traceback (most recent call last):\n{text}' if is_traceback else text
    assert _core.exception_in(text.encode()) in (None, exception_in_any(text))


def test_c_leaves_nothing_that_is_usual() -> None:
    for error in (raised(ValueError('bad')), chain(KeyError('one'), OrderError('two'), True), local()):
        text = ''.join(traceback.format_exception(error))
        assert _core.exception_in(text.encode()) == exception_in_any(text)


@given(st.binary(max_size=40))
def test_decode_base64_reverses_encoding(data: bytes) -> None:
    assert _core.decode_base64(b64encode(data)) == data


@given(st.lists(st.sampled_from([b'Q', b'=', b'\n', b'-', b'\xff', b'/']), max_size=9).map(b''.join))
def test_malformed_base64_is_left_to_python_or_equals_it(text: bytes) -> None:
    try:
        expected = a2b_base64(text)
    except ValueError:
        expected = None
    assert _core.decode_base64(text) in (None, expected)


def test_wrong_arguments_of_core_functions_raise() -> None:
    assert _core.decode_base64('text') is None  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'text' is not bytes"):
        _core.exception_in('text')  # type: ignore[arg-type]
    with pytest.raises(UnicodeDecodeError):
        _core.exception_in(b'Traceback (most recent call last):\nError: a\xffb')
