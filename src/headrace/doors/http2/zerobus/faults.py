"""What the broker refuses, as the status that says the right thing to a client of Zerobus.

The official SDK gives up on INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, OUT_OF_RANGE,
UNIMPLEMENTED and NOT_FOUND, and opens the stream anew on everything else. So what a repetition
cannot mend is one of the former. What must not enter: who was refused.
"""

from typing import Final

from headrace.doors.http2.status import GrpcError, Status
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["grpc_error"]

_STATUSES: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: Status.NOT_FOUND,
    ErrorCode.UNKNOWN_TOPIC_ID: Status.NOT_FOUND,
    ErrorCode.RESOURCE_NOT_FOUND: Status.NOT_FOUND,
    ErrorCode.INVALID_TOPIC_EXCEPTION: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_REQUEST: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_RECORD: Status.INVALID_ARGUMENT,
    ErrorCode.MESSAGE_TOO_LARGE: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_TIMESTAMP: Status.INVALID_ARGUMENT,
    ErrorCode.INVALID_CONFIG: Status.INVALID_ARGUMENT,
    ErrorCode.TOPIC_AUTHORIZATION_FAILED: Status.PERMISSION_DENIED,
    ErrorCode.POLICY_VIOLATION: Status.RESOURCE_EXHAUSTED,
    ErrorCode.THROTTLING_QUOTA_EXCEEDED: Status.RESOURCE_EXHAUSTED,
    # Two clients that are at one stream would throw each other out for ever if this were retried.
    ErrorCode.PRODUCER_FENCED: Status.OUT_OF_RANGE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: Status.UNAVAILABLE,
    ErrorCode.LEADER_NOT_AVAILABLE: Status.UNAVAILABLE,
    ErrorCode.KAFKA_STORAGE_ERROR: Status.UNAVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: Status.UNAVAILABLE,
}


def grpc_error(error: RequestError) -> GrpcError:
    """INTERNAL for what a stream should never meet."""
    return GrpcError(_STATUSES.get(error.code, Status.INTERNAL), error.message)
