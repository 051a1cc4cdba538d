"""What a member of a share group (KIP-932) says with each heartbeat, and is answered.

Members are told which partitions to read, and confirm nothing: a partition may have many readers,
so nobody waits until another has given it up. What has not changed since the last heartbeat is
None.
"""

from dataclasses import dataclass

from headrace.groups.topics_image import NO_TOPICS, TopicPartition, TopicsImage
from headrace.wire.errors import ErrorCode

__all__ = ["ShareHeartbeat", "ShareHeartbeatAnswer"]


@dataclass(frozen=True, slots=True)
class ShareHeartbeat:
    member_id: str
    member_epoch: int
    """Or JOIN, LEAVE (`consumer_requests`)."""
    rack_id: str | None = None
    names: frozenset[str] | None = None
    """Topics subscribed to; there are no patterns in share groups."""
    client_id: str = ""
    client_host: str = ""
    topics: TopicsImage = NO_TOPICS
    """What exists at this moment."""
    token: int = 0


@dataclass(frozen=True, slots=True)
class ShareHeartbeatAnswer:
    error: ErrorCode = ErrorCode.NONE
    message: str = ""
    member_id: str = ""
    member_epoch: int = 0
    assignment: frozenset[TopicPartition] | None = None
    """All that the member shall read; None: as it was told before."""
