"""kafka-python: the classic protocol, in pure Python."""

import time
from collections.abc import Iterable
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from proof.members.member import (
    HEARTBEAT_MS,
    POLL_RECORDS_MAX,
    POLL_S,
    SESSION_MS,
    Member,
)

__all__ = ["KafkaPythonMember"]

CLOSE_MS = 10_000


class KafkaPythonMember(Member):
    consumer: KafkaConsumer

    def open(self) -> None:
        self.consumer = KafkaConsumer(
            bootstrap_servers=self.work.bootstrap,
            group_id=self.work.group,
            client_id=self.name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_records=POLL_RECORDS_MAX,
            **self.work.options,
        )
        self.consumer.subscribe([self.work.topic], listener=_Listener(self))

    def poll(self) -> Iterable[tuple[int, int, bytes]]:
        for messages in self.consumer.poll(timeout_ms=int(POLL_S * 1000)).values():
            for message in messages:
                yield message.partition, message.offset, message.value

    def commit(self, offsets: dict[int, int]) -> None:
        sent = time.monotonic()

        def answered(_: Any, response: Any) -> None:
            if isinstance(response, BaseException):
                self.not_committed(offsets)
                self.failed("commit", response)
            else:
                self.journal.committed(self.name, sent, offsets)

        self.consumer.commit_async(self._places(offsets), callback=answered)

    def close(self) -> None:
        try:
            self._commit_now(self.uncommitted())
        finally:
            self.consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            self.revoked(list(self.owned))

    def _commit_now(self, new: dict[int, int]) -> None:
        if not new:
            return
        sent = time.monotonic()
        try:
            self.consumer.commit(self._places(new), timeout_ms=CLOSE_MS)
        except Exception as error:  # noqa: BLE001 - written down and judged
            self.failed("commit", error)
        else:
            self.journal.committed(self.name, sent, new)

    def _places(self, offsets: dict[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {
            TopicPartition(self.work.topic, at): OffsetAndMetadata(n, "", -1)
            for at, n in offsets.items()
        }


class _Listener(ConsumerRebalanceListener):
    def __init__(self, member: KafkaPythonMember) -> None:
        self.member = member

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.member.revoked(one.partition for one in revoked)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.member.assigned(one.partition for one in assigned)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.member.revoked(one.partition for one in lost)
