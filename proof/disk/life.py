"""A life of a store, from a seed: producers, transactions, retention, compaction, restarts.

Some of it waits for its answer, some does not, so that appends, syncs, checkpoints and compaction
meet. Partition 0 is plain and loses its old segments, 1 has transactions, 2 is compacted and has
transactions too; a fourth comes and goes with its topic. What must not enter: faults (`sweeps`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, Final, Literal
from uuid import UUID

from headrace.log.contract import ACKS_ALL, ACKS_LEADER, Appended, LogConfig
from headrace.testing.disk import FaultDisk
from headrace.wire.batch import stamp
from headrace.wire.errors import RequestError
from headrace.wire.markers import Marker, build_marker
from headrace.wire.records import Record, build_batch
from proof.disk.hosting import Host, Hosted
from proof.disk.judge import Broken
from proof.disk.model import Entry, Partition

__all__ = ["Life", "new_partitions"]

STEPS: Final = 70
TOPIC, COMPACTED = UUID(int=1), UUID(int=2)
KEYS: Final = 6
PLAIN: Final = -1


def new_partitions() -> list[Hosted]:
    plain = LogConfig(segment_bytes=2500, index_interval_bytes=512, retention_bytes=2500)
    kept = LogConfig(segment_bytes=2500, index_interval_bytes=512)
    compacted = LogConfig(
        segment_bytes=900,
        index_interval_bytes=256,
        compact=True,
        delete=False,
        dirty_ratio_min=0.0,
        delete_retention_ms=0,
    )
    return [
        Hosted(Partition(0), TOPIC, plain),
        Hosted(Partition(1), TOPIC, kept),
        Hosted(Partition(2, is_compacted=True), COMPACTED, compacted),
    ]


class Life:
    """`run` is the whole of it."""

    def __init__(
        self,
        disk: FaultDisk,
        seed: int,
        *,
        durability: Literal["fsync", "os"] = "fsync",
        partitions: list[Hosted] | None = None,
        is_troubled: Callable[[], bool] = lambda: False,
        steps: int = STEPS,
    ) -> None:
        self.random = Random(f"life {seed}")
        self.partitions = partitions or new_partitions()
        self.host = Host(disk, durability, self.partitions, is_troubled)
        self._steps = steps
        self._waiting: list[asyncio.Future[Any]] = []
        self._coordinator_epoch = 0
        self._short_lived = UUID(int=1 << 64)
        self._is_doomed = False
        """The short-lived topic is there."""

    async def run(self) -> None:
        """Raises Broken, CorruptLogError."""
        random, host = self.random, self.host
        await host.open()
        await self._send_again()
        actions = [self._append] * 12 + [self._end] * 3 + [self._retry] * 2 + [self._look] * 3
        actions += [self._tidy] * 5 + [self._delete_before] + [self._clean] * 4
        actions += [self._settle, self._settle, self._restart, self._skip, self._come_and_go]
        for _ in range(self._steps):
            hosted = random.choice(self.partitions)
            if hosted.log is not None and hosted.log.failed:
                await (self._restart if random.random() < 0.2 else self._look)(hosted)
            else:
                await random.choice(actions)(hosted)
            if random.random() < 0.3:
                await asyncio.sleep(0)
        await self._settle(hosted)
        await host.close()

    async def try_out(self) -> None:
        """After a start on what a power cut left: does it go on? Raises Broken."""
        await self.host.open()
        await self._send_again()
        for hosted in self.partitions:
            await self._retry(hosted)
            await self._append(hosted)
            await self._settle(hosted)
            await self._look(hosted)
        await self.host.close()
        await self.host.open()
        if self.host.lost or (not self.host.is_troubled() and not self.host.store.was_clean):
            raise Broken(f"a clean end lost {self.host.lost}")
        await self.host.close()

    # What producers do

    async def _append(self, hosted: Hosted) -> None:
        random = self.random
        for _ in range(random.choice((1, 1, 3))):
            producer_id = (
                random.choice((PLAIN, 1, 2, 3))
                if hosted.model.number
                else (random.choice((PLAIN, 1, 2)))
            )
            known = hosted.now.producers.get(producer_id)
            epoch = known.epoch if known else 0
            await self._put(
                hosted,
                self._records(hosted),
                producer_id,
                epoch if producer_id >= 0 else -1,
                known.next_sequence if known else 0,
                is_transactional=producer_id in (2, 3) and hosted.model.number > 0,
            )

    def _records(self, hosted: Hosted) -> list[tuple[bytes | None, bytes | None]]:
        random = self.random
        records: list[tuple[bytes | None, bytes | None]] = []
        for _ in range(random.choice((1, 1, 2, 3))):
            value = random.randbytes(random.choice((8, 60, 200, 600)))
            if hosted.model.is_compacted:
                key = b"k%d" % random.randrange(KEYS)
                records.append((key, None if random.random() < 0.15 else value[:200]))
            else:
                records.append((None, value))
        return records

    async def _put(
        self,
        hosted: Hosted,
        records: list[tuple[bytes | None, bytes | None]],
        producer_id: int,
        epoch: int,
        sequence: int,
        *,
        is_transactional: bool,
    ) -> None:
        log, model = hosted.log, hosted.model
        assert log is not None
        data = bytearray(
            build_batch(
                [Record(-1, self.host.now_ms, key, value) for key, value in records],
                producer_id=producer_id,
                producer_epoch=epoch,
                base_sequence=sequence if producer_id >= 0 else -1,
                transactional=is_transactional,
            )
        )
        stamp(data, model.end, 0)
        entry = Entry(
            model.end,
            model.end + len(records),
            bytes(data),
            records,
            producer_id,
            epoch,
            sequence,
            is_transactional,
        )
        acks = ACKS_ALL if self.random.random() < 0.85 else ACKS_LEADER
        await self._send(hosted, entry, acks, lambda done: log.append(memoryview(data), acks, done))

    async def _send(
        self,
        hosted: Hosted,
        entry: Entry,
        acks: int,
        append: Callable[[Callable[[Appended | RequestError], None]], None],
    ) -> None:
        """Append something new; sometimes wait for the answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Appended | RequestError] = loop.create_future()
        try:
            append(answer.set_result)
        except RequestError as error:
            hosted.model.ghosts.append(entry)
            self.host.tolerate(error)
            return
        hosted.appended(entry)
        await self._wait_perhaps(self._answered(hosted, entry, acks, answer))

    async def _answered(
        self, hosted: Hosted, entry: Entry, acks: int, answer: "asyncio.Future[Any]"
    ) -> None:
        self.host.answered(hosted, entry, acks, await answer)

    async def _wait_perhaps(self, work: Coroutine[Any, Any, None]) -> None:
        self._waiting.append(asyncio.ensure_future(work))
        if self.random.random() < 0.4:
            await self._waiting[-1]

    async def _end(self, hosted: Hosted) -> None:
        """A transaction ends."""
        log, now, random = hosted.log, hosted.now, self.random
        assert log is not None
        if not now.open:
            return
        producer_id = random.choice(list(now.open))
        epoch = now.producers[producer_id].epoch + random.randrange(2)
        self._coordinator_epoch += random.randrange(2)
        marker = Marker(producer_id, epoch, self._coordinator_epoch, random.random() < 0.5)
        data = build_marker(marker, self.host.now_ms)
        base = hosted.model.end
        stamp(data, base, 0)
        entry = Entry(base, base + 1, bytes(data), (), producer_id, epoch, -1, True, marker)
        await self._send(hosted, entry, ACKS_ALL, lambda done: log.append_marker(marker, done))

    async def _retry(self, hosted: Hosted) -> None:
        """A batch comes once more: its first offset is the answer, and nothing is appended."""
        log = hosted.log
        known = [producer for producer in hosted.now.producers.values() if producer.window]
        if not known or log is None:
            return
        window = self.random.choice(self.random.choice(known).window)
        entry = next(one for one in hosted.model.entries if one.base == window.base_offset)
        first = hosted.now.open.get(entry.producer_id)
        if entry.is_transactional:
            if first is None or entry.base < first:  # of a transaction that ended: none is sent
                return
        elif first is not None:
            return
        answer = asyncio.get_running_loop().create_future()
        end = log.tail[0]
        try:
            log.append(memoryview(bytearray(entry.data)), ACKS_ALL, answer.set_result)
        except RequestError as error:
            self.host.tolerate(error)
            return
        if log.tail[0] != end:
            raise Broken(f"a retry of {entry.base} was appended again")
        await self._wait_perhaps(self._answered(hosted, entry, ACKS_ALL, answer))

    async def _send_again(self) -> None:
        """What the last start did not find is sent again by its producers, in order."""
        for hosted, lost in self.host.lost:
            if lost.producer_id < 0 or lost.is_transactional:
                continue
            known = hosted.now.producers.get(lost.producer_id)
            if known is None or (known.epoch, known.next_sequence) == (lost.epoch, lost.sequence):
                await self._put(
                    hosted,
                    list(lost.records),
                    lost.producer_id,
                    lost.epoch,
                    lost.sequence,
                    is_transactional=False,
                )
        self.host.lost = []

    # What the broker does

    async def _look(self, hosted: Hosted) -> None:
        if hosted.log is not None:
            await self.host.look(hosted)

    async def _tidy(self, hosted: Hosted) -> None:
        assert hosted.log is not None
        now_ms = self.host.now_ms
        await self._tend(hosted, partial(hosted.log.tidy, now_ms))

    async def _delete_before(self, hosted: Hosted) -> None:
        log = hosted.log
        assert log is not None
        start, _, high_watermark, _ = self._offsets(hosted)
        offset = self.random.randint(start, start + (high_watermark - start) // 2)
        if not hosted.model.is_compacted:
            await self._tend(hosted, partial(log.delete_before, offset))

    async def _clean(self, hosted: Hosted) -> None:
        hosted = self.partitions[2]
        if hosted.log is not None and not hosted.log.failed:
            work = hosted.log.clean(self.host.now_ms, 1 << 16)
            await self._wait_perhaps(self._ignored(work))

    async def _ignored(self, work: Coroutine[Any, Any, Any]) -> None:
        await self._allowed(work)

    async def _tend(self, hosted: Hosted, work: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """Something that may move the start."""
        log, model = hosted.log, hosted.model
        assert log is not None
        model.start_max = max(model.start_max, model.end)

        async def done() -> None:
            if await self._allowed(work()):
                model.start_min = max(model.start_min, log.start_offset)

        await self._wait_perhaps(done())

    async def _allowed(self, work: Coroutine[Any, Any, Any]) -> bool:
        try:
            await work
        except (RequestError, OSError) as error:
            self.host.tolerate(error)
            return False
        return True

    async def _settle(self, hosted: Hosted) -> None:
        """Every answer comes."""
        while self._waiting:
            await self._waiting.pop()

    async def _restart(self, hosted: Hosted) -> None:
        if self.random.random() < 0.5:
            await self._settle(hosted)
        await self.host.close()
        await self._settle(hosted)
        await self.host.open()
        await self._send_again()

    async def _skip(self, hosted: Hosted) -> None:
        """Time passes."""
        self.host.now_ms += self.random.choice((10, 70_000, 4_000_000))

    async def _come_and_go(self, hosted: Hosted) -> None:
        """A topic is made, or deleted."""
        store = self.host.store
        assert store is not None
        try:
            if self._is_doomed:
                await store.delete_topic(self._short_lived)
                self._is_doomed = False
            else:
                self._is_doomed = True
                self._short_lived = UUID(int=self._short_lived.int + 1)  # none comes twice
                log = await store.open_log(self._short_lived, 0, LogConfig())
                answer = asyncio.get_running_loop().create_future()
                data = bytearray(build_batch([Record(-1, self.host.now_ms, None, b"short")]))
                log.append(memoryview(data), ACKS_ALL, answer.set_result)
                if isinstance(await answer, RequestError):
                    self.host.tolerate(answer.result())
        except (RequestError, OSError) as error:
            self.host.tolerate(error)

    def _offsets(self, hosted: Hosted) -> Any:
        assert hosted.log is not None
        try:
            return hosted.log.offsets()
        except RequestError as error:
            self.host.tolerate(error)
            return 0, 0, 0, 0
