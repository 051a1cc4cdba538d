"""Looks at every group now and then, and says once when a member is stuck and once when it goes on.

What is looked at is in memory: assignments, committed offsets, high watermarks. A group that has
never committed anything is left alone, since its members keep their positions elsewhere; within
one that has, a partition without a commit counts from its first record.

What must not enter: the decision (`stuck`), how it is shown.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from headrace.broker.cluster.ends import ends_elsewhere
from headrace.broker.cluster.peers import NoPeers, Peers
from headrace.broker.stuck import Seen, Watched, judge
from headrace.broker.topics import Partition, Topics
from headrace.groups.assignment import assigned_partitions
from headrace.groups.description import (
    ConsumerGroupDescription,
    GroupDescription,
    GroupType,
    MemberDescription,
)
from headrace.groups.states import State
from headrace.wire.errors import RequestError

__all__ = ["StuckWatch"]

INTERVAL_S_MAX: Final = 5.0
LOOKS_PER_PATIENCE: Final = 4
GROUPS_PER_TURN_MAX: Final = 32
"""Groups looked at before the event loop gets its turn."""

log = logging.getLogger("headrace.groups")

Key = tuple[str, str]
"""Group id and member id."""
_Pair = tuple[str, int]
"""Topic and partition."""
_Committed = Mapping[_Pair, Any]
_Told = dict[str, frozenset[_Pair] | None]
"""What each member was given to read; None for one that is not a consumer."""
_Ends = dict[_Pair, tuple[int, int]]


class _Groups(Protocol):
    def list(self) -> Iterable[GroupDescription]: ...
    def offsets(self, group_id: str) -> Mapping[tuple[str, int], Any]: ...
    def describe_consumer(self, group_id: str) -> ConsumerGroupDescription | None: ...


class StuckWatch:
    """Made with the broker; `start` begins to look, `close` ends it."""

    def __init__(
        self,
        groups: _Groups,
        topics: Topics,
        patience_ms: int,
        steady_ms: Callable[[], int],
        peers: Peers | None = None,
    ) -> None:
        self.patience_ms = patience_ms
        self._groups = groups
        self._topics = topics
        self._steady_ms = steady_ms
        self._peers = peers or NoPeers()
        self._watched: dict[Key, Watched] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_for_ever(), name="stuck watch")

    async def close(self) -> None:
        """Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def stuck_for_s(self, group_id: str, member_id: str) -> float | None:
        """How long the member has had data without moving; None unless it is stuck."""
        watched = self._watched.get((group_id, member_id))
        if watched is None or not watched.is_stuck or watched.waiting_since_ms is None:
            return None
        return (self._steady_ms() - watched.waiting_since_ms) / 1000

    def stuck_count(self, group_id: str, members: Iterable[MemberDescription]) -> int:
        return sum(self.stuck_for_s(group_id, member.member_id) is not None for member in members)

    async def _look_for_ever(self) -> None:
        interval_s = min(self.patience_ms / 1000 / LOOKS_PER_PATIENCE, INTERVAL_S_MAX)
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.look()
            except Exception:  # seeing must not end because of what it sees
                log.exception("looking for stuck members failed")

    async def look(self) -> None:
        """One look at all groups."""
        there: set[Key] = set()
        groups = list(self._groups.list())
        for start in range(0, len(groups), GROUPS_PER_TURN_MAX):
            some = groups[start : start + GROUPS_PER_TURN_MAX]
            there.update(
                (group.group_id, member.member_id) for group in some for member in group.members
            )
            looked_at = [
                (group, committed, self._told(group))
                for group in some
                if group.state is State.STABLE
                and (committed := self._groups.offsets(group.group_id))
            ]
            ends = await self._ends_of({pair for *_, told in looked_at for pair in _pairs(told)})
            for group, committed, told in looked_at:
                self._look_at(group, committed, told, ends)
            await asyncio.sleep(0)
        for key in self._watched.keys() - there:
            del self._watched[key]

    def _look_at(
        self, group: GroupDescription, committed: _Committed, told: _Told, ends: _Ends
    ) -> None:
        for member in group.members:
            owned = told.get(member.member_id)
            if owned is None:
                continue  # not a consumer
            key = (group.group_id, member.member_id)
            before = self._watched.get(key)
            seen = self._seen(owned, committed, ends)
            now = judge(before, seen, self._steady_ms(), self.patience_ms)
            self._watched[key] = now
            if now.is_stuck != (before is not None and before.is_stuck):
                _tell(group.group_id, member, seen, now, self.patience_ms)

    def _told(self, group: GroupDescription) -> _Told:
        """What each member was given to read, by topic name: the broker's word in a
        next-generation group, the leader's in a classic one."""
        if group.type is GroupType.CLASSIC:
            return {
                member.member_id: assigned_partitions(member.assignment) for member in group.members
            }
        described = self._groups.describe_consumer(group.group_id)
        names = {id_: topic.name for id_, topic in self._topics.by_id.items()}
        return {
            member.member_id: frozenset(
                (names[topic_id], partition)
                for topic_id, partition in member.assigned
                if topic_id in names
            )
            for member in (described.members if described is not None else ())
        }

    async def _ends_of(self, pairs: set[_Pair]) -> _Ends:
        """Start and end of the partitions, for who reads committed data; of those that are gone or
        offline there is nothing to read."""
        found: _Ends = {}
        elsewhere: list[tuple[Partition, int]] = []
        for pair in pairs:
            with contextlib.suppress(RequestError):
                partition = self._topics.partition(*pair)
                if partition.is_mine:
                    log = partition.log
                    found[pair] = log.offsets().start, log.committed_end()
                else:
                    elsewhere.append((partition, -1))
        if elsewhere:
            for partition, end in (await ends_elsewhere(self._peers, elsewhere)).items():
                found[partition.topic.name, partition.index] = end.start, end.committed_end
        return found

    def _seen(self, owned: frozenset[_Pair], committed: _Committed, ends: _Ends) -> Seen:
        positions = []
        lag = 0
        for topic, partition in sorted(owned):
            found = committed.get((topic, partition))
            positions.append((topic, partition, -1 if found is None else found.offset))
            if (topic, partition) in ends:
                start, end = ends[topic, partition]
                read_next = start if found is None else max(found.offset, start)
                # Behind an open transaction readers wait, and nobody is handed a marker.
                lag += max(0, end - read_next)
        return Seen(tuple(positions), lag)


def _pairs(told: _Told) -> Iterable[_Pair]:
    return (pair for owned in told.values() for pair in owned or ())


def _tell(
    group_id: str, member: MemberDescription, seen: Seen, now: Watched, patience_ms: int
) -> None:
    who = (group_id, member.member_id, member.client_id, member.client_host)
    if now.is_stuck:
        log.warning(
            "group %r: member %r (client %r at %s) is stuck: it is alive, has %d records to read "
            "and has committed no progress for %g s",
            *who,
            seen.lag,
            patience_ms / 1000,
        )
    else:
        log.info("group %r: member %r (client %r at %s) is no longer stuck", *who)
