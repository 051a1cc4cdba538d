"""Share groups of several workers: a group is one worker's, its partitions are everybody's.

Members fetch and acknowledge at the partitions' workers, which keep what the group has done there
as if they were alone. What they cannot know they are told by the group's worker, or ask it:

- whether there is such a group, before the first session of its members here
- that a member was given up: others may have what it holds. If that is not heard, its locks end
- that the group was deleted, or has forgotten topics; a deletion waits until everybody has heard.
  A worker that is down when it is told knows it from the catalog when it starts

What must not enter: how records are shared (`share_groups`), how others are asked (`cluster`).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from headrace.broker.changes import Changes
from headrace.broker.share.share_groups import SharedOffset, lag_of
from headrace.broker.share.shared_partition import note
from headrace.links.errors import LinkDown, LinkLost
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.workers import (
    Ask,
    ShareForget,
    ShareGroupAsked,
    ShareMember,
    SharePlace,
    SharePlaces,
    ShareSet,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topic import Topic

__all__ = ["ShareElsewhere"]

PATIENCE_S: Final = 8.0
"""How long a worker that is down is waited for, where there is nobody else to ask."""
RETRY_S: Final = 0.05

log = logging.getLogger("headrace.share")


class ShareElsewhere:
    """One for a worker of several."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._changes = Changes()
        self._forgetting: dict[str, asyncio.Task[None]] = {}
        broker.groups.when_forgotten(self._group_forgotten)
        broker.groups.when_lapsed(self._member_lapsed)

    async def close(self) -> None:
        """Idempotent."""
        await self._changes.wait()

    # What the worker of a partition asks that of the group

    async def check_session(self, group_id: str | None) -> None:
        """Before a session is opened here: whether there is such a share group.

        Raises RequestError: as `ShareGroups.check_group`, COORDINATOR_NOT_AVAILABLE.
        """
        ownership = self._broker.ownership
        if not group_id or ownership.is_my_group(group_id):
            return
        if any(True for _ in self._broker.share.of_group(group_id)):
            return  # it has begun here, and its end would have been told
        owner = ownership.owner_of_group(group_id)
        await self._ask_patiently(owner, Ask.SHARE_CHECK, ShareGroupAsked(group_id))

    # What the worker of a group asks those of the partitions

    async def offsets(self, group_id: str) -> dict[tuple[UUID | None, int], SharedOffset]:
        """Where the group is in partitions of other workers, by topic and partition.

        Raises RequestError COORDINATOR_NOT_AVAILABLE when one cannot be asked.
        """
        asked = ShareGroupAsked(group_id)
        answers = await asyncio.gather(
            *(
                self._ask_patiently(other, Ask.SHARE_PLACES, asked)
                for other in self._broker.ownership.others
            )
        )
        return {
            (place.topic_id, place.partition): SharedOffset(
                place.start_offset, place.leader_epoch, place.lag
            )
            for answer in answers
            for place in _places(answer)
        }

    async def places(self) -> list[SharePlace]:
        """Where all groups of this worker are in partitions of others; of a worker that cannot be
        asked nothing."""
        found: list[SharePlace] = []
        for other in self._broker.ownership.others:
            try:
                answer = await self._broker.peers.ask_share(
                    other, Ask.SHARE_PLACES, ShareGroupAsked(None, self._broker.ownership.index)
                )
            except RequestError:
                continue
            found += _places(answer)
        return found

    async def set_offset(self, group_id: str, topic: "Topic", index: int, offset: int) -> None:
        """As `ShareGroups.set_offset`, at whatever worker has the partition."""
        owner = self._broker.ownership.owner_of_partition(topic.id, index)
        asked = ShareSet(group_id, topic.id, index, offset)
        await self._ask_patiently(owner, Ask.SHARE_SET, asked)

    async def forget(self, group_id: str, topics: "Iterable[Topic]") -> None:
        """Before `ShareGroups.forget` here. Raises RequestError COORDINATOR_NOT_AVAILABLE: a worker
        cannot be told, and nothing must be said to be forgotten."""
        ids: list[UUID | None] = [topic.id for topic in topics]
        if ids:
            await self._tell_all(ShareForget(group_id, ids))

    async def forgotten(self, group_id: str) -> None:
        """Wait until other workers know that the group is gone, or that they cannot be told."""
        telling = self._forgetting.get(group_id)
        if telling is not None:
            await asyncio.wait([telling])

    def _group_forgotten(self, group_id: str) -> None:
        telling = self._changes.start(self._tell_all(ShareForget(group_id, [])))
        self._forgetting[group_id] = telling
        telling.add_done_callback(note)
        telling.add_done_callback(lambda _: self._told(group_id, telling))

    def _told(self, group_id: str, telling: "asyncio.Task[None]") -> None:
        if self._forgetting.get(group_id) is telling:
            del self._forgetting[group_id]

    def _member_lapsed(self, group_id: str, member_id: str) -> None:
        for other in self._broker.ownership.others:
            asked = ShareMember(group_id, member_id)
            asking = self._broker.peers.ask_share(other, Ask.SHARE_LAPSED, asked)
            self._changes.start(_unheard(asking))

    async def _tell_all(self, asked: ShareForget) -> None:
        others = self._broker.ownership.others
        await asyncio.gather(
            *(self._ask_patiently(other, Ask.SHARE_FORGET, asked) for other in others)
        )

    async def _ask_patiently(self, owner: int, kind: Ask, asked: object) -> bytes:
        """All of it may be asked twice. Raises RequestError."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        while True:
            try:
                return await self._broker.peers.ask_share(owner, kind, asked)
            except (LinkDown, LinkLost) as error:
                if loop.time() >= until_s:
                    code = ErrorCode.COORDINATOR_NOT_AVAILABLE
                    raise RequestError(code, error.message) from error
            await asyncio.sleep(RETRY_S)

    # What other workers ask

    def answers(self) -> dict[int, Callable[[memoryview], Coroutine[Any, Any, bytes]]]:
        """What becomes of each kind of request; raising RequestError, MalformedError."""
        return {
            Ask.SHARE_CHECK: self._answer_check,
            Ask.SHARE_PLACES: self._answer_places,
            Ask.SHARE_SET: self._answer_set,
            Ask.SHARE_FORGET: self._answer_forget,
            Ask.SHARE_LAPSED: self._answer_lapsed,
        }

    async def _answer_check(self, body: memoryview) -> bytes:
        self._broker.share.check_group(unpack(ShareGroupAsked, body).group_id or "")
        return b""

    async def _answer_places(self, body: memoryview) -> bytes:
        asked = unpack(ShareGroupAsked, body)
        owner_of = self._broker.ownership.owner_of_group
        found = []
        for shared in self._broker.share.all():
            group, at = shared.group_id, shared.partition
            if asked.group_id in (None, group) and (
                asked.group_id is not None or owner_of(group) == asked.worker
            ):
                automaton = shared.automaton
                found.append(
                    SharePlace(
                        *(group, at.topic.id, at.index, automaton.start_offset),
                        *(at.log.leader_epoch, lag_of(shared), automaton.finished()),
                    )
                )
        return pack(SharePlaces(found))

    async def _answer_set(self, body: memoryview) -> bytes:
        asked = unpack(ShareSet, body)
        topic = self._broker.topics.get_by_id(asked.topic_id)
        await self._broker.share.set_offset(
            asked.group_id, topic.name, asked.partition, asked.start_offset
        )
        return b""

    async def _answer_forget(self, body: memoryview) -> bytes:
        asked = unpack(ShareForget, body)
        ids = {topic_id for topic_id in asked.topic_ids if topic_id is not None}
        await self._broker.share.forget_here(asked.group_id, ids)
        return b""

    async def _answer_lapsed(self, body: memoryview) -> bytes:
        asked = unpack(ShareMember, body)
        self._broker.share.member_lapsed(asked.group_id, asked.member_id)
        return b""


def _places(answer: bytes) -> list[SharePlace]:
    try:
        return unpack(SharePlaces, answer).places
    except MalformedError as error:
        raise RequestError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from error


async def _unheard(asking: Coroutine[Any, Any, bytes]) -> None:
    try:
        await asking
    except RequestError as error:
        log.debug("a member that was given up keeps its locks until they end: %s", error)
