"""The JSON that the core writes and reads is that of the standard library."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqreg_ext import _core

TEXTS = st.text(st.characters() | st.sampled_from('"\\\n\x7f\x00\u2028\U0001f600'))
# Some are UTF-8, and some are not.
VALUES = st.binary() | TEXTS.map(lambda text: text.encode(errors='surrogatepass'))


def expected_of(value: bytes | str) -> Any:
    """Return what json.loads() must find."""
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return {'base64': b64encode(value).decode()}  # type: ignore[arg-type]


@given(VALUES | TEXTS)
def test_string_is_as_of_json_dumps(value: bytes | str) -> None:
    assert _core.json_string(value) == json.dumps(expected_of(value))


def test_each_character_is_as_of_json_dumps() -> None:
    every = ''.join(map(chr, range(0x110000)))
    assert _core.json_string(every) == json.dumps(every)
    assert _core.json_string(every[:128].encode()) == json.dumps(every[:128])


@given(st.dictionaries(VALUES, VALUES))
def test_fields_come_back(fields: dict[bytes, bytes]) -> None:
    flat = [word for pair in fields.items() for word in pair]
    written = _core.json_fields(flat)
    assert written == _core.json_fields(fields)
    parsed = json.loads(written)
    names = [expected_of(name) for name in fields]
    if all(isinstance(name, str) for name in names):
        assert parsed == dict(zip(names, map(expected_of, fields.values()), strict=True))
    else:
        assert parsed == [[expected_of(name), expected_of(value)] for name, value in fields.items()]
    read = _core.fields_from_json(parsed)
    assert [word.encode() if isinstance(word, str) else word for word in read] == flat


@pytest.mark.parametrize(
    'wrong',
    [
        5,
        'text',
        {'a': 5},
        {'a': None},
        {'a': ['b']},
        {'a': {}},
        {'a': {'base32': 'QQ=='}},
        {'a': {'base64': 5}},
        {'a': {'base64': 'QQ'}},
        {'a': {'base64': 'Q\u00e9=='}},
        [['a']],
        [['a', 'b', 'c']],
        ['ab'],
    ],
)
def test_what_is_no_fields_raises(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        _core.fields_from_json(wrong)


@pytest.mark.parametrize('wrong', [5, None, [b'a', 5], [5, b'a']])
def test_what_is_no_value_raises(wrong: Any) -> None:
    with pytest.raises(TypeError):
        _core.json_fields(wrong)
    with pytest.raises(TypeError):
        _core.json_string(wrong)
