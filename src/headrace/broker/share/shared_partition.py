"""One partition as one share group has it: the automaton, what makes it durable, who waits for it.

A step changes the automaton at once; its answer leaves when the record is durable. While one record
is being written further steps go on, and the next writing takes all of them along. If a writing
fails the steps that waited for it are answered with the error. They are not taken back: what the
members said happened, and the next writing has it.

What must not enter: sessions, requests.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.broker.share.rows import row_of
from headrace.groups.dead_letter import DeadLetterReason
from headrace.groups.share_partition import SharePartition
from headrace.groups.share_steps import Condemned, ShareStep
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.topics import Partition

__all__ = ["ShareKey", "SharedPartition", "note"]

log = logging.getLogger("headrace.share")

ShareKey = tuple[str, str, int]
"""Group id, topic id as hex, partition."""


class SharedPartition:
    """Everything runs on the event loop. A partition that is forgotten writes no more."""

    def __init__(
        self,
        broker: "Broker",
        group_id: str,
        partition: "Partition",
        automaton: SharePartition,
        *,
        is_durable: bool,
    ) -> None:
        self.group_id = group_id
        self.partition = partition
        self.automaton = automaton
        self.is_forgotten = False
        self.redelivered = 0
        """Records that were delivered once more, since the process started."""
        self._broker = broker
        self._is_durable = is_durable
        self._next_write: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._burials: set[asyncio.Task[None]] = set()
        self._parked: dict[Callable[[], bool], None] = {}
        self._stop_listening: Callable[[], None] | None = None

    @property
    def key(self) -> ShareKey:
        return self.group_id, self.partition.topic.id.hex, self.partition.index

    # Steps

    def settle(self, step: ShareStep) -> "asyncio.Future[None] | None":
        """See to what a step brought about. The future is done once it is durable, and fails with
        RequestError KAFKA_STORAGE_ERROR; None: there is nothing to wait for."""
        if not step.must_persist:
            return None
        for reason in DeadLetterReason:
            condemned = [run for run in step.condemned if run.reason is reason]
            if condemned:
                self._bury(condemned, reason)
        saved = self.save()
        self.wake()
        return saved

    def bury_left_over(self) -> None:
        """Go on with the dead letters that a restart interrupted."""
        self.settle(ShareStep(must_persist=True, condemned=self.automaton.condemned()))

    def save(self) -> "asyncio.Future[None]":
        """The future is done once everything up to now is durable."""
        if self._next_write is None:
            self._next_write = asyncio.get_running_loop().create_future()
            self._next_write.add_done_callback(note)
        saved = self._next_write
        if not self._is_durable or self.is_forgotten:
            self._next_write = None
            saved.set_result(None)
        elif self._writer is None:
            self._writer = asyncio.create_task(self._write())
            self._writer.add_done_callback(note)
        return saved

    async def postpone_burials(self) -> None:
        """Dead letters that are on their way wait for the next start, which may write them again.
        Nothing else is to happen here."""
        for burial in self._burials:
            burial.cancel()
        await asyncio.gather(*self._burials, return_exceptions=True)

    async def settled(self) -> None:
        """Until nothing is being written; dead letters wait for the next start."""
        await self.postpone_burials()
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        try:
            while self._next_write is not None:
                saved, self._next_write = self._next_write, None
                group_id, _, index = self.key
                try:
                    if not self.is_forgotten:
                        await self._broker.catalog.share_partitions.save(
                            row_of(
                                group_id, self.partition.topic.id, index, self.automaton.record()
                            )
                        )
                except RequestError as error:
                    saved.set_exception(error)
                else:
                    saved.set_result(None)
        finally:
            self._writer = None

    def _bury(self, condemned: list[Condemned], reason: DeadLetterReason) -> None:
        burial = asyncio.create_task(self._write_dead_letters(condemned, reason))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)
        burial.add_done_callback(note)

    async def _write_dead_letters(
        self, condemned: list[Condemned], reason: DeadLetterReason
    ) -> None:
        await self._broker.dead_letters.send(
            self.group_id,
            self.partition.topic.name,
            self.partition.index,
            [(run.first, run.last, run.delivery_count) for run in condemned],
            reason,
        )
        step = ShareStep()
        for run in condemned:
            step.must_persist |= self.automaton.archived(run.first, run.last).must_persist
        self.settle(step)

    # Waiting

    def park(self, waiter: Callable[[], bool]) -> None:
        """Ask `waiter` whenever more may be acquired than before; it says whether it goes for it.
        One goes at a time: who went, and took what there was or not, calls `wake`."""
        self._parked[waiter] = None
        if self._stop_listening is None:
            self._stop_listening = self.partition.log.notify(self.wake)

    def unpark(self, waiter: Callable[[], bool]) -> None:
        self._parked.pop(waiter, None)
        if not self._parked and self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def wake(self) -> None:
        """Let the first of those who wait go for it."""
        for waiter in list(self._parked):
            if waiter():
                return


def note(ended: "asyncio.Future[Any]") -> None:
    """Nobody may be waiting for what failed."""
    if not ended.cancelled() and ended.exception() is not None:
        log.error("a share partition: %s", ended.exception())
