"""The dead-letter topics of share groups (KIP-1191): what a group gives up is written down.

A group whose configuration names a topic (`errors.deadletterqueue.topic.name`) gets a dead letter
in it for each record that a consumer rejected or whose deliveries are used up: an ordinary durable
record (`dead_letter_batch`), in the partition with the source's number, modulo their count.

**At least once.** The dead letter is durable before the record counts as archived, and the two are
not one step: a broker that dies in between writes the dead letter again when the group goes on.

**Never in the way.** A dead letter that cannot be written is lost, and the record is archived all
the same: a group must not stand still because of its dead-letter topic. What was lost is counted by
group and cause, and logged, once in COMPLAINT_INTERVAL_MS for each.

**Bounded.** At most SENDINGS_MAX sendings hold records at one time, each READ_BYTES_MAX of the log,
one unpacked batch and one batch of dead letters. The others wait with the numbers of their runs;
how many, follows from what share groups may have in flight.

What must not enter: when a record is given up (`groups`), what becomes of it afterwards.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from headrace.broker.append import ACKS_ALL, Appended, append
from headrace.broker.dead_letter_batch import GivenUp, Origin, Packed, pack
from headrace.broker.dead_letter_counts import DeadLetterCounts
from headrace.broker.dead_letter_source import Originals, read_originals
from headrace.broker.dead_letter_topic import NoDeadLetterTopic, dead_letter_topic
from headrace.broker.group_config_table import DEAD_LETTER_COPY, DEAD_LETTER_TOPIC
from headrace.groups.dead_letter import DeadLetterReason
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.produce import PartitionBatch

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["RECORDS_PER_PIECE_MAX", "SENDINGS_MAX", "DeadLetterReason", "DeadLetters", "Run"]

SENDINGS_MAX: Final = 4
RECORDS_PER_READ_MAX: Final = 2_000
"""Looked for together, since a batch has to be unpacked whole for each of its records."""
RECORDS_PER_PIECE_MAX: Final = 200
"""Of one batch; the loop is not kept for more at one time."""
COMPLAINT_INTERVAL_MS: Final = 60_000
COMPLAINTS_MAX: Final = 1000
"""Remembered. Beyond that the oldest is forgotten, and may be logged again."""

_CAUSES: Final = {
    ErrorCode.MESSAGE_TOO_LARGE: "too_large",
    ErrorCode.RECORD_LIST_TOO_LARGE: "too_large",
    ErrorCode.KAFKA_STORAGE_ERROR: "storage",
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "storage",
}

Run = tuple[int, int, int]
"""First offset, last offset (inclusive), how often each of them was delivered."""

log = logging.getLogger("headrace.broker")


class DeadLetters:
    """One for a broker."""

    def __init__(self, broker: "Broker", steady_ms: Callable[[], int]) -> None:
        self.counts = DeadLetterCounts()
        self._broker = broker
        self._steady_ms = steady_ms
        self._slots = asyncio.Semaphore(SENDINGS_MAX)
        self._complained_ms: dict[tuple[str, str], int] = {}

    def wanted_by(self, group_id: str) -> bool:
        """Whether the group has a dead-letter topic; without one there is nothing to send."""
        return bool(self._broker.group_configs.text(group_id, DEAD_LETTER_TOPIC))

    async def send(
        self,
        group_id: str,
        topic: str,
        partition: int,
        runs: Sequence[Run],
        reason: DeadLetterReason,
    ) -> None:
        """Write a dead letter for each record of `runs`, which rise and do not overlap.

        On return they are durable, or lost and counted; nothing is raised for them. If it is
        cancelled it may have written some: the records must not count as archived then.
        """
        origin = Origin(group_id, topic, partition, reason)
        pending = _Pending(runs)
        try:
            async with self._slots:
                await self._write(origin, pending)
        except NoDeadLetterTopic as error:
            self._lost(origin, pending.count, error.cause, str(error))
        except RequestError as error:
            cause = _CAUSES.get(error.code, error.code.name.lower())
            self._lost(origin, pending.count, cause, error.message)
        except Exception as error:  # whatever it is: the group goes on
            log.exception("dead letters of group %r failed", group_id)
            self._lost(origin, pending.count, "error", repr(error))

    async def _write(self, origin: Origin, pending: "_Pending") -> None:
        """Raises NoDeadLetterTopic, RequestError."""
        configs = self._broker.group_configs
        originals = Originals({}, -1)
        while window := pending.window():
            name = configs.text(origin.group_id, DEAD_LETTER_TOPIC)
            if not name:  # no longer
                return
            topic = await dead_letter_topic(self._broker, name, origin.topic)
            is_copying = configs.boolean(origin.group_id, DEAD_LETTER_COPY)
            if is_copying and window[0].offset > originals.through:
                originals = await self._originals(origin, window)
            through = originals.through if is_copying else window[-1].offset
            piece = [
                record for record in window[:RECORDS_PER_PIECE_MAX] if record.offset <= through
            ]
            packed = pack(
                origin,
                piece,
                originals.records if is_copying else {},
                now_ms=self._broker.now_ms(),
                size_bytes_max=min(topic.config.max_message_bytes, topic.config.log.segment_bytes),
            )
            index = origin.partition % len(topic.partitions)
            await self._append(PartitionBatch(topic.name, index, memoryview(packed.batch)))
            self._written(origin, piece, originals if is_copying else None, packed)
            pending.done(packed.records_count)
            await asyncio.sleep(0)  # an append may be done at once: others have their turn too

    async def _originals(self, origin: Origin, window: list[GivenUp]) -> Originals:
        try:
            source = self._broker.topics.partition(origin.topic, origin.partition)
        except RequestError:  # deleted meanwhile
            return Originals({}, window[-1].offset)
        return await read_originals(source.log, window)

    async def _append(self, batch: PartitionBatch) -> None:
        """Durable on return. Raises RequestError."""
        appended: asyncio.Future[Appended | RequestError] = (
            asyncio.get_running_loop().create_future()
        )

        def done(outcome: Appended | RequestError) -> None:
            if not appended.done():  # cancelled: nobody waits any more
                appended.set_result(outcome)

        append(self._broker, batch, ACKS_ALL, done, anywhere=True)
        outcome = await appended
        if isinstance(outcome, RequestError):
            raise outcome

    def _written(
        self, origin: Origin, piece: list[GivenUp], originals: Originals | None, packed: Packed
    ) -> None:
        self.counts.written(origin.group_id, packed.records_count)
        if originals is None:
            return
        written = piece[: packed.records_count]
        missing = sum(record.offset not in originals.records for record in written)
        if missing:
            self._uncopied(origin, missing, "unreadable", "their records cannot be read")
        if packed.too_large:
            why = "with them they are too large for the dead-letter topic (max.message.bytes)"
            self._uncopied(origin, packed.too_large, "uncopied_too_large", why)

    def _uncopied(self, origin: Origin, count: int, cause: str, why: str) -> None:
        self.counts.uncopied(origin.group_id, count)
        if self._is_news(origin.group_id, cause):
            log.warning(
                "group %r: %d dead letters of %s-%d are without key and value: %s",
                *(origin.group_id, count, origin.topic, origin.partition, why),
            )

    def _lost(self, origin: Origin, count: int, cause: str, why: str) -> None:
        self.counts.lost(origin.group_id, cause, count)
        if self._is_news(origin.group_id, cause):
            log.error(
                "group %r: %d records of %s-%d were given up (%s) and left no dead letter: %s",
                *(origin.group_id, count, origin.topic, origin.partition),
                *(origin.reason.value, why),
            )

    def _is_news(self, group_id: str, cause: str) -> bool:
        key = group_id, cause
        now_ms = self._steady_ms()
        last_ms = self._complained_ms.get(key)
        if last_ms is not None and now_ms - last_ms < COMPLAINT_INTERVAL_MS:
            return False
        self._complained_ms.pop(key, None)
        if len(self._complained_ms) >= COMPLAINTS_MAX:
            del self._complained_ms[next(iter(self._complained_ms))]
        self._complained_ms[key] = now_ms
        return True


class _Pending:
    """What is still to be written; `window` spreads the runs out into records."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.count = sum(last - first + 1 for first, last, _ in runs)
        self._rest = (
            GivenUp(offset, delivery_count)
            for first, last, delivery_count in runs
            for offset in range(first, last + 1)
        )
        self._window: list[GivenUp] = []

    def window(self) -> list[GivenUp]:
        """The next ones; empty when everything is done."""
        room = RECORDS_PER_READ_MAX - len(self._window)
        self._window += itertools.islice(self._rest, room)
        return self._window

    def done(self, count: int) -> None:
        """The first `count` of the window."""
        del self._window[:count]
        self.count -= count
