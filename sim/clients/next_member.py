"""A member of a next-generation consumer group (KIP-848)."""

from typing import Final
from uuid import UUID

from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k68_consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatTopicPartitions,
)
from sim.clients.client import Site
from sim.clients.member import Grouping, Lost, Member
from sim.connection import Connection
from sim.world import SECOND

__all__ = ["NextMember"]

REBALANCE_MS: Final = 30_000
THINK_S: Final = 1.0
LEAVE_ONE_IN: Final = 150
DIE_ONE_IN: Final = 150
AWAY_S: Final = 40.0
"""Longer than a session, sometimes."""
LEAVING: Final = -1


class NextMember(Member):
    """Says everything in its first heartbeat, and then what changes."""

    def __init__(self, site: Site, name: str, grouping: Grouping) -> None:
        super().__init__(site, name, grouping)
        self._epoch = 0
        self._topic_id: UUID | None = None
        self._target: set[int] = set()
        self._reported: set[int] | None = None
        """What it last said that it has; None before the first time."""
        self._next_heartbeat_ns = 0

    def member_id(self) -> str:
        return self.life

    async def work(self, connection: Connection) -> None:
        try:
            if self._epoch == 0:
                self.begin_life()
            while not self.is_done():
                await self._heartbeat_if_due(connection)
                self.give_up(self.holds.keys() - self._target)
                await self.take(connection, self._target, self._epoch)
                await self.read_some(connection)
                await self.commit(connection, self._epoch)
                if not self.site.is_ending and await self._goes(connection):
                    return
                await self.think(THINK_S)
        except Lost as why:
            self.note(f"lost: {why}")
            self._begin_anew()

    def disconnected(self) -> None:
        """The next heartbeat says everything again, since this one's answer may have been lost."""
        self._reported = None
        self._next_heartbeat_ns = 0

    def _begin_anew(self) -> None:
        self.end_life()
        self._epoch = 0
        self._target = set()
        self.disconnected()

    async def _heartbeat_if_due(self, connection: Connection) -> None:
        world = self.site.world
        mine = set(self.holds)
        if world.now_ns < self._next_heartbeat_ns and mine == self._reported:
            return
        answer = await connection.ask(self._request(mine), ConsumerGroupHeartbeatResponse)
        if self.is_refused(answer.error_code, "ConsumerGroupHeartbeat"):
            self._reported = None
            return
        if answer.member_epoch < self._epoch:
            self.problem(f"epoch {answer.member_epoch} after {self._epoch}")
        self._epoch = answer.member_epoch
        self._reported = mine
        self._next_heartbeat_ns = world.now_ns + answer.heartbeat_interval_ms * SECOND // 1000
        if answer.assignment is not None:
            self._target = set()
            for topic in answer.assignment.topic_partitions:
                self._topic_id = topic.topic_id
                self._target.update(topic.partitions)
            self.note(f"epoch {self._epoch}, is to have {sorted(self._target)}")

    def _request(self, mine: set[int]) -> ConsumerGroupHeartbeatRequest:
        is_first = self._epoch == 0
        is_full = is_first or self._reported is None
        owned = None
        if is_full or mine != self._reported:
            owned = (
                [ConsumerGroupHeartbeatTopicPartitions(self._topic_id, sorted(mine))]
                if mine
                else []
            )
        return ConsumerGroupHeartbeatRequest(
            group_id=self.grouping.group,
            member_id=self.member_id(),
            member_epoch=self._epoch,
            rebalance_timeout_ms=REBALANCE_MS if is_full else -1,
            subscribed_topic_names=[self.grouping.topic] if is_full else None,
            topic_partitions=owned,
        )

    async def _goes(self, connection: Connection) -> bool:
        """It leaves, or dies without a word, or stays, which is what it mostly does."""
        if self.random.randrange(LEAVE_ONE_IN) == 0:
            self.note("leaves")
            self.give_up(set(self.holds))
            request = ConsumerGroupHeartbeatRequest(self.grouping.group, self.member_id(), LEAVING)
            answer = await connection.ask(request, ConsumerGroupHeartbeatResponse)
            if answer.error_code not in (ErrorCode.NONE, ErrorCode.UNKNOWN_MEMBER_ID):
                self.refused(answer.error_code, "leaving")
        elif self.random.randrange(DIE_ONE_IN) == 0:
            self.note("dies")
        else:
            return False
        self._begin_anew()
        await self.think(AWAY_S)
        return True
