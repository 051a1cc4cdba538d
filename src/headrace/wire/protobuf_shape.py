"""Whether a message has the shape that a google.protobuf.DescriptorProto gives it.

Read of the descriptor (descriptor.proto): name 1, field 2, nested_type 3; of each field number 3,
label 4, type 5, type_name 6. A message fits if it can be walked to its end, every field in it is
one of the descriptor's and has its wire type (packed or not, both are legal), strings are UTF-8,
required fields are there, and messages inside fit the nested type they name. What a type_name means
that stands outside of the descriptor cannot be known: of such a message only the length is checked.

What must not enter: generated classes, values.
"""

from typing import Final, NamedTuple

from headrace.wire.errors import MalformedError
from headrace.wire.protobuf import (
    FIXED_32,
    FIXED_64,
    LENGTH_DELIMITED,
    VARINT,
    Value,
    read_fields,
    read_uint64,
)

__all__ = ["DEPTH_MAX", "MessageShape", "read_shape"]

DEPTH_MAX: Final = 100
"""Messages in messages; protobuf's own readers stop there too."""
SHAPES_MAX: Final = 10_000

_STRING: Final = 9
_MESSAGE: Final = 11
_REQUIRED: Final = 2
_REPEATED: Final = 3
_WIRE_TYPES: Final = {
    1: FIXED_64,
    2: FIXED_32,
    3: VARINT,
    4: VARINT,
    5: VARINT,
    6: FIXED_64,
    7: FIXED_32,
    8: VARINT,
    9: LENGTH_DELIMITED,
    11: LENGTH_DELIMITED,
    12: LENGTH_DELIMITED,
    13: VARINT,
    14: VARINT,
    15: FIXED_32,
    16: FIXED_64,
    17: VARINT,
    18: VARINT,
}
"""By FieldDescriptorProto.Type; without 10, groups."""


class _Field(NamedTuple):
    name: str
    type: int
    wire_type: int
    type_name: str
    is_repeated: bool


class MessageShape:
    """What one message type allows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._fields: dict[int, _Field] = {}
        self._required: frozenset[int] = frozenset()
        self._nested: dict[int, MessageShape] = {}

    def check(self, message: memoryview, depth: int = 0) -> None:
        """Raises MalformedError that says what does not fit."""
        if depth > DEPTH_MAX:
            raise MalformedError(f"messages are nested more than {DEPTH_MAX} deep")
        seen = set()
        for number, kind, value in read_fields(message):
            field = self._fields.get(number)
            if field is None:
                raise MalformedError(f"{self.name} has no field {number}")
            if kind != field.wire_type:
                self._check_packed(field, kind, value)
            elif isinstance(value, memoryview):
                self._check_inside(number, field, value, depth)
            seen.add(number)
        missing = self._required - seen
        if missing:
            names = ", ".join(self._fields[number].name for number in sorted(missing))
            raise MalformedError(f"{self.name} is without {names}")

    def _check_packed(self, field: _Field, kind: int, value: Value) -> None:
        if kind != LENGTH_DELIMITED or isinstance(value, int) or not field.is_repeated:
            expected = f"the wire type {field.wire_type}, not {kind}"
            raise MalformedError(f"{self.name}.{field.name} has {expected}")
        if field.wire_type == VARINT:
            position = 0
            try:
                while position < len(value):
                    _, position = read_uint64(value, position)
            except IndexError:
                raise MalformedError(f"{self.name}.{field.name} ends within a number") from None
        elif len(value) % (8 if field.wire_type == FIXED_64 else 4):
            raise MalformedError(f"{self.name}.{field.name} ends within a number")

    def _check_inside(self, number: int, field: _Field, value: memoryview, depth: int) -> None:
        if field.type == _STRING:
            try:
                str(value, "utf-8")
            except UnicodeDecodeError:
                raise MalformedError(f"{self.name}.{field.name} is not UTF-8") from None
        elif number in self._nested:
            self._nested[number].check(value, depth + 1)


def read_shape(descriptor: bytes | memoryview) -> MessageShape:
    """Of one serialized DescriptorProto. Raises MalformedError."""
    shapes: dict[str, MessageShape] = {}
    shape = _read_message(memoryview(descriptor), "", shapes)
    for each in shapes.values():
        each._nested = {
            number: nested
            for number, field in each._fields.items()
            if field.type == _MESSAGE
            and (nested := _find(field.type_name, shape.name, shapes)) is not None
        }
    return shape


def _find(type_name: str, root: str, shapes: dict[str, MessageShape]) -> MessageShape | None:
    """`.package.Root.Nested`, of which the package is not known here."""
    parts = type_name.lstrip(".").split(".")
    for start, part in enumerate(parts):
        if part == root:
            found = shapes.get(".".join(parts[start:]))
            if found is not None:
                return found
    return None


def _read_message(data: memoryview, outer: str, shapes: dict[str, MessageShape]) -> MessageShape:
    if outer.count(".") > DEPTH_MAX or len(shapes) >= SHAPES_MAX:
        raise MalformedError("the descriptor has too many types")
    name = ""
    fields: list[memoryview] = []
    nested: list[memoryview] = []
    for number, kind, value in read_fields(data):
        if kind == LENGTH_DELIMITED and isinstance(value, memoryview):
            if number == 1:
                name = str(value, "utf-8", "replace")
            elif number == 2:
                fields.append(value)
            elif number == 3:
                nested.append(value)
    if not name:
        raise MalformedError("a descriptor has no name")
    shape = MessageShape(outer + name)
    shapes[shape.name] = shape
    required = set()
    for each in fields:
        field_number, label, field = _read_field(each, shape.name)
        shape._fields[field_number] = field
        if label == _REQUIRED:
            required.add(field_number)
    shape._required = frozenset(required)
    for each in nested:
        _read_message(each, shape.name + ".", shapes)
    return shape


def _read_field(data: memoryview, owner: str) -> tuple[int, int, _Field]:
    """(number, label, field)"""
    numbers = {3: 0, 4: 0, 5: 0}
    texts = {1: "", 6: ""}
    for number, _, value in read_fields(data):
        if number in numbers and isinstance(value, int):
            numbers[number] = value
        elif number in texts and isinstance(value, memoryview):
            texts[number] = str(value, "utf-8", "replace")
    wire_type = _WIRE_TYPES.get(numbers[5])
    if wire_type is None or not numbers[3]:
        raise MalformedError(
            f"{owner}.{texts[1]} has the type {numbers[5]} and number {numbers[3]}"
        )
    is_repeated = numbers[4] == _REPEATED
    field = _Field(texts[1], numbers[5], wire_type, texts[6], is_repeated)
    return numbers[3], numbers[4], field
