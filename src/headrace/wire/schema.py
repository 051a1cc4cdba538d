"""How a Kafka message is declared once, and read and written in each of its versions.

A message is a class whose defaults say how each attribute travels:

    @struct
    class LeaveGroupMember:
        member_id: str = string()
        group_instance_id: str | None = string(nullable=3, default=None)
        reason: str | None = string(since=5, nullable=5, default=None, ignorable=True)

    @message(ApiKey.LEAVE_GROUP, versions=(0, 5))
    class LeaveGroupRequest:
        group_id: str = string()
        member_id: str = string(until=2)
        members: list[LeaveGroupMember] = array(LeaveGroupMember, since=3)

    request = decode(LeaveGroupRequest, 4, frame, position)
    answer = encode(LeaveGroupResponse(error_code=0), 4)

It is made like a dataclass: attributes are given by position or by name, and compare by value.
They stand in the order of the wire. Every one has a default, Kafka's, which is also what
`decode` gives to an attribute that the version does not carry. From which version on a message is
flexible (compact lengths, tagged fields; KIP-482) follows from its API key.

The functions that do the work are compiled once for each class and version, and constructors once
for each class, on first use, by `wire.codegen`: a start declares two hundred classes and makes an
instance of few. What must not enter: any particular message.
"""

import struct as structs
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar, dataclass_transform, overload
from uuid import UUID

from headrace.wire.apis import is_flexible
from headrace.wire.codegen import Field, Wire, constructor_of, reader_of, writer_of
from headrace.wire.errors import MalformedError
from headrace.wire.primitives import Body, Reader, Writer

__all__ = [
    "MESSAGE_BYTES_MAX",
    "api_key_of",
    "array",
    "blob",
    "boolean",
    "decode",
    "encode",
    "fields_of",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "message",
    "nested",
    "string",
    "struct",
    "uint16",
    "uuid",
    "versions_of",
]

T = TypeVar("T")

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""The largest message `decode` opens. Objects in memory can be forty times as large as their bytes;
records, which do get larger, never pass through here."""


class _Message(NamedTuple):
    api_key: int
    versions: tuple[int, int]


_MESSAGES: Final[dict[type, _Message]] = {}


def _field(kind: str, default: Any, element: Any = None, **options: Any) -> Any:
    wire = Wire(kind, element, **options)
    if isinstance(default, type):  # list, or the nested class: a fresh one for each message
        return Field("", wire, default_factory=default)
    return Field("", wire, default)


def boolean(*, default: bool = False, **options: Any) -> bool:
    """One byte, anything but 0 is true."""
    return _field("boolean", default, **options)  # type: ignore[no-any-return]


def int8(*, default: int = 0, **options: Any) -> int:
    return _field("int8", default, **options)  # type: ignore[no-any-return]


def int16(*, default: int = 0, **options: Any) -> int:
    return _field("int16", default, **options)  # type: ignore[no-any-return]


def uint16(*, default: int = 0, **options: Any) -> int:
    return _field("uint16", default, **options)  # type: ignore[no-any-return]


def int32(*, default: int = 0, **options: Any) -> int:
    return _field("int32", default, **options)  # type: ignore[no-any-return]


def int64(*, default: int = 0, **options: Any) -> int:
    return _field("int64", default, **options)  # type: ignore[no-any-return]


def float64(*, default: float = 0.0, **options: Any) -> float:
    return _field("float64", default, **options)  # type: ignore[no-any-return]


def uuid(**options: Any) -> UUID | None:
    """Sixteen bytes; the zero uuid, Kafka's word for none, is None."""
    return _field("uuid", None, **options)  # type: ignore[no-any-return]


@overload
def string(*, nullable: int, default: str | None = "", **options: Any) -> str | None: ...
@overload
def string(*, default: str = "", **options: Any) -> str: ...
def string(*, default: str | None = "", **options: Any) -> str | None:
    """UTF-8, at most 32767 bytes."""
    return _field("string", default, **options)  # type: ignore[no-any-return]


@overload
def blob(*, nullable: int, default: bytes | None = b"", **options: Any) -> bytes | None: ...
@overload
def blob(*, default: bytes = b"", **options: Any) -> bytes: ...
def blob(*, default: bytes | None = b"", **options: Any) -> bytes | None:
    """Bytes that mean nothing to the broker."""
    return _field("blob", default, **options)  # type: ignore[no-any-return]


@overload
def array(
    element: type[T], *, nullable: int, default: Any = list, **options: Any
) -> list[T] | None: ...
@overload
def array(element: Callable[..., T], **options: Any) -> list[T]: ...
def array(element: Any, *, default: Any = list, **options: Any) -> Any:
    """A list of structs (`element` is their class) or of primitives (`element` is `int32`, ...)."""
    return _field("array", default, element, **options)


@overload
def nested(
    element: type[T], *, nullable: int, default: None = None, **options: Any
) -> T | None: ...
@overload
def nested(element: type[T], **options: Any) -> T: ...
def nested(element: type[T], **options: Any) -> Any:
    """One struct inside another."""
    default = None if "nullable" in options else element
    return _field("struct", options.pop("default", default), element, **options)


