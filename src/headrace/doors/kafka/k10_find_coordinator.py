"""FindCoordinator (key 10), versions 0-6.

- one broker coordinates every group, every transactional id (key type 1) and every share partition
  (key type 2, which only brokers ask for, as group:topic-id:partition): itself
- v4 many keys in one request
"""

import re
from functools import partial
from typing import Final

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

_SHARE_PARTITION: Final = re.compile(r".+:[A-Za-z0-9_-]{22}:[0-9]+\Z", re.DOTALL)
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
    is_share_partition = request.key_type == CoordinatorType.SHARE and _SHARE_PARTITION.match(key)
    known = (CoordinatorType.GROUP, CoordinatorType.TRANSACTION)
    if request.key_type in known or is_share_partition:
        found.node_id = context.broker.node_id
        found.host = context.broker.advertised_host
        found.port = context.broker.advertised_port
    else:
        unknown = ErrorCode.INVALID_REQUEST, f"there is no coordinator type {request.key_type}"
        found.error_code, found.error_message = _REFUSALS.get(request.key_type, unknown)
        found.node_id = found.port = -1
    return found


API = Api(
    ApiKey.FIND_COORDINATOR,
    versions=(0, 6),
    request=FindCoordinatorRequest,
    handle=handle,
)
