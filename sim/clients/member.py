"""A member of a group: reads what it is given, commits, and is revoked, fenced or forgotten.

What both protocols have in common. It writes a journal as `proof.journal` describes it, and
`proof.judge` reads that. One life of a member has one name in it; who is thought dead, or is dead,
comes back under another. What must not enter: how a member gets its partitions.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from sim.clients.client import Client, Site
from sim.clients.follower import fetch, sent_in
from sim.clients.offsets import committed_offsets
from sim.clients.producer import Producer
from sim.connection import Connection
from sim.records import next_offset, visible_records
from sim.world import SECOND

__all__ = ["LOST", "Grouping", "Lost", "Member"]

COMMIT_VERSION: Final = 9
RECORDS_MAX: Final = 30

LOST: Final = frozenset(
    {
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.FENCED_MEMBER_EPOCH,
        ErrorCode.ILLEGAL_GENERATION,
    }
)
"""The group thinks that this member is gone."""
LATER: Final = frozenset(
    {
        ErrorCode.STALE_MEMBER_EPOCH,
        ErrorCode.REBALANCE_IN_PROGRESS,
        ErrorCode.UNSTABLE_OFFSET_COMMIT,
    }
)
"""The member has to hear something first."""


class Lost(Exception):
    """The member has to join anew."""


@dataclass
class Grouping:
    """A group and the topic that it reads."""

    group: str
    topic: str
    partitions: int
    producer: Producer
    committed: dict[int, int] = field(default_factory=dict)
    """By partition, as was answered."""
    events: list[list[dict[str, Any]]] = field(default_factory=list)
    """One journal for every life of a member."""
    killed: dict[str, float] = field(default_factory=dict)

    def is_done(self) -> bool:
        return self.producer.is_done() and all(
            self.committed.get(partition, 0) >= written
            for partition, written in enumerate(self.producer.written)
        )


class Member(Client):
    """Lives again and again."""

    def __init__(self, site: Site, name: str, grouping: Grouping) -> None:
        super().__init__(site, name)
        self.grouping = grouping
        self.lives = 0
        self.holds: dict[int, int] = {}
        """What it reads: the next offset of each partition."""
        self._journal: list[dict[str, Any]] = []

    def is_done(self) -> bool:
        return self.site.is_ending and self.grouping.is_done()

    # Its journal

    @property
    def life(self) -> str:
        return f"{self.name}.{self.lives}"

    def now_s(self) -> float:
        return self.site.world.now_ns / SECOND

    def begin_life(self) -> None:
        self.end_life()
        self.lives += 1
        self._journal = []
        self.grouping.events.append(self._journal)

    def end_life(self) -> None:
        """It reads nothing any more, and nobody is told."""
        if self.lives:
            self.grouping.killed[self.life] = self.now_s()
        self.holds.clear()

    def _write(self, event: str, **facts: Any) -> None:
        self._journal.append({"t": self.now_s(), "member": self.life, "event": event, **facts})

    # What it has

    async def take(self, connection: Connection, partitions: set[int], epoch: int) -> None:
        """Begin to read these, where the group stands. Raises Lost, Disconnected."""
        new = sorted(partitions - self.holds.keys())
        if not new:
            return
        asked_s = self.now_s()
        member = self.member_id(), epoch
        where = self.grouping.group, self.grouping.topic, new
        code, offsets = await committed_offsets(connection, *where, member)
        if self.is_refused(code, "OffsetFetch"):
            return
        self._journal.append(
            {"t": asked_s, "member": self.life, "event": "assigned", "partitions": new}
        )
        for partition in new:
            self.holds[partition] = offsets[partition]
        self.note(f"has {new} from {offsets}")

    def give_up(self, partitions: set[int]) -> None:
        gone = sorted(partitions & self.holds.keys())
        if gone:
            self._write("revoked", partitions=gone)
            for partition in gone:
                del self.holds[partition]
            self.note(f"gives up {gone}")

    def member_id(self) -> str:
        raise NotImplementedError

    def is_refused(self, code: int, what: str) -> bool:
        """Whether this is an error to try again after. Raises Lost."""
        if code in LOST:
            self.operations += 1
            raise Lost(f"{what}: {ErrorCode(code).name}")
        if code in LATER:
            self.operations += 1
            self.note(f"{what}: {ErrorCode(code).name}")
            return True
        return self.refused(code, what)

    # What it does with it

    async def read_some(self, connection: Connection) -> None:
        for partition in sorted(self.holds):
            offset = self.holds[partition]
            data = await fetch(connection, self.grouping.topic, partition, offset)
            if self.refused(data.error_code, f"Fetch of {partition}") or not data.records:
                continue
            records = visible_records(data.records, offset)[:RECORDS_MAX]
            if not records:
                self.holds[partition] = next_offset(data.records)
                continue
            values = [sent_in(record).sequence for record in records]
            self._write("read", partition=partition, offset=offset, values=values)
            self.holds[partition] = records[-1].offset + 1

    async def commit(self, connection: Connection, epoch: int) -> None:
        """What it has read so far. Raises Lost, Disconnected."""
        if not self.holds:
            return
        sent_s, offsets = self.now_s(), dict(self.holds)
        partitions = [
            OffsetCommitRequestPartition(partition, offset, committed_metadata=None)
            for partition, offset in offsets.items()
        ]
        request = OffsetCommitRequest(
            group_id=self.grouping.group,
            generation_id_or_member_epoch=epoch,
            member_id=self.member_id(),
            topics=[OffsetCommitRequestTopic(name=self.grouping.topic, partitions=partitions)],
        )
        answer = await connection.ask(request, OffsetCommitResponse, COMMIT_VERSION)
        codes = {one.error_code for topic in answer.topics for one in topic.partitions}
        for code in codes:
            if self.is_refused(code, "OffsetCommit"):
                return
        self._write("committed", sent=sent_s, offsets=offsets)
        for partition, offset in offsets.items():
            before = self.grouping.committed.get(partition, 0)
            self.grouping.committed[partition] = max(before, offset)
