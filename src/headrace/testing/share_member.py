"""A member of a share group that says exactly what it is told to, over one connection."""

import itertools
from uuid import UUID, uuid4

from headrace.testing.raw_client import RawClient
from headrace.wire.messages.k76_share_group_heartbeat import (
    ShareGroupHeartbeatRequest,
    ShareGroupHeartbeatResponse,
)
from headrace.wire.messages.k78_share_fetch import (
    AcknowledgementBatch,
    ShareFetchPartition,
    ShareFetchRequest,
    ShareFetchResponse,
    ShareFetchResponsePartition,
    ShareFetchTopic,
)
from headrace.wire.messages.k79_share_acknowledge import (
    ShareAcknowledgePartition,
    ShareAcknowledgeRequest,
    ShareAcknowledgeResponse,
    ShareAcknowledgeTopic,
)

__all__ = ["Range", "ShareMember"]

Range = tuple[int, int, list[int]]
"""First and last offset, acknowledge types."""


class ShareMember:
    """Joins its group at once. Its session's epoch counts up by itself, unless a call sets it."""

    def __init__(
        self, host: str, port: int, topic_id: UUID, group_id: str = "g", *, topic: str = "t"
    ) -> None:
        self.client = RawClient(host, port)
        self.group_id = group_id
        self.member_id = str(uuid4())
        self.topic_id = topic_id
        self.epochs = itertools.count()
        joined = self.client.ask(
            ShareGroupHeartbeatRequest(
                group_id=group_id, member_id=self.member_id, subscribed_topic_names=[topic]
            ),
            ShareGroupHeartbeatResponse,
            1,
        )
        if joined.error_code:
            raise ConnectionError(f"joining {group_id}: error {joined.error_code}")

    def leave(self) -> None:
        self.client.ask(
            ShareGroupHeartbeatRequest(
                group_id=self.group_id, member_id=self.member_id, member_epoch=-1
            ),
            ShareGroupHeartbeatResponse,
            1,
        )

    def die(self) -> None:
        """Without a word."""
        self.client.close()

    def request(
        self, acknowledged: list[Range], partition: int, **fields: int
    ) -> ShareFetchRequest:
        wants = ShareFetchPartition(partition, _batches(acknowledged))
        if "share_session_epoch" not in fields:
            fields["share_session_epoch"] = next(self.epochs)
        request = ShareFetchRequest(
            self.group_id,
            self.member_id,
            min_bytes=1,
            max_bytes=1 << 20,
            max_records=500,
            batch_size=500,
            topics=[ShareFetchTopic(self.topic_id, [wants])],
        )
        for name, value in fields.items():
            setattr(request, name, value)
        return request

    def ask(
        self, *acknowledged: Range, partition: int = 0, version: int = 2, **fields: int
    ) -> ShareFetchResponse:
        """ShareFetch of one partition; `fields` of the request."""
        request = self.request(list(acknowledged), partition, **fields)
        return self.client.ask(request, ShareFetchResponse, version)

    def fetch(
        self, *acknowledged: Range, partition: int = 0, **fields: int
    ) -> ShareFetchResponsePartition:
        """What the answer says of the partition, empty if it says nothing."""
        answer = self.ask(*acknowledged, partition=partition, **fields)
        if answer.error_code:
            raise ConnectionError(f"ShareFetch: error {answer.error_code}")
        for topic in answer.responses:
            for found in topic.partitions:
                if found.partition_index == partition:
                    return found
        return ShareFetchResponsePartition(partition)

    def acquire(self, *acknowledged: Range, **fields: int) -> list[tuple[int, int, int]]:
        """(first, last, delivery count) of what became this member's."""
        found = self.fetch(*acknowledged, **fields)
        if found.error_code or found.acknowledge_error_code:
            raise ConnectionError(
                f"ShareFetch: errors {found.error_code}, {found.acknowledge_error_code}"
            )
        return [
            (run.first_offset, run.last_offset, run.delivery_count)
            for run in found.acquired_records
        ]

    def acknowledge(
        self,
        *acknowledged: Range,
        partition: int = 0,
        epoch: int | None = None,
        renew: bool = False,
    ) -> int:
        """ShareAcknowledge; the error code, of the request or of the partition."""
        answer = self.client.ask(
            ShareAcknowledgeRequest(
                self.group_id,
                self.member_id,
                next(self.epochs) if epoch is None else epoch,
                renew,
                [
                    ShareAcknowledgeTopic(
                        self.topic_id,
                        [ShareAcknowledgePartition(partition, _batches(list(acknowledged)))],
                    )
                ],
            ),
            ShareAcknowledgeResponse,
            2,
        )
        return answer.error_code or answer.responses[0].partitions[0].error_code


def _batches(acknowledged: list[Range]) -> list[AcknowledgementBatch]:
    return [AcknowledgementBatch(*one) for one in acknowledged]