@dataclass_transform()
def struct(cls: type[T]) -> type[T]:
    """Declares what occurs inside messages only."""
    return _slotted(cls)


@dataclass_transform()
def message(api_key: int, *, versions: tuple[int, int]) -> Callable[[type[T]], type[T]]:
    """Declares a request or a response, and the first and last version that it describes."""

    def declare(cls: type[T]) -> type[T]:
        made = _slotted(cls)
        _MESSAGES[made] = _Message(api_key, versions)
        return made

    return declare


def _slotted(cls: type[T]) -> type[T]:
    """`cls` with a slot for each declared field in the place of the declaration."""
    body = dict(vars(cls))
    fields = tuple(
        value._replace(name=name) for name, value in body.items() if isinstance(value, Field)
    )
    for name in (*(field.name for field in fields), "__dict__", "__weakref__"):
        body.pop(name, None)
    slots = tuple(field.name for field in fields)
    body |= {"__slots__": slots, "__match_args__": slots, "__wire__": fields}
    body |= {"__eq__": _equal, "__hash__": None, "__repr__": _represent}
    body |= {"__init__": _construct_first, "__qualname__": cls.__qualname__}
    return type(cls.__name__, cls.__bases__, body)


def _construct_first(one: Any, *values: Any, **named: Any) -> None:
    """The constructor of every class until it makes its first instance."""
    cls = type(one)
    cls.__init__ = constructor_of(cls.__wire__)
    cls.__init__(one, *values, **named)


def _equal(one: Any, other: Any) -> Any:
    if type(one) is not type(other):
        return NotImplemented
    return all(getattr(one, name) == getattr(other, name) for name in one.__slots__)


def _represent(one: Any) -> str:
    values = (f"{name}={getattr(one, name)!r}" for name in one.__slots__)
    return f"{type(one).__name__}({', '.join(values)})"


def fields_of(cls: type) -> tuple[Field, ...]:
    """What a message or struct declares, in the order of the wire; empty for any other class."""
    return getattr(cls, "__wire__", ())


def api_key_of(cls: type) -> int:
    """The API whose request or response `cls` declares."""
    return _MESSAGES[cls].api_key


def versions_of(cls: type) -> range:
    """The versions that the declaration of a message covers."""
    first, last = _MESSAGES[cls].versions
    return range(first, last + 1)


_decoders: Final[dict[tuple[type, int], Reader]] = {}
_encoders: Final[dict[tuple[type, int], Writer]] = {}


def decode(
    cls: type[T],
    version: int,
    view: bytes | memoryview,
    position: int = 0,
    *,
    trailing: bool = False,
) -> T:
    """The message of type `cls` that fills `view` from `position` to the end, or with `trailing`
    the one that begins there, whatever follows it.

    Raises MalformedError for bytes that are no such message (truncated, trailing bytes, negative
    or impossible lengths, bad UTF-8) or have more entries in lists than `primitives.ENTRIES_MAX`,
    ValueError for a version that `cls` does not describe.
    """
    read = _decoders.get((cls, version))
    if read is None:
        read = _compile(cls, version)[0]
    size = len(view) - position
    if size > MESSAGE_BYTES_MAX:
        raise MalformedError(f"{cls.__name__} of {size} bytes; {MESSAGE_BYTES_MAX} are allowed")
    data = Body(view[position:])
    try:
        decoded, end = read(data, 0)
    except (IndexError, structs.error) as error:
        raise MalformedError(f"{cls.__name__} v{version} ends too early") from error
    except UnicodeDecodeError as error:
        raise MalformedError(f"{cls.__name__} v{version}: a string is not UTF-8") from error
    except MalformedError as error:
        raise MalformedError(f"{cls.__name__} v{version}: {error}") from error
    if end != size and not trailing:
        raise MalformedError(f"{cls.__name__} v{version}: {size - end} bytes follow the message")
    return decoded  # type: ignore[no-any-return]


def encode(message: object, version: int) -> bytes:
    """The bytes of `message` in `version`.

    Raises ValueError when they cannot be written faithfully: a value of the wrong type or out of
    range, None where the version has no null, or a value in a field that the version lacks and
    that Kafka does not allow to be dropped.
    """
    cls = type(message)
    write = _encoders.get((cls, version))
    if write is None:
        write = _compile(cls, version)[1]
    out = bytearray()
    try:
        write(out, message)
    except (structs.error, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{cls.__name__} v{version} cannot be encoded: {error}") from error
    return bytes(out)


def _compile(cls: type, version: int) -> tuple[Reader, Writer]:
    if version not in versions_of(cls):
        raise ValueError(f"{cls.__name__} is described for {versions_of(cls)}, not for v{version}")
    flexible = is_flexible(_MESSAGES[cls].api_key, version)
    read = _decoders[cls, version] = reader_of(cls, version, flexible).read
    write = _encoders[cls, version] = writer_of(cls, version, flexible)
    return read, write
