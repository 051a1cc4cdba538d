"""What a handler file declares about itself, and what it is given with each request.

The declared range is the one that ApiVersions advertises and the one the tests walk, so the three
cannot disagree.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.wire.apis import ApiKey

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.fetch import Slice
    from headrace.wire.messages.k78_share_fetch import ShareFetchResponse

__all__ = ["Api", "RequestContext", "WithRecords"]


@dataclass(slots=True)
class RequestContext:
    """Who asks, in which version, and the broker that answers."""

    broker: "Broker"
    api_version: int
    client_id: str | None
    client_host: str
    connection_id: int
    """Unique in this process; a closed connection's id is never used again."""


@dataclass(frozen=True, slots=True)
class WithRecords:
    """An answer whose records stay in their files: for each of its partitions, in order, ranges of
    whole batches. The sender releases them."""

    message: "ShareFetchResponse"
    records: "list[list[Slice]]"


@dataclass(frozen=True, slots=True)
class Api:
    """One API: `handle` takes the decoded `request` and returns the response message.

    It answers a refused request with the protocol's own error fields. When the connection closes
    while it waits, it is cancelled.
    """

    key: ApiKey
    versions: tuple[int, int]
    """First and last version advertised, both included."""
    request: type[Any]
    handle: Callable[[RequestContext, Any], Awaitable[Any]]
