"""Finding the broker that a plain request is for, and its refusals in plain words.

What must not enter: what is asked (`share_groups`, `transactions`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure
from headrace.cli.plain_requests import PlainRequests
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k10_find_coordinator import (
    CoordinatorType,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
)

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["CoordinatorType", "check", "coordinator", "every_broker"]

_MANY_KEYS_SINCE: Final = 4
"""The version of FindCoordinator that takes a list."""


@contextmanager
def coordinator(
    connection: Connection, admin: "AdminClient", name: str, of: CoordinatorType
) -> Iterator[PlainRequests]:
    """The broker that looks after the group or transactional id. Raises Failure."""
    described = admin.describe_cluster(request_timeout=connection.timeout_s)
    node = connection.wait(described, "describe cluster").nodes[0]
    with PlainRequests(node.host, node.port, connection.timeout_s) as requests:
        asked = FindCoordinatorRequest(key_type=of, coordinator_keys=[name])
        found = requests.ask(asked, FindCoordinatorResponse, version_min=_MANY_KEYS_SINCE)
    [place] = found.coordinators
    check(place.error_code, place.error_message, f"{of.name.lower()} {name}")
    with PlainRequests(place.host, place.port, connection.timeout_s) as requests:
        yield requests


def every_broker(connection: Connection, admin: "AdminClient") -> Iterator[PlainRequests]:
    """One after the other; each connection lasts until the next. Raises Failure."""
    described = admin.describe_cluster(request_timeout=connection.timeout_s)
    for node in connection.wait(described, "describe cluster").nodes:
        with PlainRequests(node.host, node.port, connection.timeout_s) as requests:
            yield requests


def check(code: int, message: str | None, what: str) -> None:
    """Raises Failure, whose reason is the name of the error, unless `code` is 0."""
    if code:
        try:
            name = ErrorCode(code).name
        except ValueError:
            name = f"error {code}"
        raise Failure(f"{what}: {message or 'refused'} ({name})", reason=name)
