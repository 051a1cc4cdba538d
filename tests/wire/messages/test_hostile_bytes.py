"""No real message can be damaged so that its decoder does anything but decode or refuse."""

import importlib
import pkgutil
import random

import pytest

import headrace.wire.messages
from headrace.wire import schema
from headrace.wire.errors import MalformedError

DAMAGED_EACH = 60


def all_messages() -> list[type]:
    found = []
    for module_info in pkgutil.iter_modules(headrace.wire.messages.__path__):
        module = importlib.import_module(f"headrace.wire.messages.{module_info.name}")
        found += [getattr(module, name) for name in module.__all__]
    return [cls for cls in found if cls in schema._MESSAGES]


def filled(cls: type) -> object:
    """An instance with one element in each list."""
    made = cls()
    for name, wire, *_ in schema.fields_of(cls):
        element = wire.element
        if wire.kind == "array":
            by_kind = {"string": "word", "int8": 1, "int32": 7, "int64": 8}
            if isinstance(element, type):
                setattr(made, name, [filled(element)])
            else:
                setattr(made, name, [by_kind[element.__name__]])
    return made


@pytest.mark.parametrize("cls", all_messages(), ids=lambda cls: cls.__name__)
def test_damage_is_decoded_or_malformed(cls: type) -> None:
    for version in schema.versions_of(cls):
        rng = random.Random(f"{cls.__name__} {version}")
        try:
            whole = schema.encode(filled(cls), version)
        except ValueError:  # a list that this version lacks and that must not be lost
            whole = schema.encode(cls(), version)
        for _ in range(DAMAGED_EACH):
            damaged = bytearray(whole)
            for _ in range(rng.randint(0, 3)):
                if damaged:
                    damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            del damaged[rng.randint(len(damaged) // 2, len(damaged)) :]
            try:
                schema.decode(cls, version, bytes(damaged))
            except MalformedError:
                continue
