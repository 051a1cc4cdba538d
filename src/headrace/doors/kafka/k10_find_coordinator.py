"""FindCoordinator (key 10), versions 0-6.

- a group, a transactional id (key type 1) or a share partition (key type 2, which only brokers ask
  for, as group:topic-id:partition) is coordinated by the worker that owns it
- v4 many keys in one request
"""

import base64
import re
from functools import partial
from typing import Final
from uuid import UUID

from headrace.broker.cluster.ownership import Ownership
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import in_turns
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k10_find_coordinator import (
    CoordinatorType,
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    FindCoordinatorResponseCoordinator,
)

_SHARE_PARTITION: Final = re.compile(
    r".+:(?P<topic_id>[A-Za-z0-9_-]{22}):(?P<partition>[0-9]{1,10})\Z", re.DOTALL
)
"""The topic id as Kafka writes one: base64 without padding."""

_REFUSALS: Final[dict[int, tuple[ErrorCode, str]]] = {
    CoordinatorType.SHARE: (
        ErrorCode.INVALID_REQUEST,
        "a share partition is named as group:topic-id:partition",
    ),
}


async def handle(
    context: RequestContext, request: FindCoordinatorRequest
) -> FindCoordinatorResponse:
    if context.api_version >= 4:
        find = partial(_find, context, request)
        return FindCoordinatorResponse(coordinators=await in_turns(find, request.coordinator_keys))
    found = _find(context, request, request.key)
    return FindCoordinatorResponse(
        error_code=found.error_code,
        error_message=found.error_message,
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


def _find(
    context: RequestContext, request: FindCoordinatorRequest, key: str
) -> FindCoordinatorResponseCoordinator:
    found = FindCoordinatorResponseCoordinator(key=key)
    owner = _owner(context.broker.ownership, request.key_type, key)
    if owner is not None:
        found.node_id, found.host, found.port = context.broker.members[owner]
    else:
        unknown = ErrorCode.INVALID_REQUEST, f"there is no coordinator type {request.key_type}"
        found.error_code, found.error_message = _REFUSALS.get(request.key_type, unknown)
        found.node_id = found.port = -1
    return found


def _owner(ownership: Ownership, key_type: int, key: str) -> int | None:
    """The worker that coordinates what the key names; None if it names nothing."""
    if key_type == CoordinatorType.GROUP:
        return ownership.owner_of_group(key)
    if key_type == CoordinatorType.TRANSACTION:
        return ownership.owner_of_transaction(key)
    if key_type == CoordinatorType.SHARE and (named := _SHARE_PARTITION.match(key)):
        topic_id = UUID(bytes=base64.urlsafe_b64decode(named["topic_id"] + "=="))
        return ownership.owner_of_partition(topic_id, int(named["partition"]))
    return None


API = Api(
    ApiKey.FIND_COORDINATOR,
    versions=(0, 6),
    request=FindCoordinatorRequest,
    handle=handle,
)
