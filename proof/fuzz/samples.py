"""A request of every API in every version, with something in each of its fields."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from uuid import UUID

from headrace.doors.kafka.registry import advertised, apis
from headrace.testing.hot_messages import FetchRequest, ProduceRequest
from headrace.wire import schema
from headrace.wire.apis import ApiKey, is_flexible
from headrace.wire.codegen import Wire
from headrace.wire.records import Record, build_batch

__all__ = ["Sample", "body_of", "frame_of", "request_classes", "samples"]

ENTRIES: Final = 2
TOPIC: Final = "t"
_NUMBERS: Final = {"int8": 1, "int16": 1, "uint16": 1, "int32": 1, "int64": 1, "float64": 1.0}


class Sample(NamedTuple):
    api_key: int
    version: int
    body: bytes


def request_classes() -> dict[int, tuple[type, range]]:
    """By API key: the class of its requests and the versions that are served."""
    classes: dict[int, type] = {key: api.request for key, api in apis().items()}
    classes |= {ApiKey.PRODUCE: ProduceRequest, ApiKey.FETCH: FetchRequest}
    return {
        key: (classes[key], range(first, last + 1)) for key, (first, last) in advertised().items()
    }


def samples() -> Iterator[Sample]:
    for key, (cls, versions) in request_classes().items():
        described = schema.versions_of(cls)
        for version in (version for version in versions if version in described):
            yield Sample(key, version, body_of(cls, version))


def frame_of(sample: Sample, body: bytes | None = None) -> bytes:
    """The request as it goes over the wire, without its length."""
    head = sample.api_key.to_bytes(2, "big") + sample.version.to_bytes(2, "big")
    head += b"\0\0\0\7\xff\xff"
    tags = b"\0" if is_flexible(sample.api_key, sample.version) else b""
    return head + tags + (sample.body if body is None else body)


def body_of(cls: type, version: int) -> bytes:
    """With as much in it as the version has room for."""
    return schema.encode(_filled(cls, version), version)


def _filled(cls: type, version: int) -> Any:
    one = cls()
    for field in schema.fields_of(cls):
        if field.wire.since <= version <= field.wire.until:
            setattr(one, field.name, _value(field.name, field.wire, version))
    return one


def _value(name: str, wire: Wire, version: int) -> Any:
    if wire.kind == "array":
        element = wire.element
        inner = Wire("struct", element) if isinstance(element, type) else Wire(element.__name__)
        return [_value(name, inner, version) for _ in range(ENTRIES)]
    if wire.kind == "struct":
        return _filled(wire.element, version)
    if wire.kind == "boolean":
        return False
    if wire.kind == "string":
        return TOPIC
    if wire.kind == "blob":
        return build_batch([Record(value=b"v")]) if name == "records" else b"bytes"
    if wire.kind == "uuid":
        return UUID(int=7)
    return _NUMBERS[wire.kind]
