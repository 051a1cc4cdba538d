"""The error codes in an answer, for counting: the message's own and those of what it lists.

Which attributes can hold one is found out once for each class. What must not enter: Produce and
Fetch, which know their errors without looking.
"""

from typing import Any, Final, NamedTuple

from headrace.wire.schema import fields_of

__all__ = ["LOOKED_AT_MAX", "errors_in"]

LOOKED_AT_MAX: Final = 256
"""Elements looked at in one answer: the metadata of ten thousand partitions is not walked."""


class _Plan(NamedTuple):
    has_code: bool
    lists: tuple[str, ...]
    """Attributes that hold lists of messages which hold codes."""


def errors_in(response: Any) -> list[int]:
    """Every error code but 0 among the first LOOKED_AT_MAX things of `response`."""
    found: list[int] = []
    ahead = [response]
    for looked_at, thing in enumerate(ahead):
        if looked_at == LOOKED_AT_MAX:
            break
        plan = _plan(type(thing))
        if plan.has_code and thing.error_code:
            found.append(thing.error_code)
        for name in plan.lists:
            ahead.extend((getattr(thing, name) or ())[: max(LOOKED_AT_MAX - len(ahead), 0)])
    return found


_plans: dict[type, _Plan] = {}


def _plan(kind: Any) -> _Plan:
    known = _plans.get(kind)
    if known is None:
        known = _plans[kind] = _make_plan(kind)
    return known


def _make_plan(kind: type) -> _Plan:
    wires = {field.name: field.wire for field in fields_of(kind)}
    return _Plan("error_code" in wires, tuple(name for name in wires if _matters(wires[name])))


def _matters(wire: Any) -> bool:
    if wire.kind != "array" or not fields_of(wire.element):
        return False
    plan = _plan(wire.element)
    return plan.has_code or bool(plan.lists)
