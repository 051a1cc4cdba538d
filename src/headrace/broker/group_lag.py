"""How far every group is behind, in records and in time; computed when asked, off every hot path.

Lag in time is the age of the next record to be read: now minus its timestamp, which is the
broker's where the topic stamps append time and the producer's (event time) elsewhere. A record's
time is that of the batch it is in, read from the batch's header: one read for each committed
offset that has moved since the last look, at most LOOKUPS_PER_LOOK_MAX of them; beyond that the
time that was found last stands in, and the groups that had to wait come first next time.

A share group has no committed offsets: it is where the first record is that is not done with, and
behind by all that are not, wherever they are.

What must not enter: names of metrics, waiting for the disk on the loop.
"""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.cluster.ends import ends_elsewhere
from headrace.broker.record_time import record_time_ms
from headrace.groups.description import GroupDescription
from headrace.log.contract import PartitionLog
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.share.shared_partition import SharedPartition
    from headrace.broker.topics import Partition
    from headrace.wire.workers import PartitionEnd

__all__ = ["LOOKUPS_PER_LOOK_MAX", "GroupLag", "GroupLags", "PartitionLag"]

LOOKUPS_PER_LOOK_MAX: Final = 1000
"""Batch headers read for one look at all groups."""
PARTITIONS_PER_TURN_MAX: Final = 128
"""Partitions looked at before the event loop gets its turn."""


class PartitionLag(NamedTuple):
    """`committed` is the offset read next; `lag` counts offsets from there on, without those that a
    share group is done with."""

    topic: str
    partition: int
    committed: int
    committed_ms: int | None
    """When, by the calendar; None in a share group."""
    end: int
    """The high watermark."""
    lag: int
    lag_s: float | None
    """0 with nothing to read; None where the next record's time is not known."""


class GroupLag(NamedTuple):
    """Partitions that are gone or offline are left out."""

    group: GroupDescription
    partitions: list[PartitionLag]


_Key = tuple[str, str, int]


class _Place(NamedTuple):
    """Where a group is: the offset read next, since when, how many records after it are done."""

    topic: str
    partition: int
    offset: int
    since_ms: int | None
    finished: int


class _Time(NamedTuple):
    """The record at `offset` of a log (known by identity) is of `timestamp_ms`, -1 if unknown."""

    log: object
    offset: int
    timestamp_ms: int


