"""DeleteTopics (key 20): by name up to version 5 (`topic_names`), by name or id from version 6 on
(`topics`; KIP-516)."""

from uuid import UUID

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, int16, int32, message, string, struct, uuid

__all__ = [
    "DeletableTopicResult",
    "DeleteTopicState",
    "DeleteTopicsRequest",
    "DeleteTopicsResponse",
]


@struct
class DeleteTopicState:
    """One of the two is set."""

    name: str | None = string(nullable=6, default=None)
    topic_id: UUID | None = uuid()


@message(ApiKey.DELETE_TOPICS, versions=(1, 6))
class DeleteTopicsRequest:
    topics: list[DeleteTopicState] = array(DeleteTopicState, since=6)
    topic_names: list[str] = array(string, until=5, ignorable=True)
    timeout_ms: int = int32()


@struct
class DeletableTopicResult:
    name: str | None = string(nullable=6)
    topic_id: UUID | None = uuid(since=6, ignorable=True)
    error_code: int = int16()
    error_message: str | None = string(since=5, nullable=5, default=None, ignorable=True)


@message(ApiKey.DELETE_TOPICS, versions=(1, 6))
class DeleteTopicsResponse:
    throttle_time_ms: int = int32()
    responses: list[DeletableTopicResult] = array(DeletableTopicResult)
