"""`Peers` over links: one to each other worker, kept up for as long as this one lives.

What must not enter: sockets (`headrace.links`), what the others do with what they are asked
(`answering`).
"""

import asyncio
import logging
import os
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from headrace.broker.changes import Changes
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Change
from headrace.broker.cluster.remote_appends import RemoteAppends, Room
from headrace.links.errors import LinkDown, LinkLost
from headrace.links.link import Link
from headrace.log.contract import AppendDone, Appended
from headrace.wire.errors import ErrorCode, MalformedError, RequestError
from headrace.wire.markers import Marker
from headrace.wire.workers import (
    Ask,
    EndAsked,
    EndGroup,
    Ends,
    EndsAsked,
    Enter,
    MarkerToWrite,
    PartitionEnd,
    PartitionProduced,
    Position,
    PositionAsked,
    Produced,
    ProducedAsked,
    Tell,
    pack,
    read_appended,
    unpack,
)

__all__ = ["Links", "socket_path"]

TELL_S_MAX: Final = 5.0
"""For how long a change waits for workers that live and do not take it up."""
ASK_S_MAX: Final = 10.0
"""For how long anything else waits for its answer."""
OWNER_WAIT_S: Final = 8.0
"""For how long a worker that is down is waited for, where there is nobody else to ask."""
SETTLE_S_MAX: Final = 5.0
RETRY_S: Final = 0.05

T = TypeVar("T")
_Place = tuple[int, UUID, int]

log = logging.getLogger("headrace.broker")


def socket_path(directory: str, worker: int) -> str:
    """Where a worker listens for the others."""
    return os.path.join(directory, str(worker))


class Links:
    """Made before the broker; `start` connects."""

    def __init__(self, directory: str, ownership: Ownership) -> None:
        self._links = {
            other: Link(socket_path(directory, other), ownership.index, other)
            for other in ownership.others
        }
        self._telling = Changes()
        self._is_closed = False
        self._room = Room()
        self._appends: dict[_Place, RemoteAppends] = {}
        """Of the partitions to which something is on its way."""
        for other, link in self._links.items():
            link.when_up(partial(self._linked, other))

    def start(self) -> None:
        for link in self._links.values():
            link.start()

    async def close(self) -> None:
        """What is on its way is given up. Idempotent."""
        self._is_closed = True
        for link in self._links.values():
            await link.close()
        self._give_up()
        await self._telling.wait()

    async def settle(self) -> None:
        """Before the broker closes: wait a moment for what is on its way, and give up the rest. A
        worker that is down may be stopping too, and is not waited for."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + SETTLE_S_MAX
        while any(self.is_linked(owner) for owner, _, _ in self._appends):
            if loop.time() >= until_s:
                break
            await asyncio.sleep(RETRY_S)
        self._give_up()

    def _give_up(self) -> None:
        gone = RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "the broker is closing")
        for appends in list(self._appends.values()):
            appends.give_up(gone)

    # What `Peers` says

    def is_linked(self, owner: int) -> bool:
        return self._links[owner].is_up

    async def tell(self, change: Change) -> None:
        await asyncio.gather(*(self._tell(link, change) for link in self._links.values()))

    async def _tell_all(self, link: Link) -> None:
        for change in Change:
            await self._tell(link, change)

    async def _tell(self, link: Link, change: Change) -> None:
        try:
            await link.ask(Ask.TELL, pack(Tell(change)), TELL_S_MAX)
        except LinkDown:
            """It is told to take up everything when it is linked again."""
        except RequestError as error:
            if self._is_closed:
                return
            log.warning("worker %d did not take up changed %s: %s", link.peer, change.name, error)

    def append(
        self,
        owner: int,
        topic_id: UUID,
        partition: int,
        batch: memoryview,
        acks: int,
        done: AppendDone | None,
    ) -> None:
        place = owner, topic_id, partition
        appends = self._appends.get(place)
        if appends is None:
            link = self._links[owner]
            drained = partial(self._drained, place)
            appends = RemoteAppends(link, topic_id, partition, self._room, drained)
            self._appends[place] = appends
        appends.append(batch, acks, done)

    def append_marker(
        self, owner: int, topic_id: UUID, partition: int, marker: Marker, done: AppendDone
    ) -> None:
        asked = MarkerToWrite(topic_id, partition, *marker)
        self._links[owner].send(Ask.MARKER, [pack(asked)], partial(_answered, done))

    async def end_group(self, owner: int, group_id: str, producer_id: int, *, commit: bool) -> None:
        asked = pack(EndGroup(group_id, producer_id, commit))
        await self._links[owner].ask(Ask.END_GROUP, asked, ASK_S_MAX)

    async def enter(self, owner: int, asked: Enter) -> None:
        await self._links[owner].ask(Ask.ENTER, pack(asked), ASK_S_MAX)

    async def ends(self, owner: int, asked: list[EndAsked]) -> list[PartitionEnd]:
        body = await self._links[owner].ask(Ask.ENDS, pack(EndsAsked(asked)), ASK_S_MAX)
        return _unpacked(Ends, body).partitions

    async def position(self, owner: int, asked: PositionAsked) -> Position:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + OWNER_WAIT_S
        while True:
            try:
                body = await self._links[owner].ask(Ask.POSITION, pack(asked), ASK_S_MAX)
            except (LinkDown, LinkLost) as error:
                if loop.time() >= until_s:
                    raise RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, error.message) from error
            else:
                return _unpacked(Position, body)
            await asyncio.sleep(RETRY_S)

    async def produced(self, owner: int, topic_ids: list[UUID | None]) -> list[PartitionProduced]:
        asked = pack(ProducedAsked(topic_ids))
        body = await self._links[owner].ask(Ask.PRODUCED, asked, ASK_S_MAX)
        return _unpacked(Produced, body).partitions

    async def ask_share(self, owner: int, kind: Ask, asked: object) -> bytes:
        return await self._links[owner].ask(kind, pack(asked), ASK_S_MAX)

    def _drained(self, place: _Place) -> None:
        self._appends.pop(place, None)

    def _linked(self, owner: int) -> None:
        # What was changed while it could not be told: it looks at everything.
        self._telling.start(self._tell_all(self._links[owner]))
        for (of, _, _), appends in list(self._appends.items()):
            if of == owner:
                appends.linked()


def _unpacked(cls: type[T], body: bytes) -> T:
    """Raises RequestError for an answer that is none."""
    try:
        return unpack(cls, body)
    except MalformedError as error:
        raise RequestError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)) from error


def _answered(done: AppendDone, outcome: bytes | RequestError) -> None:
    if isinstance(outcome, RequestError):
        done(outcome)
        return
    try:
        done(Appended._make(read_appended(outcome)))
    except MalformedError as error:
        done(RequestError(ErrorCode.UNKNOWN_SERVER_ERROR, str(error)))
