"""Any order of writing, compacting, restarting and dying: readers see what they are promised.

The model is the list of all records ever appended. From the log's start a reader finds every key's
last value, other records only as they were written, and offsets that rise.
"""

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.log.contract import LogConfig
from headrace.wire.batch import peek
from headrace.wire.errors import RequestError
from headrace.wire.markers import Marker
from headrace.wire.records import Record, build_batch, read_records

DELETE_RETENTION_MS = 1000

keys = st.sampled_from([b"a", b"b", b"c", b"d", b""])
values = st.one_of(st.none(), st.binary(max_size=30))
pairs = st.lists(st.tuples(keys, values), min_size=1, max_size=5)
batch = st.tuples(
    st.just("append"),
    pairs,
    st.integers(0, 4),  # codec
    st.sampled_from([-1, 7, 8]),  # producer
)
action = st.one_of(
    batch,
    batch,
    st.tuples(st.just("transact"), pairs, st.sampled_from([21, 22])),
    st.tuples(st.just("end"), st.sampled_from([21, 22]), st.booleans()),
    st.tuples(st.just("compact"), st.sampled_from([24 * 16, 1 << 16])),
    st.tuples(st.just("seal")),
    st.tuples(st.just("wait"), st.integers(1, DELETE_RETENTION_MS)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("die"), st.booleans()),
    st.tuples(st.just("delete"), st.floats(0, 1)),
)


class World:
    def __init__(self, lab, directory: Path) -> None:
        self.lab = lab
        self.images = (directory / str(number) for number in itertools.count())
        self.written: list[Record] = []
        self.sequences: dict[int, int] = {}
        self.unended: dict[int, list[int]] = {}
        """Producer -> offsets of its open transaction."""
        self.aborted: set[int] = set()
        self.now_ms = 1_000_000
        self.lab.path = next(self.images)
        self.lab.clock = lambda: self.now_ms

    async def run(self, actions) -> None:
        await self.open()
        for name, *arguments in actions:
            await getattr(self, name)(*arguments)
            await self.check()
        await self.seal()
        for _ in range(100):
            if not self.log.cleaning(self.now_ms).dirty_bytes:
                break
            await self.log.clean(self.now_ms, 24 * 16)
        await self.check()
        await self.store.close()

    async def open(self) -> None:
        self.store = self.lab.store()
        self.log = await self.store.open_log(self.lab.topic, 0, self.lab.config)

    async def append(self, pairs, codec, producer, **more) -> None:
        base = len(self.written)
        records = [
            Record(base + at, self.now_ms + at, key, value) for at, (key, value) in enumerate(pairs)
        ]
        sequence = self.sequences.get(producer, 0)
        ids = {}
        if producer >= 0:
            ids = {"producer_id": producer, "producer_epoch": 0, "base_sequence": sequence}
            self.sequences[producer] = sequence + len(records)
        built = bytearray(build_batch(records, codec=codec, **ids, **more))
        assert (await self.lab.put(self.log, built)).base_offset == base
        self.written += records

    async def transact(self, pairs, producer) -> None:
        base = len(self.written)
        await self.append(pairs, 0, producer, transactional=True)
        self.unended.setdefault(producer, []).extend(range(base, len(self.written)))

    async def end(self, producer, commits) -> None:
        """The transaction, if one is open."""
        offsets = self.unended.pop(producer, None)
        if offsets is None:
            return
        future = asyncio.get_running_loop().create_future()
        self.log.append_marker(Marker(producer, 0, 0, commits), future.set_result)
        marker = await future
        assert marker.base_offset == len(self.written)
        self.written.append(None)  # the marker
        if not commits:
            self.aborted.update(offsets)

    async def seal(self) -> None:
        if self.log.segments.active.size_bytes:
            self.log.roll()
        for _ in range(2):  # the second time it is idle, and gets its checkpoint
            await self.log.tidy(self.now_ms)

    async def compact(self, map_bytes) -> None:
        await self.log.clean(self.now_ms, map_bytes)

    async def wait(self, time_ms) -> None:
        self.now_ms += time_ms

    async def restart(self) -> None:
        await self.store.close()
        await self.open()

    async def die(self, loses_checkpoint) -> None:
        """Go on with what a killed process would have left."""
        image = await self.lab.crash_image(self.log, next(self.images))
        await self.store.close()
        self.lab.path = image.path
        if loses_checkpoint and self.log.start_offset == 0:
            (image.partition_path / "checkpoint").unlink(missing_ok=True)
        await self.open()

    async def delete(self, part) -> None:
        await self.log.delete_before(int(part * self.log.offsets().high_watermark))

    async def check(self) -> None:
        offsets = self.log.offsets()
        assert offsets.end == len(self.written)
        batches = await self.lab.batches(self.log, 300)
        for before, after in itertools.pairwise(batches):
            assert peek(before).next_offset == peek(after).base_offset
        found = [record for one in batches for record in read_records(one)]
        for before, after in itertools.pairwise(found):
            assert before.offset < after.offset
        for record in found:
            assert self.written[record.offset] in (record, None)
        there = {record.offset for record in found}
        unstable = {offset for offsets in self.unended.values() for offset in offsets}
        latest = {
            record.key: record
            for record in self.written
            if record is not None and record.offset not in self.aborted | unstable
        }
        for record in latest.values():
            is_kept = record.offset >= offsets.start and (
                record.value is not None or self.now_ms < record.timestamp_ms + DELETE_RETENTION_MS
            )
            assert record.offset in there or not is_kept
        active_from = self.log.segments.active.base_offset
        assert there >= set(range(max(active_from, offsets.start), offsets.end))
        await self.check_producers()

    async def check_producers(self) -> None:
        for producer, sequence in self.sequences.items():
            gap = build_batch(
                [Record(key=b"")],
                producer_id=producer,
                producer_epoch=0,
                base_sequence=sequence + 1,
            )
            known = {snapshot.producer_id for snapshot in self.log.producers()}
            if producer in known and producer not in self.unended:
                with pytest.raises(RequestError, match=f"expected {sequence}$"):
                    self.log.append(memoryview(bytearray(gap)), 0, None)


@settings(max_examples=60, deadline=None)
@given(st.lists(action, max_size=25))
def test_readers_see_every_keys_last_value_whatever_happened(lab_class, actions):
    directory = Path(tempfile.mkdtemp(prefix="headrace-"))
    try:
        lab = lab_class(directory)
        lab.config = LogConfig(
            segment_bytes=700,
            compact=True,
            delete=False,
            dirty_ratio_min=0.0,
            delete_retention_ms=DELETE_RETENTION_MS,
            index_interval_bytes=100,
        )
        asyncio.run(World(lab, directory).run(actions))
    finally:
        shutil.rmtree(directory)
