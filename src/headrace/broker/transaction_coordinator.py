"""Where transactions meet clients, clock and catalog.

A request becomes one step of its transactional id's automaton (`headrace.transactions`); steps of
one id come one after the other. What a step changed is durable before it is answered or followed:

- a transaction that is *prepared* is decided. Markers go to its partitions, offsets to its groups
  (`transaction_end`); what fails is tried again, and after a restart all that is prepared is ended
- once all of that is durable the transaction is *complete*, in memory at once and in the catalog
  with whatever is written next: it may be completed twice, so nobody waits for that

Who asks to end a transaction is answered when it is complete, so that what was committed can be
read then. Should that take long (a partition is offline), the answer comes when it is decided.

What must not enter: API versions, what a transactional id may do.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

from headrace.broker.changes import Changes
from headrace.broker.stats import TransactionStats
from headrace.broker.transaction_rows import record_of, row_of
from headrace.catalog.transactions import TransactionRow
from headrace.transactions import automaton
from headrace.transactions.automaton import Step
from headrace.transactions.record import ProducerIdentity, TopicPartition, TransactionRecord
from headrace.transactions.requests import Add, End, Init
from headrace.transactions.settings import TransactionSettings
from headrace.transactions.states import AT_REST, FOLLOWING, PREPARED, State
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["TransactionCoordinator"]

COMPLETION_WAIT_S: Final = 2.0
"""How long a request waits for a transaction to be complete that is decided."""
RETRY_S: Final = 0.5
"""Before markers and offsets that could not be written are tried again."""
EXPIRY_CHECK_S: Final = 3600.0
"""Between two looks for transactional ids that nobody uses."""

log = logging.getLogger("headrace.transactions")


class TransactionTable(Protocol):
    """The catalog's part for transactions. What a method did is durable when it returns; it raises
    RequestError when the disk does not play along, and keeps the order of calls."""

    async def load_all(self) -> list[TransactionRow]: ...
    async def save(self, row: TransactionRow) -> None: ...
    async def delete(self, transactional_ids: Iterable[str]) -> None: ...


class _Hosted:
    """A transactional id at home."""

    __slots__ = ("began", "ended", "lock", "record", "steps")

    def __init__(self, record: TransactionRecord | None = None) -> None:
        self.record = record
        """None until its first producer is durable."""
        self.began = (-1, 0)
        """When the open transaction began: by the calendar, and by the steady clock."""
        self.lock = asyncio.Lock()
        self.ended: asyncio.Future[None] | None = None
        """Done when what is prepared has ended; None while nothing is."""
        self.steps = 0
        """Asked for and not over: as long as there are any the id is not forgotten."""


class TransactionCoordinator:
    """All transactional ids of this broker. Methods raise RequestError: COORDINATOR_NOT_AVAILABLE
    when the disk fails or the broker stops, and what the automaton raises."""

    def __init__(
        self,
        table: TransactionTable,
        settings: TransactionSettings,
        now_ms: Callable[[], int],
        next_producer_id: Callable[[], Awaitable[int]],
        end_everywhere: Callable[[TransactionRecord], Awaitable[None]],
        *,
        steady_ms: Callable[[], int] | None = None,
        retention_ms: Callable[[], int] | None = None,
        is_mine: Callable[[str], bool] = lambda _: True,
        kept_changed: Callable[[], Awaitable[None]] | None = None,
        stats: TransactionStats | None = None,
    ) -> None:
        """`end_everywhere` writes markers and settles offsets of a prepared transaction; when it
        raises RequestError it is called again later. `steady_ms` never jumps, and what takes too
        long is measured with it; `retention_ms` is the time by which ids are too old (both are
        `now_ms` by default). Ids that are not `is_mine` are another worker's, who is
        to be asked about them: NOT_COORDINATOR. `kept_changed` is called when a transaction is
        durably kept, before that is answered, and when one is not kept any more."""
        self.settings = settings
        self.stats = stats or TransactionStats()
        self._table = table
        self._now_ms = now_ms
        self._steady_ms = steady_ms or now_ms
        self._retention_ms = retention_ms or now_ms
        self._is_mine = is_mine
        self._kept_changed = kept_changed
        self._next_producer_id = next_producer_id
        self._end_everywhere = end_everywhere
        self._ids: dict[str, _Hosted] = {}
        self._open: set[str] = set()
        """Those with a transaction that is ongoing or prepared."""
        self.kept: set[int] = set()
        """Producers whose open transaction is kept: nobody writes to it any more, though its
        partitions do not know that."""
        self._changes = Changes()
        self._ending: set[asyncio.Task[None]] = set()
        """They end what is prepared, and save that."""
        self._watchers: list[asyncio.Task[None]] = []
        self._is_closed = False

    async def start(self) -> None:
        """Load every transactional id that is ours, and end what was prepared before.

        Raises CatalogError for one that cannot be read, RequestError if the catalog cannot be.
        """
        for row in await self._table.load_all():
            if not self._is_mine(row.transactional_id):
                continue
            hosted = self._ids[row.transactional_id] = _Hosted(record_of(row))
            self._follow(hosted)
        self._watchers = [
            asyncio.create_task(self._watch_timeouts(), name="transaction timeouts"),
            asyncio.create_task(self._watch_expiry(), name="transactional id expiry"),
        ]

    async def close(self) -> None:
        """Finish the steps under way; what is prepared ends after the next start. Idempotent."""
        self._is_closed = True
        for task in (*self._watchers, *self._ending):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._changes.wait()

    # Producers

    async def init(self, transactional_id: str, request: Init) -> ProducerIdentity:
        """Waits until the transaction that an earlier producer left open is aborted. `request`
        needs no fresh id. Raises RequestError: also INVALID_REQUEST for an id that is none,
        POLICY_VIOLATION when there are too many."""
        self._check_id(transactional_id)
        if transactional_id not in self._ids and len(self._ids) >= self.settings.ids_max:
            raise RequestError(
                ErrorCode.POLICY_VIOLATION,
                f"this broker keeps {self.settings.ids_max} transactional ids",
            )
        hosted = self._ids.setdefault(transactional_id, _Hosted())

        def step(record: TransactionRecord | None, fresh: int) -> Step:
            asked = replace(request, fresh_producer_id=fresh)
            return automaton.init(transactional_id, record, asked, self._now_ms(), self.settings)

        try:
            return await self._run(hosted, step)
        finally:
            if hosted.record is None and not hosted.steps:
                self._forget(transactional_id, hosted)

    async def add(self, transactional_id: str, request: Add) -> None:
        """Durably part of the transaction from now on, which begins with the first ones."""

        def step(record: TransactionRecord | None, _: int) -> Step:
            return automaton.add(record, request, self._now_ms(), self.settings)

        await self._run(self._hosted(transactional_id), step)

    async def end(self, transactional_id: str, request: End) -> ProducerIdentity:
        """Who the producer is from now on. `request` needs no fresh id."""

        def step(record: TransactionRecord | None, fresh: int) -> Step:
            return automaton.end(record, replace(request, fresh_producer_id=fresh), self._now_ms())

        return await self._run(self._hosted(transactional_id), step)

    def check_write(
        self, transactional_id: str, producer: ProducerIdentity, partition: TopicPartition
    ) -> None:
        """Whether the producer may write to the partition now; see `automaton.check_write`."""
        self.check_mine(transactional_id)
        with self._fencing_counted():
            automaton.check_write(self.record(transactional_id), producer, partition)

    def check_commit(
        self, transactional_id: str, producer: ProducerIdentity, group_id: str
    ) -> None:
        """Whether the producer may commit offsets for the group now.

        Raises RequestError: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE.
        """
        self.check_mine(transactional_id)
        with self._fencing_counted():
            record = automaton.check_producer(self.record(transactional_id), producer)
        if record.state is not State.ONGOING or group_id not in record.groups or record.is_kept:
            raise RequestError(
                ErrorCode.INVALID_TXN_STATE,
                f"{transactional_id!r} has no transaction with the group {group_id!r}",
            )

    # Looking

    def record(self, transactional_id: str) -> TransactionRecord | None:
        """None if nobody has this id."""
        hosted = self._ids.get(transactional_id)
        return None if hosted is None else hosted.record

    def records(self) -> Mapping[str, TransactionRecord]:
        """All of them, by id."""
        found = {id_: hosted.record for id_, hosted in self._ids.items() if hosted.record}
        return MappingProxyType(found)

    def open_records(self) -> list[TransactionRecord]:
        """Those with a transaction that has not ended: ongoing, or prepared."""
        found = (self.record(transactional_id) for transactional_id in self._open)
        return [record for record in found if record is not None]

    @contextlib.contextmanager
    def _fencing_counted(self) -> Iterator[None]:
        try:
            yield
        except RequestError as error:
            if error.code in (ErrorCode.PRODUCER_FENCED, ErrorCode.INVALID_PRODUCER_EPOCH):
                self.stats.fenced += 1
            raise

    # Steps

    def _hosted(self, transactional_id: str) -> _Hosted:
        self._check_id(transactional_id)
        return self._ids.get(transactional_id) or _Hosted()

    def _check_id(self, transactional_id: str) -> None:
        longest = self.settings.id_length_max
        if not 0 < len(transactional_id) <= longest:
            raise RequestError(
                ErrorCode.INVALID_REQUEST, f"a transactional id has 1 to {longest} characters"
            )
        self.check_mine(transactional_id)

    def check_mine(self, transactional_id: str) -> None:
        """Raises RequestError NOT_COORDINATOR."""
        if not self._is_mine(transactional_id):
            raise RequestError(
                ErrorCode.NOT_COORDINATOR,
                "another worker of this cluster coordinates the transactional id",
            )

    async def _run(
        self, hosted: _Hosted, step: Callable[[TransactionRecord | None, int], Step]
    ) -> ProducerIdentity:
        """A step, which goes on if its caller hangs up."""
        hosted.steps += 1  # now: once it is under way somebody may have forgotten the id

        async def run() -> ProducerIdentity:
            try:
                with self._fencing_counted():
                    return await self._step(hosted, step)
            finally:
                hosted.steps -= 1

        return await self._changes.run(run())

    async def _step(
        self, hosted: _Hosted, step: Callable[[TransactionRecord | None, int], Step]
    ) -> ProducerIdentity:
        if self._is_closed:
            raise _unavailable("the broker is stopping")
        async with hosted.lock:
            while True:
                await self._completed(hosted)
                fresh = -1
                if automaton.needs_fresh_id(hosted.record):
                    fresh = await self._fresh_id()
                record, answer = step(hosted.record, fresh)
                if record is not hosted.record:
                    await self._become(hosted, record)
                if answer is not None:
                    await self._completed(hosted)
                    return answer

    async def _completed(self, hosted: _Hosted) -> None:
        """Wait, within reason, until what is decided has been done."""
        if hosted.ended is not None:
            await asyncio.wait([hosted.ended], timeout=COMPLETION_WAIT_S)

    async def _fresh_id(self) -> int:
        try:
            return await self._next_producer_id()
        except RequestError as error:
            raise _unavailable(error.message) from error

    async def _become(self, hosted: _Hosted, record: TransactionRecord) -> None:
        before = hosted.record
        if before is not None and record.state not in FOLLOWING[before.state]:
            raise ValueError(f"{before.state.value} cannot become {record.state.value}")
        await self._save(record)
        hosted.record = record
        self._follow(hosted)
        if self._kept_changed is not None and record.is_kept:
            await self._kept_changed()

    async def _save(self, record: TransactionRecord) -> None:
        try:
            await self._table.save(row_of(record))
        except RequestError as error:
            log.error("%r cannot be saved: %s", record.transactional_id, error.message)
            raise _unavailable("the transaction cannot be saved now") from error

    def _follow(self, hosted: _Hosted) -> None:
        """Do what follows from the record, which is durable."""
        record = hosted.record
        if record is None:
            return
        if record.state in AT_REST:
            self._open.discard(record.transactional_id)
        else:
            self._open.add(record.transactional_id)
            if record.started_ms != hosted.began[0]:
                age_ms = max(0, self._now_ms() - record.started_ms)  # from before the start
                hosted.began = (record.started_ms, self._steady_ms() - age_ms)
        if record.is_kept:
            self.kept.add(record.producer_id)
        elif record.state not in PREPARED:
            self.kept.discard(record.producer_id)
        if record.state in PREPARED:
            hosted.ended = asyncio.get_running_loop().create_future()
            ending = self._complete(hosted, record, hosted.ended)
            task = asyncio.create_task(ending, name="transaction end")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _complete(
        self, hosted: _Hosted, record: TransactionRecord, ended: "asyncio.Future[None]"
    ) -> None:
        told = False
        while True:
            try:
                await self._end_everywhere(record)
                break
            except RequestError as error:
                if not told:
                    log.error("%r cannot end yet: %s", record.transactional_id, error.message)
                    told = True
            except Exception:
                log.exception("ending the transaction of %r failed", record.transactional_id)
            self.stats.end_retries += 1
            await asyncio.sleep(RETRY_S)
        if told:
            log.info("%r has ended its transaction after all", record.transactional_id)
        now_ms = self._now_ms()
        hosted.record = automaton.complete(record, now_ms)
        was_kept = record.producer_id in self.kept
        self.kept.discard(record.producer_id)
        self._open.discard(record.transactional_id)
        hosted.ended = None
        ended.set_result(None)
        self.stats.ended(record.state is State.PREPARE_COMMIT, now_ms - record.started_ms)
        # Nobody waits for this: until it is durable, a restart does once more what was done. It is
        # handed to the catalog before anything else runs, so that no later step is overwritten.
        with contextlib.suppress(RequestError):  # which was logged
            await self._save(hosted.record)
        if self._kept_changed is not None and was_kept:
            await self._kept_changed()

    # Time

    async def _watch_timeouts(self) -> None:
        while True:
            await asyncio.sleep(self.settings.timeout_check_ms / 1000)
            try:
                await self.abort_overdue()
            except Exception:  # without this watch no reader would be freed any more
                log.exception("looking for transactions that take too long failed")

    async def abort_overdue(self) -> None:
        """Abort the transactions that take too long, and fence their producers."""
        hosts = [self._ids.get(transactional_id) for transactional_id in self._open]
        overdue = [hosted for hosted in hosts if hosted and self._is_overdue(hosted)]
        for hosted in overdue:
            with contextlib.suppress(RequestError):  # it was logged, and comes again
                await self._changes.run(self._time_out(hosted))

    def _is_overdue(self, hosted: _Hosted) -> bool:
        open_ms = self._steady_ms() - hosted.began[1]
        return hosted.record is not None and automaton.is_overdue(hosted.record, open_ms)

    async def _time_out(self, hosted: _Hosted) -> None:
        async with hosted.lock:
            record = hosted.record
            if record is None or not self._is_overdue(hosted):
                return
            log.warning(
                "the transaction of %r is aborted: it took longer than %d ms",
                record.transactional_id,
                record.timeout_ms,
            )
            await self._become(hosted, automaton.time_out(record, self._now_ms()))
            self.stats.timeouts += 1

    async def _watch_expiry(self) -> None:
        while True:
            await self.forget_expired()
            await asyncio.sleep(EXPIRY_CHECK_S)

    async def forget_expired(self) -> None:
        """Forget the transactional ids that nobody has used for long."""
        now_ms = self._retention_ms()
        expired = [
            hosted
            for hosted in list(self._ids.values())
            if hosted.record is not None
            and not (hosted.steps or hosted.lock.locked())
            and automaton.is_expired(hosted.record, now_ms, self.settings)
        ]
        if not expired:
            return
        for hosted in expired:  # before the deletion is under way: who comes now begins anew
            if hosted.record is not None:
                self._forget(hosted.record.transactional_id, hosted)
        names = [hosted.record.transactional_id for hosted in expired if hosted.record]
        log.info("%d transactional ids are forgotten, nobody used them", len(names))
        try:
            await self._table.delete(names)
        except RequestError as error:
            log.error("expired transactional ids stay until the next start: %s", error.message)

    def _forget(self, transactional_id: str, hosted: _Hosted) -> None:
        if self._ids.get(transactional_id) is hosted:
            del self._ids[transactional_id]


def _unavailable(why: str) -> RequestError:
    return RequestError(ErrorCode.COORDINATOR_NOT_AVAILABLE, why)
