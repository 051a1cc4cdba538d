"""aiokafka: the classic protocol on asyncio. A member has an event loop of its own."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from proof.members.member import (
    HEARTBEAT_MS,
    POLL_RECORDS_MAX,
    POLL_S,
    SESSION_MS,
    Member,
)

__all__ = ["AiokafkaMember"]


class AiokafkaMember(Member):
    consumer: AIOKafkaConsumer

    def open(self) -> None:
        self.runner = asyncio.Runner()
        try:
            self.runner.run(self._open())
        except BaseException:
            self.runner.close()
            raise

    def poll(self) -> Iterable[tuple[int, int, bytes]]:
        got = self.runner.run(self._poll())
        for messages in got.values():
            for message in messages:
                yield message.partition, message.offset, message.value

    def commit(self, offsets: dict[int, int]) -> None:
        self.runner.run(self.commit_now(offsets))

    def close(self) -> None:
        try:
            self.runner.run(self._close())
        finally:
            self.runner.close()
            self.revoked(list(self.owned))

    async def _open(self) -> None:
        self.consumer = AIOKafkaConsumer(
            bootstrap_servers=self.work.bootstrap,
            group_id=self.work.group,
            client_id=self.name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            **self.work.options,
        )
        self.consumer.subscribe([self.work.topic], listener=_Listener(self))
        try:
            await self.consumer.start()
        except Exception:
            await self.consumer.stop()
            raise

    async def _poll(self) -> Any:
        return await self.consumer.getmany(
            timeout_ms=int(POLL_S * 1000), max_records=POLL_RECORDS_MAX
        )

    async def commit_now(self, offsets: dict[int, int]) -> None:
        sent = time.monotonic()
        places = {TopicPartition(self.work.topic, at): n for at, n in offsets.items()}
        try:
            await self.consumer.commit(places)
        except Exception as error:  # noqa: BLE001 - written down and judged
            self.not_committed(offsets)
            self.failed("commit", error)
        else:
            self.journal.committed(self.name, sent, offsets)

    async def _close(self) -> None:
        new = self.uncommitted()
        if new:
            await self.commit_now(new)
        await self.consumer.stop()


class _Listener(ConsumerRebalanceListener):
    def __init__(self, member: AiokafkaMember) -> None:
        self.member = member

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        gone = {one.partition for one in revoked}
        new = {at: n for at, n in self.member.uncommitted().items() if at in gone}
        if new:
            await self.member.commit_now(new)
        self.member.revoked(gone)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.member.assigned(one.partition for one in assigned)