class GroupLags:
    """One for a broker: remembers times between looks. One look at a time (see `measure`)."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._times: dict[_Key, _Time] = {}
        self._looking = asyncio.Lock()
        self._first = ""
        """The group to begin with."""
        self._lookups_left = 0
        self.postponed = 0
        """Lookups that had to wait for a later look, since the start."""

    async def measure(self, only: str | None = None) -> list[GroupLag]:
        """Every group, or `only` one, by id."""
        async with self._looking:
            self._lookups_left = LOOKUPS_PER_LOOK_MAX
            shared: dict[str, list[SharedPartition]] = {}
            for one in self._broker.share.all():
                shared.setdefault(one.key[0], []).append(one)
            elsewhere: dict[str, list[_Place]] = {}
            for group_id, place in await self._places_elsewhere():
                elsewhere.setdefault(group_id, []).append(place)
            found = []
            for group in self._in_turn(only):
                id_ = group.group_id
                places = self._places(id_, shared.get(id_, ()))
                found.append(await self._of(group, itertools.chain(places, elsewhere.get(id_, ()))))
            if only is None:
                there = {
                    (lag.group.group_id, part.topic, part.partition)
                    for lag in found
                    for part in lag.partitions
                }
                for key in self._times.keys() - there:
                    del self._times[key]
            return sorted(found, key=lambda lag: lag.group.group_id)

    def _in_turn(self, only: str | None) -> Iterator[GroupDescription]:
        if only is not None:
            group = self._broker.groups.describe(only)
            if group is not None:
                yield group
            return
        groups = list(self._broker.groups.list())
        first, self._first = self._first, ""
        after = [group for group in groups if group.group_id >= first]
        for group in after + [group for group in groups if group.group_id < first]:
            yield group
            if self._lookups_left <= 0 and not self._first:
                self._first = group.group_id

    def _places(self, group_id: str, shared: "Iterable[SharedPartition]") -> Iterator[_Place]:
        """By topic and partition."""
        for (topic, index), committed in sorted(self._broker.groups.offsets(group_id).items()):
            yield _Place(topic, index, committed.offset, committed.committed_ms, 0)
        for one in sorted(shared, key=lambda one: (one.partition.topic.name, one.partition.index)):
            at = one.partition
            automaton = one.automaton
            yield _Place(
                at.topic.name, at.index, automaton.start_offset, None, automaton.finished()
            )

    async def _places_elsewhere(self) -> list[tuple[str, _Place]]:
        """Of share groups, in partitions of other workers."""
        elsewhere = self._broker.share_elsewhere
        if elsewhere is None:
            return []
        topics = self._broker.topics.by_id
        return [
            (
                one.group_id,
                _Place(
                    topics[one.topic_id].name, one.partition, one.start_offset, None, one.finished
                ),
            )
            for one in await elsewhere.places()
            if one.topic_id is not None and one.topic_id in topics
        ]

    async def _of(self, group: GroupDescription, places: Iterator[_Place]) -> GroupLag:
        where = [*self._known(places)]
        elsewhere = await self._ends_elsewhere(group.group_id, where)
        partitions: list[PartitionLag] = []
        for count, (place, partition) in enumerate(where, start=1):
            if count % PARTITIONS_PER_TURN_MAX == 0:
                await asyncio.sleep(0)
            try:
                if partition.is_mine:
                    end, is_at_end = _end_of(partition.log, place.offset)
                else:
                    end, is_at_end = _told_end(elsewhere.get(partition), place.offset)
            except RequestError:
                continue
            lag = 0 if is_at_end else max(0, end - place.offset - place.finished)
            lag_s: float | None = 0.0
            if lag:
                key = (group.group_id, place.topic, place.partition)
                timestamp_ms = await self._time_at(key, partition, place.offset)
                age_ms = self._broker.now_ms() - timestamp_ms
                lag_s = None if timestamp_ms < 0 else max(0, age_ms) / 1000
            partitions.append(PartitionLag(*place[:4], end, lag, lag_s))
        partitions.sort(key=lambda lag: lag[:2])
        return GroupLag(group, partitions)

    def _known(self, places: Iterator[_Place]) -> "Iterator[tuple[_Place, Partition]]":
        """Those that still exist."""
        for place in places:
            try:
                yield place, self._broker.topics.partition(place.topic, place.partition)
            except RequestError:
                continue

    async def _ends_elsewhere(
        self, group_id: str, where: "list[tuple[_Place, Partition]]"
    ) -> "dict[Partition, PartitionEnd]":
        """Of the partitions that other workers serve; what they tell of times is remembered."""
        wanted: list[tuple[Partition, int]] = []
        for place, partition in where:
            if not partition.is_mine:
                key = (group_id, place.topic, place.partition)
                is_asked = self._needs_look(key, partition.log, place.offset)
                self._lookups_left -= is_asked
                wanted.append((partition, place.offset if is_asked else -1))
        if not wanted:
            return {}
        found = await ends_elsewhere(self._broker.peers, wanted)
        for partition, offset in wanted:
            end = found.get(partition)
            if end is not None and offset >= 0:
                key = (group_id, partition.topic.name, partition.index)
                self._times[key] = _Time(partition.log, offset, end.timestamp_ms)
        return found

    def _needs_look(self, key: _Key, log: PartitionLog, offset: int) -> bool:
        """Whether the time at `offset` is not known, and may still be looked up in this look."""
        known = self._times.get(key)
        if known is not None and known.log is log and known.offset == offset:
            return False
        return self._lookups_left > 0

    async def _time_at(self, key: _Key, partition: "Partition", offset: int) -> int:
        known = self._times.get(key)
        log = partition.log
        if partition.is_mine and self._needs_look(key, log, offset):
            self._lookups_left -= 1
            timestamp_ms = await record_time_ms(partition, offset)
            self._times[key] = _Time(log, offset, timestamp_ms)
            return timestamp_ms
        if known is None or known.log is not log:
            self.postponed += 1
            return -1
        self.postponed += known.offset != offset
        return known.timestamp_ms


def _told_end(end: "PartitionEnd | None", offset: int) -> tuple[int, bool]:
    """As `_end_of`, of what the owner said."""
    if end is None:
        raise RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "its owner cannot be asked")
    is_at_end = end.last_stable == end.high_watermark and offset >= end.committed_end
    return end.high_watermark, is_at_end


def _end_of(log: PartitionLog, offset: int) -> tuple[int, bool]:
    """The high watermark, and whether a reader at `offset` has read all there will be: markers and
    aborted records, which some clients never commit past, are nothing to wait for. Raises
    RequestError."""
    _, last_stable, high_watermark, _ = log.offsets()
    is_at_end = last_stable == high_watermark and offset >= log.committed_end()
    return high_watermark, is_at_end
