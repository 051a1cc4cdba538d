"""What the requests that describe groups have in common: one answer a group, an error in the place
of what cannot be told, and who may do what.

What must not enter: what there is to tell of any kind of group (`k15`, `k69`, `k77`).
"""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from headrace.doors.kafka.acl_operations import GROUP_OPERATIONS
from headrace.doors.kafka.side_by_side import in_turns
from headrace.wire.errors import RequestError

__all__ = ["described_groups"]


class _Described(Protocol):
    group_id: str
    error_code: int
    error_message: str | None
    authorized_operations: int


A = TypeVar("A", bound=_Described)


async def described_groups(
    empty: Callable[[], A],
    fill: Callable[[A], None],
    group_ids: Iterable[str],
    *,
    with_operations: bool,
) -> list[A]:
    """An answer for each id, in their order. `fill` completes one that has its id and no more; the
    RequestError it may raise is told in it."""

    def describe(group_id: str) -> A:
        answer = empty()
        answer.group_id = group_id
        try:
            fill(answer)
        except RequestError as error:
            answer.error_code = error.code
            answer.error_message = error.message
            return answer
        if with_operations:
            answer.authorized_operations = GROUP_OPERATIONS
        return answer

    return await in_turns(describe, group_ids)
