"""Reading a job's call or metadata without running anything: in a pickle, only plain values are made.

Plain values are None, bool, int, float, str, bytes, the builtin containers, and the types of `datetime`. Each object of
another type becomes an Opaque, whose comparison raises NotPlainError: what the object would be equal to is not known.
"""

from __future__ import annotations

import copyreg
import json
import pickle
import pickletools
import re
from datetime import date, datetime, time, timedelta, timezone
from io import BytesIO
from typing import Any, NoReturn

from rq.serializers import JSONSerializer
from rq.timeouts import BaseTimeoutException

from .opaque import NotPlainError, Opaque

# The objects of extension codes that this process has unpickled, which an unpickler takes without find_class().
_EXTENSION_CACHE: dict[int, Any] = copyreg._extension_cache  # type: ignore[attr-defined]


class _Maker:
    """Makes objects of a plain type. A pickle can call it, and cannot change it."""

    __slots__ = ('_type',)

    def __init__(self, plain_type: Any) -> None:
        self._type = plain_type

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._type(*arguments)
        except (TypeError, ValueError, OverflowError):
            # An argument is Opaque, as bytes are before protocol 3.
            return Opaque()

    def __eq__(self, other: object) -> NoReturn:
        raise NotPlainError

    __hash__ = object.__hash__

    def __setstate__(self, state: Any) -> None: ...


# set and frozenset are looked up before protocol 4.
_MAKERS = {
    **{('datetime', plain.__name__): _Maker(plain) for plain in (date, datetime, time, timedelta, timezone)},
    **{(module, plain.__name__): _Maker(plain) for module in ('builtins', '__builtin__') for plain in (set, frozenset)},
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        return _MAKERS.get((module_name, global_name), Opaque)


# A few bytes of a pickle can make nested tuples that share parts, whose hash takes exponential time. So the parts of
# small pickles are counted, shared ones each time, up to this many for each byte. Large pickles are not: counting would
# take longer than loading.
_LARGEST_FACTOR, _SMALLEST_LIMIT = 50, 1_000_000
_LARGEST_WEIGHED = 65_536
_TUPLES, _COPIES = (b't', b'\x85', b'\x86', b'\x87'), (b'h', b'j', b'g', b'2')
_FEW = 16
_LONG_PUT = re.compile(rb'(?=r(.{4})|p(\d{6,})\n)', re.DOTALL)


def _check_cost(data: bytes) -> None:
    """Raise ValueError if loading a pickle would take much memory, or if loading a small one would take much time."""
    # Most of these octets are those of a text. Only the opcodes tell, which take longer to read than to load.
    if _may_name_far_place(data):
        for opcode, argument, _ in pickletools.genops(data):
            if 'PUT' in opcode.name and (argument or 0) > len(data):
                raise ValueError(f'place {argument} in a memo that has less places')
    may_share = min(sum(map(data.count, octets)) for octets in (_TUPLES, _COPIES)) >= _FEW
    if may_share and len(data) <= _LARGEST_WEIGHED:
        _weigh(data, max(_LARGEST_FACTOR * len(data), _SMALLEST_LIMIT))


def _may_name_far_place(data: bytes) -> bool:
    for put in _LONG_PUT.finditer(data):
        index, digits = put.groups()
        if (int(digits) if digits else int.from_bytes(index, 'little')) > len(data):
            return True
    return False


def _weigh(data: bytes, limit: int) -> None:
    """Raise ValueError if an object in a pickle has more parts than the limit; one that is there twice counts twice."""
    stack: list[int | None] = []
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == 'MARK':
            stack.append(None)
        elif name == 'MEMOIZE' or 'PUT' in name:
            memo[len(memo) if name == 'MEMOIZE' else argument] = stack[-1] or 0
        elif name.endswith('GET'):
            stack.append(memo[argument])
        else:
            weight = 1 + sum(_popped(stack, opcode.stack_before))
            if weight > limit:
                raise ValueError(f'an object of more than {limit} parts')
            stack += [weight] * len(opcode.stack_after)


def _popped(stack: list[int | None], taken: list[pickletools.StackObject]) -> list[int]:
    weights = []
    if pickletools.markobject in taken:
        while (weight := stack.pop()) is not None:
            weights.append(weight)
        taken = taken[: taken.index(pickletools.markobject)]
    return [*weights, *(stack.pop() or 0 for _ in taken)]


def load_pickle(data: bytes) -> Any:
    """Return the value of a pickle, with an Opaque for each object that is not a plain value.

    No name in the pickle is imported, and nothing of it is called. Raises ValueError if the pickle cannot be read.
    """
    try:
        if _EXTENSION_CACHE and any(opcode.name.startswith('EXT') for opcode, _, _ in pickletools.genops(data)):
            raise ValueError('an object of an extension code')
        _check_cost(data)
        return _PlainUnpickler(BytesIO(data)).load()
    except BaseTimeoutException:
        # The timeout of the RQ job that is running this code.
        raise
    except Exception as error:
        raise ValueError(f'not a pickle of plain values: {data[:100]!r}') from error


def load_json(data: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it cannot be read."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError(f'JSON that is nested too deeply: {data[:100]!r}') from error


def plain_loader(serializer: Any) -> Any:
    """Return the function that reads what a serializer has written; None for one that is not RQ's."""
    loads = getattr(serializer, 'loads', None)
    if loads is pickle.loads:
        return load_pickle
    return load_json if loads is JSONSerializer.loads else None
