"""A member of a share group that lives in the broker, for doors that deliver records themselves.

It is a member of its group like any other: it reports, is told which partitions to read, and holds
what it was given until it settles it, its time is up or it closes.
What must not enter: connections, credit, how a record looks to its reader.
"""

import asyncio
import contextlib
import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from headrace.broker.share.fetching import ShareFetched, ShareWant, release, share_fetch
from headrace.broker.share.opening import open_acquired
from headrace.broker.share.sessions import OPENING, ShareSession
from headrace.broker.share.share_groups import EARLIEST
from headrace.broker.share.shared_partition import SharedPartition
from headrace.groups.consumer_requests import JOIN, LEAVE
from headrace.groups.share_requests import ShareHeartbeat
from headrace.groups.share_steps import Acknowledgement
from headrace.groups.topics_image import TopicPartition
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k78_share_fetch import AcknowledgeType, AcquireMode
from headrace.wire.records import Record

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topic import Topic

__all__ = ["DELAY_MS_MAX", "Delivered", "ShareSubscription"]

DELAY_MS_MAX: Final = 15 * 60 * 1000
"""For which what is released can be kept back."""
FETCH_BYTES_MAX: Final = 1024 * 1024
"""Read at one time, or one batch if it is larger."""
_IDLE_S: Final = 0.5
"""Between two looks whether there is a partition to read."""

log = logging.getLogger("headrace.share")

_FENCED: Final = frozenset((ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_MEMBER_EPOCH))


class Delivered(NamedTuple):
    partition: int
    record: Record
    delivery_count: int


