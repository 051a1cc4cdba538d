"""DeleteShareGroupOffsets (key 92): an empty share group forgets its topics (KIP-932)."""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, string, struct, uuid

__all__ = [
    "DeleteShareGroupOffsetsRequest",
    "DeleteShareGroupOffsetsRequestTopic",
    "DeleteShareGroupOffsetsResponse",
    "DeleteShareGroupOffsetsResponseTopic",
]


@struct
class DeleteShareGroupOffsetsRequestTopic:
    topic_name: str = string()


@message(ApiKey.DELETE_SHARE_GROUP_OFFSETS, versions=(0, 0))
class DeleteShareGroupOffsetsRequest:
    group_id: str = string()
    topics: list[DeleteShareGroupOffsetsRequestTopic] = array(DeleteShareGroupOffsetsRequestTopic)


@struct
class DeleteShareGroupOffsetsResponseTopic:
    topic_name: str = string()
    topic_id: UUID | None = uuid()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)


@message(ApiKey.DELETE_SHARE_GROUP_OFFSETS, versions=(0, 0))
class DeleteShareGroupOffsetsResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    responses: list[DeleteShareGroupOffsetsResponseTopic] = array(
        DeleteShareGroupOffsetsResponseTopic
    )
