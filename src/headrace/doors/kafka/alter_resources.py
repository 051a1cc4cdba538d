"""What AlterConfigs and IncrementalAlterConfigs have in common: resources that succeed or fail
alone, each durable before the answer, and none that may occur twice.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from headrace.broker.admin_configs import Resource
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["alter_each"]


class _Asked(Protocol):
    resource_type: int
    resource_name: str


T = TypeVar("T", bound=_Asked)


async def alter_each(
    asked: Sequence[T], alter: Callable[[Resource, T], Awaitable[None]]
) -> list[tuple[int, str | None, int, str]]:
    """Error code, error message, resource type and name of every resource, in order.

    One that occurs more than once is answered once, with INVALID_REQUEST.
    """
    keys = [Resource(resource.resource_type, resource.resource_name) for resource in asked]
    times = Counter(keys)
    answers: list[tuple[int, str | None, int, str]] = []
    for key, resource in dict(zip(keys, asked, strict=True)).items():
        try:
            if times[key] > 1:
                raise RequestError(ErrorCode.INVALID_REQUEST, f"{key.name!r} is named twice")
            await alter(key, resource)
        except RequestError as error:
            answers.append((error.code, error.message, *key))
        else:
            answers.append((ErrorCode.NONE, None, *key))
    return answers
