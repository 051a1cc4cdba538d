"""What the broker refuses, as a status: UNAVAILABLE is what may go well if tried again.

What must not enter: who was refused.
"""

from typing import Final

from headrace.doors.http2.status import GrpcError, Status
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["grpc_error", "invalid"]

_STATUSES: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: Status.NOT_FOUND,
    ErrorCode.UNKNOWN_TOPIC_ID: Status.NOT_FOUND,
    ErrorCode.RESOURCE_NOT_FOUND: Status.NOT_FOUND,
    ErrorCode.INVALID_TOPIC_EXCEPTION: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_GROUP_ID: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_REQUEST: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_RECORD: Status.INVALID_ARGUMENT,
    ErrorCode.MESSAGE_TOO_LARGE: Status.INVALID_ARGUMENT,
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL: Status.FAILED_PRECONDITION,
    ErrorCode.GROUP_ID_NOT_FOUND: Status.FAILED_PRECONDITION,
    ErrorCode.UNSUPPORTED_VERSION: Status.UNIMPLEMENTED,
    ErrorCode.POLICY_VIOLATION: Status.RESOURCE_EXHAUSTED,
    ErrorCode.GROUP_MAX_SIZE_REACHED: Status.RESOURCE_EXHAUSTED,
    ErrorCode.SHARE_SESSION_LIMIT_REACHED: Status.RESOURCE_EXHAUSTED,
    # Two clients of one stream would throw each other out for ever if this were tried again.
    ErrorCode.PRODUCER_FENCED: Status.ABORTED,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: Status.UNAVAILABLE,
    ErrorCode.LEADER_NOT_AVAILABLE: Status.UNAVAILABLE,
    ErrorCode.COORDINATOR_NOT_AVAILABLE: Status.UNAVAILABLE,
    ErrorCode.KAFKA_STORAGE_ERROR: Status.UNAVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: Status.UNAVAILABLE,
}


def grpc_error(error: RequestError) -> GrpcError:
    """INTERNAL for what a stream should never meet."""
    return GrpcError(_STATUSES.get(error.code, Status.INTERNAL), error.message)


def invalid(why: str) -> GrpcError:
    return GrpcError(Status.INVALID_ARGUMENT, why)
