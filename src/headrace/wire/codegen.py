"""Turns a declared struct into straight-line functions for one version (used by `wire.schema`).

For a struct with two numbers, a string and a list the generated pair looks like this:

    def read(data, position):
        _error_code, _node_id = unpack_0(data, position)
        position += 6
        _host, position = read_host(data, position)
        _ports, position = read_ports(data, position)
        position = skip_tags(data, position)
        return new(_error_code, _node_id, _host, _ports), position

    def write(out, m):
        out += pack_0(m.error_code, m.node_id)
        write_host(out, m.host)
        write_ports(out, m.ports)
        out.append(0)

and the constructor, which serves all versions, like this:

    def __init__(self, error_code=default_error_code, ..., ports=_absent):
        self.error_code = error_code
        self.ports = default_ports() if ports is _absent else ports

Neighbouring fields of fixed size share one call of `struct`, which is most of the speed. Only
names and numbers from our own declarations are ever put into the source, never anything received.
Names made from a field's begin with `_`, `read_`, `write_` or `default_`; no other name does.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import groupby
from struct import Struct
from typing import Any, Final, NamedTuple

from headrace.wire import primitives
from headrace.wire.primitives import FIXED, FIXED_READERS, FIXED_WRITERS, Reader, Writer

__all__ = ["LATEST", "Field", "StructReader", "Wire", "constructor_of", "reader_of", "writer_of"]

_COMPILED_MAX: Final = 4096
"""(struct, version) pairs kept; all messages in all versions are some hundreds."""


LATEST: Final = 0x7FFF
"""No version ends here: the field is still part of the newest."""


class Wire(NamedTuple):
    """How one attribute travels. Versions are inclusive; `nullable` is the first that may be null.

    `ignorable`: a value other than the default is dropped silently in versions without the field.
    """

    kind: str
    element: Any = None
    since: int = 0
    until: int = LATEST
    nullable: int | None = None
    tag: int | None = None
    ignorable: bool = False


class StructReader(NamedTuple):
    """`bytes_min`: the fewest bytes that can hold the struct, which is what bounds a count."""

    read: Reader
    bytes_min: int


class Field(NamedTuple):
    """One attribute of a struct; without a factory, `default` is what each new one gets."""

    name: str
    wire: Wire
    default: Any = None
    default_factory: Callable[[], Any] | None = None

    @property
    def default_source(self) -> str:
        """An expression for the default: the name of its factory, called, or a literal."""
        return f"default_{self.name}()" if self.default_factory else repr(self.default)

    def default_value(self) -> Any:
        return self.default_factory() if self.default_factory else self.default


class _Shape(NamedTuple):
    """The fields of a struct in one version: in line, tagged (by tag), and not there at all."""

    every: tuple[Field, ...]
    inline: list[Field]
    tagged: list[Field]
    absent: list[Field]


def _shape(cls: type, version: int) -> _Shape:
    every: tuple[Field, ...] = cls.__wire__  # type: ignore[attr-defined]
    present = [f for f in every if f.wire.since <= version <= f.wire.until]
    return _Shape(
        every=every,
        inline=[f for f in present if f.wire.tag is None],
        tagged=sorted(
            (f for f in present if f.wire.tag is not None), key=lambda f: f.wire.tag or 0
        ),
        absent=[f for f in every if f not in present],
    )


def _runs(fields: list[Field]) -> Iterator[tuple[str, list[Field]]]:
    """Neighbours of fixed size together with their struct code; every other field alone."""
    for fixed, group in groupby(fields, key=lambda f: f.wire.kind in FIXED):
        if fixed:
            run = list(group)
            yield ">" + "".join(FIXED[f.wire.kind] for f in run), run
        else:
            for f in group:
                yield "", [f]


@lru_cache(_COMPILED_MAX)
def reader_of(cls: type, version: int, flexible: bool) -> StructReader:
    """The function that reads `cls` in `version`, and the least it needs."""
    shape = _shape(cls, version)
    names: dict[str, Any] = {"new": cls}
    lines = []
    bytes_min = 0
    for number, (code, run) in enumerate(_runs(shape.inline)):
        targets = ", ".join(f"_{f.name}" for f in run)
        if code:
            layout = Struct(code)
            names[f"unpack_{number}"] = layout.unpack_from
            lines.append(f"{targets}, = unpack_{number}(data, position)")
            lines.append(f"position += {layout.size}")
            bytes_min += layout.size
        else:
            name = run[0].name
            reader = _field_reader(run[0].wire, version, flexible)
            names[f"read_{name}"] = reader.read
            lines.append(f"{targets}, position = read_{name}(data, position)")
            bytes_min += reader.bytes_min
    if shape.tagged:
        names["take_tags"] = primitives.read_tagged
        names["readers"] = {
            f.wire.tag: _field_reader(f.wire, version, flexible).read for f in shape.tagged
        }
        lines.append("tagged, position = take_tags(data, position, readers)")
        lines += [
            f"_{f.name} = tagged[{f.wire.tag}] if {f.wire.tag} in tagged else {f.default_source}"
            for f in shape.tagged
        ]
    elif flexible:
        names["skip_tags"] = primitives.skip_tagged
        lines.append("position = skip_tags(data, position)")
    for f in shape.every:
        names[f"default_{f.name}"] = f.default_factory
    values = [f.default_source if f in shape.absent else f"_{f.name}" for f in shape.every]
    lines.append(f"return new({', '.join(values)}), position")
    read = _function(f"read_{cls.__name__}_v{version}", "data, position", lines, names)
    return StructReader(read, bytes_min + flexible)


@lru_cache(_COMPILED_MAX)
def writer_of(cls: type, version: int, flexible: bool) -> Writer:
    """The function that appends `cls` in `version`."""
    shape = _shape(cls, version)
    names: dict[str, Any] = {"refuse": _refuse_to_lose, "put_tags": primitives.write_tagged}
    lines = []
    for f in shape.absent:
        if not f.wire.ignorable:
            names[f"default_{f.name}"] = f.default_value()
            lines.append(f"if m.{f.name} != default_{f.name}: refuse({f.name!r})")
    for number, (code, run) in enumerate(_runs(shape.inline)):
        if code:
            names[f"pack_{number}"] = Struct(code).pack
            values = ", ".join(f"m.{f.name}" for f in run)
            lines.append(f"out += pack_{number}({values})")
        else:
            name = run[0].name
            names[f"write_{name}"] = _field_writer(run[0].wire, version, flexible)
            lines.append(f"write_{name}(out, m.{name})")
    if shape.tagged:
        lines.append("tagged = []")
        for f in shape.tagged:
            names[f"default_{f.name}"] = f.default_value()
            names[f"write_{f.name}"] = _field_writer(f.wire, version, flexible)
            lines.append(f"if m.{f.name} != default_{f.name}:")
            lines.append("    value = bytearray()")
            lines.append(f"    write_{f.name}(value, m.{f.name})")
            lines.append(f"    tagged.append(({f.wire.tag}, value))")
        lines.append("put_tags(out, tagged)")
    elif flexible:
        lines.append("out.append(0)")
    write: Writer = _function(
        f"write_{cls.__name__}_v{version}", "out, m", lines or ["pass"], names
    )
    return write


def constructor_of(fields: tuple[Field, ...]) -> Callable[..., None]:
    """An `__init__` that takes these fields by position or by name, each with its default."""
    names: dict[str, Any] = {"_absent": object()}
    parameters = ["self"]
    lines = []
    for f in fields:
        names[f"default_{f.name}"] = f.default_factory or f.default
        if f.default_factory:
            parameters.append(f"{f.name}=_absent")
            value = f"default_{f.name}() if {f.name} is _absent else {f.name}"
        else:
            parameters.append(f"{f.name}=default_{f.name}")
            value = f.name
        lines.append(f"self.{f.name} = {value}")
    made: Callable[..., None] = _function(
        "__init__", ", ".join(parameters), lines or ["pass"], names
    )
    return made


def _function(name: str, parameters: str, lines: list[str], names: dict[str, Any]) -> Any:
    source = "\n    ".join([f"def {name}({parameters}):", *lines])
    exec(compile(source, f"<{name}>", "exec"), names)  # noqa: S102  # our own declarations only
    return names[name]


def _refuse_to_lose(name: str) -> None:
    raise ValueError(f"this version has no {name}, and the value must not be lost")


def _is_nullable(wire: Wire, version: int) -> bool:
    return wire.nullable is not None and version >= wire.nullable


def _field_reader(wire: Wire, version: int, flexible: bool) -> StructReader:
    nullable = _is_nullable(wire, version)
    if wire.kind == "array":
        element = _element(wire.element)
        count_bytes = 1 if flexible else 4
        if element.kind in FIXED:
            code = FIXED[element.kind]
            read = primitives.packed_array_reader(code, compact=flexible, nullable=nullable)
            return StructReader(read, count_bytes)
        item = _field_reader(element, version, flexible)
        read = primitives.array_reader(
            item.read, max(item.bytes_min, 1), compact=flexible, nullable=nullable
        )
        return StructReader(read, count_bytes)
    if wire.kind == "struct":
        inner = reader_of(wire.element, version, flexible)
        return StructReader(primitives.optional_struct_reader(inner.read), 1) if nullable else inner
    if wire.kind == "string":
        read = primitives.string_reader(compact=flexible, nullable=nullable)
        return StructReader(read, 1 if flexible else 2)
    if wire.kind == "blob":
        read = primitives.bytes_reader(compact=flexible, nullable=nullable)
        return StructReader(read, 1 if flexible else 4)
    if wire.kind == "uuid":
        return StructReader(primitives.read_uuid, 16)
    return StructReader(FIXED_READERS[wire.kind], Struct(">" + FIXED[wire.kind]).size)


def _field_writer(wire: Wire, version: int, flexible: bool) -> Writer:
    nullable = _is_nullable(wire, version)
    if wire.kind == "array":
        element = _element(wire.element)
        if element.kind in FIXED:
            code = FIXED[element.kind]
            return primitives.packed_array_writer(code, compact=flexible, nullable=nullable)
        item = _field_writer(element, version, flexible)
        return primitives.array_writer(item, compact=flexible, nullable=nullable)
    if wire.kind == "struct":
        inner = writer_of(wire.element, version, flexible)
        return primitives.optional_struct_writer(inner) if nullable else inner
    if wire.kind == "string":
        return primitives.string_writer(compact=flexible, nullable=nullable)
    if wire.kind == "blob":
        return primitives.bytes_writer(compact=flexible, nullable=nullable)
    if wire.kind == "uuid":
        return primitives.write_uuid
    return FIXED_WRITERS[wire.kind]


def _element(element: Any) -> Wire:
    """What an array holds: a struct class, or the function that declares a primitive."""
    if isinstance(element, type):
        return Wire("struct", element)
    return Wire(element.__name__)
