"""Reading a pickle without running it: plain containers are rebuilt, tensors noted, everything else becomes inert.

Of numpy, its numbers come back as plain ones, and an array of objects (as `.npz` files hold dictionaries) as the list
of what is in it.

Nothing is imported, looked up or called on behalf of the file. Python's own unpickler is not used, even restricted: a
few bytes make it fill the memory (a large memo number) or hash for ever (nested tuples as keys).
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LARGEST = 32 * 2**20
"""Bytes of a description that are still read. Names and shapes of thousands of tensors take less than one MB."""
PARAMETERS = ("torch._utils _rebuild_parameter", "torch._utils _rebuild_parameter_with_state")
NUMPY = ("numpy._core.multiarray", "numpy.core.multiarray")
"""Where numpy keeps what makes its arrays and numbers, since version 2 and before."""
SIMPLE = (str, int, float, bool, bytes, type(None))


class Malformed(ValueError):
    """These bytes are no whole pickle."""


@dataclass(frozen=True)
class Inert:
    """Stands for whatever the file wanted to import, make or call."""

    name: str


class Storage(NamedTuple):
    """Numbers that lie elsewhere in the archive."""

    kind: str
    """E.g. 'FloatStorage'."""
    key: str


class Stored(NamedTuple):
    """A tensor: a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass
class Objects:
    """An array of objects, in numpy's order."""

    shape: tuple[int, ...] = ()
    items: list[Any] = field(default_factory=list)


@dataclass
class Kind:
    """A type of numbers, as numpy writes it."""

    code: str
    """E.g. 'i8'."""
    order: str = "<"


class _Mark:
    pass


def decoded(data: bytes | io.BytesIO) -> Any:
    """What the pickle describes; a stream stands behind it afterwards."""
    if isinstance(data, bytes) and len(data) > LARGEST:
        raise Malformed(f"its description has {len(data) >> 20} MB, which no model's has")
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, struct.error) as error:
        raise Malformed(str(error) or type(error).__name__) from error
    raise Malformed("it has no end")


class _Machine:
    """A stack and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """One instruction of the file."""
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                stack.append(_Mark)
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.marked()
            case "DUP":
                stack.append(stack[-1])
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "EMPTY_LIST" | "EMPTY_SET":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE" | "FROZENSET":
                stack.append(tuple(self.marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.taken(int(name[-1]))))
            case "LIST":
                stack.append(self.marked())
            case "DICT":
                items = self.marked()
                stack.append({})
                self.fill(items)
            case "APPEND":
                self.extend(self.taken(1))
            case "APPENDS" | "ADDITEMS":
                self.extend(self.marked())
            case "SETITEM":
                self.fill(self.taken(2))
            case "SETITEMS":
                self.fill(self.marked())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "PERSID" | "BINPERSID":
                stack.append(_elsewhere(argument if name == "PERSID" else stack.pop()))
            case "BUILD":
                _told(stack.pop(), stack[-1])
            case "NEXT_BUFFER" | "READONLY_BUFFER":
                raise ValueError("it refers to memory outside of itself")
            case _:
                stack.append(self.value(name, argument))

    def value(self, name: str, argument: Any) -> Any:
        """A plain value, or what stands for an object."""
        match name:
            case "GLOBAL":
                return Inert(str(argument))
            case "STACK_GLOBAL":
                module, what = self.taken(2)
                return Inert(f"{module} {what}" if isinstance(module, str) and isinstance(what, str) else "?")
            case "EXT1" | "EXT2" | "EXT4":
                return Inert("?")
            case "INST":
                self.marked()
                return Inert(str(argument))
            case "OBJ":
                return self.marked()[0]
            case "NEWOBJ_EX":
                return self.taken(3)[0]
            case "NEWOBJ":
                return self.taken(2)[0]
            case "REDUCE":
                return _called(*self.taken(2))
        if not isinstance(argument, SIMPLE) and not isinstance(argument, bytearray):
            raise ValueError(f"it holds the unknown instruction {name}")
        return argument

    def taken(self, count: int) -> list[Any]:
        """The topmost values, in order."""
        if len(self.stack) < count:
            raise ValueError("its values don't add up")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def marked(self) -> list[Any]:
        """The values above the last mark, which goes too."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not _Mark:
            values.append(value)
        return values[::-1]

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def fill(self, items: list[Any]) -> None:
        """Keys and values in turn. Only simple keys: the hash of others is a way to hang the reader."""
        if isinstance(self.stack[-1], dict):
            pairs = zip(items[::2], items[1::2], strict=True)
            self.stack[-1].update((key, value) for key, value in pairs if isinstance(key, SIMPLE))


def _called(function: Any, arguments: Any) -> Any:
    """The few calls that have a meaning here; any other gives something inert, and is not made."""
    name = function.name if isinstance(function, Inert) else "?"
    given = arguments if isinstance(arguments, tuple) else ()
    if name == "collections OrderedDict":
        return {}
    if name == "torch._utils _rebuild_tensor_v2" and len(given) >= 4 and isinstance(given[0], Storage):
        storage, offset, shape, stride = given[:4]
        if isinstance(offset, int) and _counts(shape) and _counts(stride) and len(shape) == len(stride):
            return Stored(storage, offset, shape, stride)
    if name in PARAMETERS and given:
        return given[0]
    module, _, what = name.partition(" ")
    if module in NUMPY and what == "_reconstruct":
        return Objects()
    if name == "numpy dtype" and given and isinstance(given[0], str):
        return Kind(given[0])
    if module in NUMPY and what == "scalar" and len(given) == 2:
        return _number(*given)
    return Inert(name)


def _told(state: Any, about: Any) -> None:
    """The state of an object, which only the few that have a meaning here take; or notes on a dictionary."""
    match about, state:
        case Objects(), (_, tuple(shape), Kind("O" | "O8"), _, list(items)) if _counts(shape):
            if math.prod(shape) == len(items):
                about.shape, about.items = shape, items
        case Kind(), (_, "<" | ">" | "=" | "|" as order, *_):
            about.order = order


def _number(kind: Any, data: Any) -> Any:
    """A number or text of numpy's, plain."""
    if isinstance(kind, Kind) and kind.code.startswith("U") and isinstance(data, bytes):
        return data.decode("utf-32-be" if kind.order == ">" else "utf-32-le").rstrip("\0")
    form = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
    form |= {"f2": "e", "f4": "f", "f8": "d"}
    if not (isinstance(kind, Kind) and kind.code in form and isinstance(data, bytes)):
        return Inert("numpy scalar")
    return struct.unpack((">" if kind.order == ">" else "<") + form[kind.code], data)[0]


def _counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and value >= 0 for value in values)


def _elsewhere(told: Any) -> Any:
    """A storage, from what the file says in place of one."""
    match told:
        case ("storage", Inert(name), str(key), *_):
            return Storage(name.split(" ")[-1], key)
    return Inert("?")
