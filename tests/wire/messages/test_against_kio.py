"""Every message in every version is, byte for byte, what an independent implementation writes.

kio's classes are generated from Kafka's own definitions, one for each version. Random instances of
them are translated into ours; both sides must then agree on the bytes.
"""

import dataclasses
import datetime
import enum
import importlib
import io
import pkgutil
import random
import types
import typing
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kio.serial import entity_reader, entity_writer

import headrace.wire.messages
from headrace.wire import schema

SAMPLES_EACH = 12
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NO_TIME = -1
"""On the wire, where kio has None."""
EDGES = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "timedelta_i32": (-(2**31), 2**31 - 1),
    "timedelta_i64": (-(10**14), 10**14),  # what a timedelta can hold
}


def declared_messages() -> Iterator[tuple[str, str, type]]:
    for module_info in pkgutil.iter_modules(headrace.wire.messages.__path__):
        module = importlib.import_module(f"headrace.wire.messages.{module_info.name}")
        for name in module.__all__:
            cls = getattr(module, name)
            if cls in schema._MESSAGES:
                kind = "request" if name.endswith("Request") else "response"
                yield module_info.name[4:], kind, cls


MESSAGES = list(declared_messages())


def kio_class(api: str, kind: str, version: int, name: str) -> type:
    return getattr(importlib.import_module(f"kio.schema.{api}.v{version}.{kind}"), name)


def random_text(rng: random.Random) -> str:
    length = rng.choice((0, 1, 7, 130))
    return "".join(rng.choice("aZ0-._é水🌊\0") for _ in range(length))


def random_value(rng: random.Random, hint: Any, kafka_type: str | None) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if rng.random() < 0.3:
            return None
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        count = rng.choice((0, 1, 2, 3))
        return tuple(random_value(rng, element, kafka_type) for _ in range(count))
    if dataclasses.is_dataclass(hint):
        return random_instance(rng, hint)
    if kafka_type == "error_code":
        return rng.choice(list(hint))
    if kafka_type in EDGES:
        value = rng.choice((*EDGES[kafka_type], 0, 1, rng.randint(*EDGES[kafka_type])))
        if kafka_type.startswith("timedelta"):
            return datetime.timedelta(milliseconds=value)
        return value
    match kafka_type:
        case "bool":
            return rng.random() < 0.5
        case "string":
            return random_text(rng)
        case "bytes" | "records":
            return rng.randbytes(rng.choice((0, 1, 200)))
        case "datetime_i64":
            return EPOCH + datetime.timedelta(seconds=rng.randint(0, 10**11))
        case "uuid":
            return uuid.UUID(int=rng.getrandbits(128))
    raise AssertionError(f"no values for {kafka_type}")


def random_instance(rng: random.Random, cls: type) -> Any:
    hints = typing.get_type_hints(cls)
    values = {}
    for field in dataclasses.fields(cls):
        if rng.random() < 0.2 and field.default is not dataclasses.MISSING:
            values[field.name] = field.default
        else:
            kafka_type = field.metadata.get("kafka_type")
            values[field.name] = random_value(rng, hints[field.name], kafka_type)
    return cls(**values)


def translated(theirs: Any, cls: type) -> Any:
    """`theirs`, an instance of a class of kio's, as an instance of our `cls`."""
    fields = {f.name: f.wire for f in schema.fields_of(cls)}
    values = {}
    for field in dataclasses.fields(theirs):
        name = field.name if field.name in fields else f"{field.name}_ms"
        values[name] = translated_value(getattr(theirs, field.name), fields[name].element)
        if field.metadata.get("kafka_type") == "datetime_i64" and values[name] is None:
            values[name] = NO_TIME
    return cls(**values)


def translated_value(value: Any, element: Any) -> Any:
    if isinstance(value, tuple):
        return [translated_value(item, element) for item in value]
    if dataclasses.is_dataclass(value):
        return translated(value, element)
    if isinstance(value, datetime.datetime):
        value -= EPOCH
    if isinstance(value, datetime.timedelta):
        return value // datetime.timedelta(milliseconds=1)
    if isinstance(value, enum.IntEnum):
        return value.value
    return value


@pytest.mark.parametrize(
    ("api", "kind", "cls"), MESSAGES, ids=[f"{api}-{kind}" for api, kind, _ in MESSAGES]
)
def test_every_version_agrees_with_kio(api: str, kind: str, cls: type) -> None:
    for version in schema.versions_of(cls):
        theirs = kio_class(api, kind, version, cls.__name__)
        write, read = entity_writer(theirs), entity_reader(theirs)
        rng = random.Random(f"{cls.__name__} {version}")
        for _ in range(SAMPLES_EACH):
            sample = random_instance(rng, theirs)
            buffer = io.BytesIO()
            write(buffer, sample)
            ours = translated(sample, cls)

            encoded = schema.encode(ours, version)

            assert encoded == buffer.getvalue(), (version, sample)
            assert schema.decode(cls, version, encoded) == ours
            assert translated(read(encoded, 0)[0], cls) == ours


@pytest.mark.parametrize(
    ("api", "kind", "cls"), MESSAGES, ids=[f"{api}-{kind}" for api, kind, _ in MESSAGES]
)
def test_defaults_are_those_of_kafka(api: str, kind: str, cls: type) -> None:
    """An attribute that kio fills by default has the same default here."""

    def compare(ours: type, theirs: type) -> None:
        hints = typing.get_type_hints(theirs)
        for field in dataclasses.fields(theirs):
            fields = {f.name: f for f in schema.fields_of(ours)}
            mine = fields.get(field.name) or fields[f"{field.name}_ms"]
            if field.default is not dataclasses.MISSING:
                expected = translated_value(field.default, mine.wire.element)
                if field.metadata.get("kafka_type") == "datetime_i64" and expected is None:
                    expected = NO_TIME
                default = mine.default_factory() if mine.default_factory else mine.default
                assert default == expected, (ours, field.name)
            for hint in (hints[field.name], *typing.get_args(hints[field.name])):
                if dataclasses.is_dataclass(hint):
                    compare(mine.wire.element, hint)

    for version in schema.versions_of(cls):
        compare(cls, kio_class(api, kind, version, cls.__name__))