class ShareSubscription:
    """Everything runs on the event loop. Close it, whatever happens."""

    def __init__(
        self,
        broker: "Broker",
        topic: "Topic",
        group_id: str,
        connection_id: int,
        client: str,
        closed: "Callable[[ShareSubscription], None]",
    ) -> None:
        self.group_id = group_id
        self.member_id = str(uuid4())
        self.topic = topic
        self._broker = broker
        self._connection_id = connection_id
        self._client = client
        self._closed = closed
        self._is_to_look = asyncio.Event()
        self._epoch = JOIN
        self._session: ShareSession | None = None
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._assigned: list[SharedPartition] = []
        self._turn = 0
        self._heart: asyncio.Task[None] | None = None
        self._held: dict[int, dict[int, int]] = {}
        """By partition, offset: when the lock ends. At most as many as were fetched for credit."""
        self._delayed: list[tuple[int, int, int, int]] = []
        """A heap: when to look, when to release, partition, offset. Bounded by the locks that the
        group has in a partition."""
        self._timer: asyncio.TimerHandle | None = None
        self._unsaved: set[asyncio.Future[None]] = set()
        """Two for a partition at most: one that is being written and the next."""
        self._failure: RequestError | None = None

    # For `subscriptions`

    async def enter(self) -> None:
        """Raises RequestError."""
        await self._report()
        self._heart = asyncio.create_task(self._beat(), name=f"member {self.member_id}")

    async def read_assigned(self) -> None:
        """Raises RequestError."""
        assigned = [
            await self._broker.share.begin(self.group_id, *part, EARLIEST)
            for part in sorted(self._assignment)
        ]
        if assigned != self._assigned:
            self._assigned = assigned
            self._open_session()  # so a fetch that waits elsewhere ends

    def look(self) -> None:
        """Others came or went: there may be other partitions to read."""
        self._is_to_look.set()

    # What doors use

    @property
    def lock_ms(self) -> int:
        """For which a record may be held."""
        return self._broker.share.settings(self.group_id).lock_duration_ms

    def held(self) -> int:
        """Records that were fetched, are not settled and have time left."""
        now_ms = self._broker.steady_ms()
        for index, ends in list(self._held.items()):
            while ends and (offset := next(iter(ends))) >= 0 and ends[offset] <= now_ms:
                del ends[offset]
            if not ends:
                del self._held[index]
        return sum(map(len, self._held.values()))

    async def fetch(self, records_max: int, wait_ms: int) -> list[Delivered]:
        """Up to so many records that are this member's from now on; none if there are none in time.
        A partition that cannot be read is passed over while others have records.

        Raises RequestError: what ended the subscription; KAFKA_STORAGE_ERROR, CORRUPT_MESSAGE.
        """
        self.check()
        session = self._session
        if not self._assigned or session is None or not session.is_open:
            await asyncio.sleep(min(_IDLE_S, wait_ms / 1000))
            return []
        self._turn = (self._turn + 1) % len(self._assigned)
        in_turn = self._assigned[self._turn :] + self._assigned[: self._turn]
        want = ShareWant(
            *(wait_ms, 1, FETCH_BYTES_MAX, records_max, records_max), AcquireMode.RECORD_LIMIT
        )
        found: list[Delivered] = []
        error: RequestError | None = None
        answers = deque(await share_fetch(self._broker, session, in_turn, want))
        try:
            while answers:
                fetched = answers.popleft()
                try:
                    found += await self._opened(fetched)
                except RequestError as refused:
                    error = refused
        finally:  # cancelled amid it: nobody opens these any more
            for fetched in answers:
                release(fetched.records)
        if error is not None and not found:
            raise error
        return found

    def settle(
        self, index: int, first: int, last: int, outcome: AcknowledgeType, delay_ms: int = 0
    ) -> None:
        """Say what became of records; of what is not held (any more) nothing. `flush` waits until
        that is durable. Raises RequestError INVALID_REQUEST for a delay that cannot be kept."""
        offsets = self._held_between(index, first, last)
        if not offsets:
            return
        if outcome is AcknowledgeType.RELEASE and delay_ms > 0:
            self._delay(index, offsets, delay_ms)
            return
        for begin, end in _runs(offsets):
            self._acknowledge(index, begin, end, outcome)
        if outcome is AcknowledgeType.RENEW:
            self._hold(index, offsets)
        else:
            self._let_go(index, offsets)

    async def flush(self) -> None:
        """Wait until what was settled is durable. Raises RequestError if it cannot be."""
        while self._unsaved:
            await asyncio.wait(list(self._unsaved))
        self.check()

    def check(self) -> None:
        """Raises RequestError if the subscription has ended."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Give back what is held, and leave the group. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heart is not None:
            self._heart.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._heart
            self._heart = None
        if self._session is not None:
            self._broker.share.close_session(self._session)
            self._session = None
        self._held.clear()
        self._delayed.clear()
        if self._epoch != JOIN:
            self._epoch = JOIN
            with contextlib.suppress(RequestError):  # a member that is silent is given up
                await self._broker.groups.share_heartbeat(
                    self.group_id, ShareHeartbeat(self.member_id, LEAVE)
                )
        self._closed(self)

    # Membership

    async def _beat(self) -> None:
        while self._failure is None:
            settings = self._broker.groups.settings_of(self.group_id)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._is_to_look.wait(), settings.share_heartbeat_interval_ms / 1000
                )
            self._is_to_look.clear()
            try:
                await self._report()
                await self.read_assigned()
            except RequestError as error:
                log.warning("a subscription of group %s ends: %s", self.group_id, error)
                self._failure = error

    async def _report(self) -> None:
        """Raises RequestError."""
        if self._broker.topics.by_id.get(self.topic.id) is None:
            raise RequestError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"the topic {self.topic.name!r} was deleted"
            )
        host, _, _ = self._client.rpartition(":")
        answer = await self._broker.groups.share_heartbeat(
            self.group_id,
            ShareHeartbeat(
                self.member_id,
                self._epoch,
                names=frozenset((self.topic.name,)),
                client_id="headrace.v1",
                client_host=f"/{host}",
            ),
        )
        if answer.error in _FENCED and self._epoch != JOIN:
            self._epoch = JOIN
            await self._report()
            return
        if answer.error:
            raise RequestError(answer.error, answer.message)
        self._epoch = answer.member_epoch
        if self._session is None or not self._session.is_open:
            self._held.clear()
            self._open_session()
        self._assignment = answer.assignment or frozenset()

    def _open_session(self) -> None:
        """What is held stays so. Raises RequestError."""
        self._session = self._broker.share.session(
            self.group_id, self.member_id, OPENING, self._connection_id
        )

    # Records

    async def _opened(self, fetched: ShareFetched) -> list[Delivered]:
        """The slices are released, whatever happens. Raises RequestError."""
        shared, error, slices, acquired = fetched
        if error is not None:
            raise error
        index = shared.partition.index
        try:
            opened = await open_acquired(slices, acquired)
        except OSError as error:
            why = f"cannot be read: {error}"
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, why) from error
        if self._session is None:
            return []
        for first, last in _runs(sorted(opened.empty)):
            self._acknowledge(index, first, last, AcknowledgeType.GAP)
        if opened.damaged:
            where = f"{shared.partition.topic.name}-{index}"
            log.error("group %s: %s of %s is damaged", self.group_id, opened.damaged, where)
        for first, last in _runs(sorted(opened.damaged)):
            self._acknowledge(index, first, last, AcknowledgeType.REJECT)
        for first, last in _runs(opened.too_much):
            self._acknowledge(index, first, last, AcknowledgeType.RELEASE)
        self._hold(index, [record.offset for record, _ in opened.records])
        return [Delivered(index, record, count) for record, count in opened.records]

    def _hold(self, index: int, offsets: Iterable[int]) -> None:
        """The order of a partition's dictionary is that of the ends."""
        ends = self._held.setdefault(index, {})
        end_ms = self._broker.steady_ms() + self.lock_ms
        for offset in offsets:
            ends.pop(offset, None)
            ends[offset] = end_ms

    def _let_go(self, index: int, offsets: Iterable[int]) -> None:
        ends = self._held[index]
        for offset in offsets:
            del ends[offset]
        if not ends:
            del self._held[index]

    def _held_between(self, index: int, first: int, last: int) -> list[int]:
        ends = self._held.get(index, {})
        if last - first < len(ends):
            return [offset for offset in range(first, last + 1) if offset in ends]
        return sorted(offset for offset in ends if first <= offset <= last)

    def _acknowledge(self, index: int, first: int, last: int, outcome: AcknowledgeType) -> None:
        """All of them, or those of them that are still this member's."""
        session = self._session
        shared = self._broker.share.find(self.group_id, self.topic.id, index)
        if session is None or shared is None:
            return
        try:
            saved = self._broker.share.acknowledge(
                session, shared, [Acknowledgement(first, last, (outcome,))]
            )
        except RequestError:
            for offset in range(first, last + 1) if first < last else ():
                self._acknowledge(index, offset, offset, outcome)
            return
        if saved is not None and saved not in self._unsaved:
            self._unsaved.add(saved)
            saved.add_done_callback(self._saved)

    def _saved(self, saved: "asyncio.Future[None]") -> None:
        self._unsaved.discard(saved)
        error = None if saved.cancelled() else saved.exception()
        if isinstance(error, RequestError):
            self._failure = error

    # Delays

    def _delay(self, index: int, offsets: list[int], delay_ms: int) -> None:
        """Hold on to them meanwhile, so that nobody gets them."""
        settings = self._broker.share.settings(self.group_id)
        if delay_ms > DELAY_MS_MAX:
            raise RequestError(
                ErrorCode.INVALID_REQUEST, f"a delay of {delay_ms} ms; most is {DELAY_MS_MAX}"
            )
        if not settings.may_renew and delay_ms >= settings.lock_duration_ms:
            why = f"group {self.group_id!r} may not renew locks (share.renew.acknowledge.enable)"
            raise RequestError(ErrorCode.INVALID_REQUEST, f"a delay of {delay_ms} ms: {why}")
        now_ms = self._broker.steady_ms()
        for offset in offsets:
            half_ms = self._held[index][offset] - settings.lock_duration_ms // 2
            look_ms = max(min(now_ms + delay_ms, half_ms), now_ms)
            heapq.heappush(self._delayed, (look_ms, now_ms + delay_ms, index, offset))
        self._let_go(index, offsets)
        self._look_at_delayed()

    def _look_at_delayed(self) -> None:
        now_ms = self._broker.steady_ms()
        while self._delayed and self._delayed[0][0] <= now_ms:
            _, due_ms, index, offset = heapq.heappop(self._delayed)
            if due_ms <= now_ms:
                self._acknowledge(index, offset, offset, AcknowledgeType.RELEASE)
                continue
            self._acknowledge(index, offset, offset, AcknowledgeType.RENEW)
            look_ms = min(due_ms, now_ms + self.lock_ms // 2)
            heapq.heappush(self._delayed, (look_ms, due_ms, index, offset))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            wait_s = (self._delayed[0][0] - now_ms) / 1000
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._look_at_delayed)


def _runs(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """Rising offsets as ranges, both ends inclusive."""
    runs: list[tuple[int, int]] = []
    for offset in offsets:
        if runs and runs[-1][1] + 1 == offset:
            runs[-1] = runs[-1][0], offset
        else:
            runs.append((offset, offset))
    return runs
