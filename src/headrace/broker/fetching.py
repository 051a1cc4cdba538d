"""What one client reads, remembered from fetch to fetch, so that a fetch costs what has changed.

A client asks for the same partitions again and again, and in most of them nothing has happened
since. So their answers are kept, and a log that has something new says so: it stirs its place. A
fetch looks at the places that are stirred, and is parked on all of them when that is not enough;
nothing polls.

A place that has records to give stays stirred until its client asks for what comes after them;
one with an error is looked up again by every fetch. A change of any topic makes all places anew.

What must not enter: how a request or an answer looks.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.broker.fetch import (
    RESPONSE_BYTES_MAX,
    WAIT_MS_MAX,
    Fetched,
    find,
    read,
    readable_bytes,
)
from headrace.wire.errors import RequestError
from headrace.wire.fetch import PartitionWant

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Partition

__all__ = ["Answers", "Fetching", "Room"]

PLACES_MAX: Final = 200_000
"""Of all clients of one door together, one kilobyte each. Who finds no room is served as well,
and remembered for the length of a fetch."""
WAITING_PLACES_MAX: Final = 200_000
"""Of fetches that found no room and wait; one more waits CROWDED_WAIT_MS at most."""
CROWDED_WAIT_MS: Final = 100


class Room:
    """Bounds what is remembered of all clients together, and what waits beside that."""

    def __init__(
        self, places_max: int = PLACES_MAX, waiting_places_max: int = WAITING_PLACES_MAX
    ) -> None:
        self.places_free = places_max
        self.waiting_places_free = waiting_places_max

    def take(self, places: int) -> bool:
        if places > self.places_free:
            return False
        self.places_free -= places
        return True

    def give(self, places: int) -> None:
        self.places_free += places


class Answers(NamedTuple):
    """`all`, one for each want, in order; belongs to the `Fetching` and changes with its next
    fetch. Only those in `changed`, ascending, differ from the answers to the fetch before, and
    only they may have records."""

    all: Sequence[Fetched]
    changed: Sequence[int]


class _Place:
    __slots__ = ("cancel", "found", "want")

    def __init__(self, want: PartitionWant) -> None:
        self.want = want
        self.found: Partition | RequestError
        self.cancel: Callable[[], None] | None = None


_NOT_YET: Final = Fetched(None, -1, -1, -1, None)


class Fetching:
    """One client's; one fetch at a time."""

    def __init__(self, broker: "Broker", room: Room) -> None:
        self._broker = broker
        self._room = room
        self._wants: Sequence[PartitionWant] = ()
        self._places: list[_Place] = []
        self._answers: list[Fetched] = []
        self._stirred: set[int] = set()
        self._generation = -1
        self._committed = False
        self._has_room = False
        self._parked: asyncio.Future[None] | None = None
        self._min_bytes = 0
        self._readable: dict[int, int] = {}
        """While it is looked whether there is enough: what each stirred place has."""

    async def fetch(
        self,
        wants: Sequence[PartitionWant],
        *,
        min_bytes: int,
        max_bytes: int,
        max_wait_ms: int,
        committed: bool,
    ) -> Answers:
        """Waits up to `max_wait_ms` for `min_bytes` to be readable; an error of any partition ends
        the wait at once. Wants that are the same objects as in the fetch before are unchanged."""
        self._remember(wants, committed)
        try:
            if wants and max_wait_ms > 0 and min_bytes > 0 and not self._is_enough(min_bytes):
                await self._wait(min(max_wait_ms, WAIT_MS_MAX))
            return await self._read(min(max_bytes, RESPONSE_BYTES_MAX))
        except BaseException:
            self.forget()
            raise
        finally:
            if not self._has_room:
                self._unwatch()

    @property
    def is_remembered(self) -> bool:
        """Whether the next fetch finds what this one has left."""
        return self._has_room

    def forget(self) -> None:
        """Remember nothing; the next fetch begins anew."""
        self._unwatch()
        if self._has_room:
            self._room.give(len(self._places))
            self._has_room = False
        self._wants = ()
        self._places = []
        self._answers = []
        self._stirred = set()

    # Places

    def _remember(self, wants: Sequence[PartitionWant], committed: bool) -> None:
        generation = self._broker.topics.generation
        is_known = self._has_room and generation == self._generation
        if not is_known or len(wants) != len(self._wants) or committed != self._committed:
            self.forget()
            self._generation = generation
            self._committed = committed
            self._has_room = self._room.take(len(wants))
            self._places = [_Place(want) for want in wants]
            self._answers = [_NOT_YET] * len(wants)
            for index, place in enumerate(self._places):
                self._look_up(index, place)
        else:
            pairs = zip(wants, self._wants, strict=True)
            for index in [index for index, (new, old) in enumerate(pairs) if new is not old]:
                self._move(index, wants[index])
            for index in self._stirred:
                if isinstance(self._places[index].found, RequestError):
                    self._look_up(index, self._places[index])
        self._wants = wants

    def _move(self, index: int, want: PartitionWant) -> None:
        place = self._places[index]
        before, place.want = place.want, want
        if want[:3] != before[:3]:  # another partition, or another epoch of it
            self._look_up(index, place)
        self._stirred.add(index)

    def _look_up(self, index: int, place: _Place) -> None:
        if place.cancel is not None:
            place.cancel()
            place.cancel = None
        place.found = find(self._broker, place.want)
        if not isinstance(place.found, RequestError):
            place.cancel = place.found.log.notify(partial(self._stir, index))
        self._stirred.add(index)

    def _unwatch(self) -> None:
        for place in self._places:
            if place.cancel is not None:
                place.cancel()
                place.cancel = None

    # Waiting

    def _stir(self, index: int) -> None:
        """The log of this place has something new, or cannot be used any more."""
        self._stirred.add(index)
        parked = self._parked
        if parked is not None and not parked.done() and self._has_enough_with(index):
            parked.set_result(None)

    def _is_enough(self, min_bytes: int) -> bool:
        self._min_bytes = min_bytes
        self._readable = {}
        return any(self._has_enough_with(index) for index in self._stirred)

    def _has_enough_with(self, index: int) -> bool:
        place = self._places[index]
        readable = readable_bytes(place.found, place.want, committed=self._committed)
        if readable is None or readable >= self._min_bytes:
            return True
        self._readable[index] = readable
        return self._min_bytes > 1 and sum(self._readable.values()) >= self._min_bytes

    async def _wait(self, wait_ms: int) -> None:
        places = 0 if self._has_room else len(self._places)
        if places > self._room.waiting_places_free:
            places, wait_ms = 0, min(wait_ms, CROWDED_WAIT_MS)
        loop = asyncio.get_running_loop()
        parked = self._parked = loop.create_future()
        timer = loop.call_later(wait_ms / 1000, _expire, parked)
        self._room.waiting_places_free -= places
        try:
            await parked
        finally:
            self._room.waiting_places_free += places
            self._parked = None
            timer.cancel()

    # Reading

    async def _read(self, bytes_max: int) -> Answers:
        # What is stirred while this reads is for the next fetch.
        stirred, self._stirred = sorted(self._stirred), set()
        budget = bytes_max
        given: list[Fetched] = []
        try:
            for index in stirred:
                place = self._places[index]
                answer = await read(
                    place.found,
                    place.want,
                    budget,
                    at_least_one=not given,
                    committed=self._committed,
                )
                self._answers[index] = answer
                if answer.records is not None:
                    given.append(answer)
                    budget -= answer.records.size_bytes
                limit = answer.last_stable_offset if self._committed else answer.high_watermark
                if answer.error is not None or place.want.fetch_offset < limit:
                    self._stirred.add(index)
        except BaseException:
            for answer in given:
                if answer.records is not None:
                    answer.records.release()
            raise
        if given:
            self._broker.stats.fetch_bytes.observe(bytes_max - budget)
        return Answers(self._answers, stirred)


def _expire(parked: "asyncio.Future[None]") -> None:
    if not parked.done():
        parked.set_result(None)
