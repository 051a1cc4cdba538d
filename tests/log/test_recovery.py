"""Starts after a crash: torn tails are cut, damage is refused, nothing acknowledged is lost."""

import asyncio
import logging
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.log.contract import CorruptLogError
from headrace.log.marks import Mark
from headrace.log.recovery import NO_MARK, Recovered, recover
from headrace.wire.batch import peek
from headrace.wire.errors import ErrorCode

BATCH_COUNT = 12


@pytest.fixture
def partition(lab, tmp_path) -> Path:
    """The directory of a partition whose process was killed: one segment, no checkpoint."""
    return crashed(lab, tmp_path / "image").partition_path


def crashed(lab, path, count=BATCH_COUNT, **config):
    async def scenario(log):
        for at in range(count):
            await lab.put(log, lab.batch(b"value %d" % at * 5, b"2", producer=(3, 0, at * 2)))
        return await lab.crash_image(log, path)

    return lab.run(scenario, **config)


def recovered(path: Path, mark: Mark = NO_MARK) -> Recovered:
    return recover(str(path), index_interval_bytes=512, now_ms=1, mark=mark)


def segment(path: Path) -> Path:
    return min(path.glob("*.log"))


def borders(data: bytes) -> list[int]:
    """Where batches start, and the end."""
    found = [0]
    while found[-1] < len(data):
        found.append(found[-1] + peek(data, found[-1]).size_bytes)
    return found


def test_a_killed_process_loses_nothing(partition):
    data = segment(partition).read_bytes()
    log = recovered(partition)
    assert log.segments[-1].end_offset == BATCH_COUNT * 2
    assert log.segments[-1].size_bytes == log.scanned_bytes == len(data)
    assert log.cut_bytes == 0
    [producer] = log.producers.snapshots()
    assert producer.last_sequence == BATCH_COUNT * 2 - 1


def test_a_torn_tail_is_cut_at_every_byte_of_the_last_batches(partition, caplog):
    path = segment(partition)
    whole = path.read_bytes()
    starts = borders(whole)
    for size in range(starts[-4], len(whole)):
        path.write_bytes(whole[:size])
        caplog.clear()
        log = recovered(partition)
        count = sum(start <= size for start in starts) - 1
        assert log.segments[-1].end_offset == count * 2
        assert path.stat().st_size == starts[count]
        assert log.cut_bytes == size - starts[count]
        warnings = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
        assert len(warnings) == (log.cut_bytes > 0)
        if warnings:
            assert f"{log.cut_bytes} bytes" in warnings[0].getMessage()
            assert str(path) in warnings[0].getMessage()


def test_what_was_synced_is_never_taken_for_a_torn_tail(partition):
    path = segment(partition)
    whole = path.read_bytes()
    mark = Mark(0, len(whole))
    assert recovered(partition, mark).cut_bytes == 0
    starts = borders(whole)
    for size in range(starts[-3], len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptLogError, match=re.escape(str(path))):
            recovered(partition, mark)
        assert path.stat().st_size == size


@pytest.mark.parametrize("tail", [bytes(1), bytes(60), bytes(10_000), b"\xff" * 100, b"\2" * 5000])
def test_zeros_or_garbage_behind_the_last_batch_are_cut(partition, tail):
    path = segment(partition)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    log = recovered(partition, Mark(0, len(whole)))
    assert log.cut_bytes == len(tail)
    assert path.read_bytes() == whole


def flip(path: Path, whole: bytes, at: int) -> None:
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x04]) + whole[at + 1 :])


def test_a_flipped_bit_in_the_middle_is_refused_and_named(partition):
    path = segment(partition)
    whole = path.read_bytes()
    starts = borders(whole)
    start, end = starts[5], starts[6]
    for at in range(start, end):
        flip(path, whole, at)
        with pytest.raises(CorruptLogError) as refusal:
            recovered(partition)
        assert str(path) in str(refusal.value)
        assert f"position {start} " in str(refusal.value)
        assert path.stat().st_size == len(whole)


def test_a_flipped_bit_in_the_last_batch_is_refused_if_it_was_synced(partition):
    path = segment(partition)
    whole = path.read_bytes()
    start = borders(whole)[-2]
    for at in range(start, len(whole)):
        flip(path, whole, at)
        with pytest.raises(CorruptLogError, match=f"position {start} "):
            recovered(partition, Mark(0, len(whole)))
    flip(path, whole, len(whole) - 1)
    assert recovered(partition).cut_bytes == len(whole) - start


def test_a_batch_in_the_place_of_another_is_refused(partition):
    path = segment(partition)
    whole = path.read_bytes()
    starts = borders(whole)
    last, before = starts[-2], starts[-3]
    path.write_bytes(whole[:last] + whole[before:last])
    with pytest.raises(CorruptLogError, match=f"position {last} .*another batch, with offset 20"):
        recovered(partition)


def test_a_page_the_power_cut_lost_takes_what_follows_with_it(lab, tmp_path):
    async def scenario(log):
        for at in range(20):
            await lab.put(log, lab.batch(b"%d" % at * 3000))
        return await lab.crash_image(log, tmp_path / "image")

    path = segment(lab.run(scenario).partition_path)
    whole = path.read_bytes()
    starts = borders(whole)
    for page in range(4096, 40960, 4096):
        path.write_bytes(whole[:page] + bytes(4096) + whole[page + 4096 :])
        log = recovered(path.parent)
        count = sum(start <= page for start in starts) - 1
        assert log.segments[-1].end_offset == count, page
        path.write_bytes(whole[:page] + bytes(4096) + whole[page + 4096 :])
        with pytest.raises(CorruptLogError):
            recovered(path.parent, Mark(0, len(whole)))


def in_segments(lab, path: Path) -> Path:
    """A killed partition of several segments, of which no checkpoint has been written."""
    image = crashed(lab, path, segment_bytes=900).partition_path
    (image / "checkpoint").unlink()
    return image


def segments_of(image: Path) -> list[Path]:
    return sorted(image.glob("*.log"))


@pytest.mark.parametrize("lost", ["size", "sectors"])
def test_the_lost_end_of_a_segment_takes_later_segments_with_it(lab, tmp_path, lost):
    image = in_segments(lab, tmp_path / "image")
    first, *later = segments_of(image)
    whole = first.read_bytes()
    assert later
    for sector in range(0, len(whole), 512):
        torn = tmp_path / f"torn-{sector}"
        shutil.copytree(image, torn)
        kept = whole[:sector]
        (torn / first.name).write_bytes(kept if lost == "size" else kept.ljust(len(whole), b"\0"))
        log = recovered(torn)
        assert log.segments[-1].end_offset == 2 * (sum(at <= sector for at in borders(whole)) - 1)
        assert [path.name for path in segments_of(torn)] == [first.name]


def test_a_flipped_bit_in_the_last_batch_of_a_segment_before_others_is_refused(lab, tmp_path):
    first, *later = segments_of(in_segments(lab, tmp_path / "image"))
    whole = first.read_bytes()
    assert later
    assert len(whole) % 512
    start = borders(whole)[-2]
    for at in range(start, len(whole)):
        flip(first, whole, at)
        with pytest.raises(CorruptLogError, match=f"position {start} "):
            recovered(first.parent)


def test_batches_inside_the_records_of_a_torn_batch_are_not_taken_for_damage(lab, tmp_path):
    inner = b"".join(bytes(lab.batch(b"inner", base_offset=100 + at)) for at in range(20))

    async def scenario(log):
        await lab.put(log, lab.batch(b"first"))
        await lab.put(log, lab.batch(inner))
        return await lab.crash_image(log, tmp_path / "image")

    path = segment(lab.run(scenario).partition_path)
    whole = path.read_bytes()
    start = borders(whole)[1]
    inner_size = len(inner) // 20
    for size in range(start + 1, len(whole), 17):
        if (size - whole.index(inner)) % inner_size == 0:
            continue  # torn exactly where an inner batch ends: nothing tells it from damage
        path.write_bytes(whole[:size])
        assert recovered(path.parent).segments[-1].end_offset == 1


def test_a_segment_that_is_missing_or_too_short_is_refused(lab):
    lab.run(lambda log: fill(lab, log), segment_bytes=400)
    paths = lab.segment_paths()
    assert len(paths) > 3
    for path in paths[:-1]:
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(CorruptLogError, match=f"{path.name} is missing"):
            recovered(lab.partition_path)
        path.write_bytes(data[:-1])
        with pytest.raises(CorruptLogError, match=f"{path.name} is damaged at position"):
            recovered(lab.partition_path)
        path.write_bytes(data)
    recovered(lab.partition_path)


async def fill(lab, log, count=BATCH_COUNT):
    for at in range(count):
        await lab.put(log, lab.batch(b"%d" % at * 50, producer=(3, 0, at)))


def test_a_checkpoint_with_any_damage_costs_only_a_scan(lab, tmp_path):
    lab.run(lambda log: fill(lab, log), segment_bytes=400)
    path = lab.partition_path / "checkpoint"
    data = path.read_bytes()
    expected = recovered(lab.partition_path)
    assert expected.scanned_bytes == 0
    for at in [*range(0, len(data), 7), None]:
        if at is None:
            path.unlink()
        else:
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        log = recovered(lab.partition_path)
        assert log.scanned_bytes == sum(p.stat().st_size for p in lab.segment_paths())
        assert [s.facts()[:4] for s in log.segments] == [s.facts()[:4] for s in expected.segments]
        assert [s[:3] for s in log.producers.snapshots()] == [(3, 0, BATCH_COUNT - 1)]


def test_what_a_start_has_recovered_is_not_cut_by_the_next(lab, tmp_path):
    """After a power cut the marks are old, and nothing may be appended before the next crash."""
    lab.run(lambda log: fill(lab, log))
    for name in ("headrace.marks", "headrace.clean", "topics/*/0/checkpoint"):
        for path in lab.path.glob(name):
            path.unlink()
    image = lab.run(lambda log: lab.crash_image(log, tmp_path / "image"))
    (segment,) = image.segment_paths()
    data = segment.read_bytes()
    segment.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CorruptLogError, match="the log was synced up to"):
        image.run(lambda log: fill(lab, log))
    segment.write_bytes(data[:-30])
    with pytest.raises(CorruptLogError):
        image.run(lambda log: fill(lab, log))
    segment.write_bytes(data + b"half a batch")
    assert len(image.run(image.batches)) == BATCH_COUNT


@pytest.mark.parametrize("damage", ["missing", "empty", "flipped", "of another segment"])
def test_an_index_with_any_damage_is_rebuilt(lab, damage):
    lab.run(lambda log: fill(lab, log, 40), segment_bytes=1500)
    indexes = sorted(lab.partition_path.glob("*.index"))
    assert len(indexes) > 2
    contents = [path.read_bytes() for path in indexes]
    for at, path in enumerate(indexes):
        if damage == "missing":
            path.unlink()
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "flipped":
            path.write_bytes(contents[at][:-9] + b"\xee" + contents[at][-8:])
        else:
            path.write_bytes(contents[at - 1])

    async def read_everywhere(log):
        for offset in range(40):
            assert peek(await lab.read_bytes(log, offset, 1)).base_offset == offset
        await lab.put(log, lab.batch())

    lab.run(read_everywhere)


def test_damage_met_while_reading_is_named_and_leaves_the_rest_readable(lab, refused, caplog):
    lab.run(lambda log: fill(lab, log, 40), segment_bytes=1500)
    path = lab.segment_paths()[1]
    whole = path.read_bytes()
    start = borders(whole)[-2]
    flip(path, whole, start + 16)
    damaged = int(lab.segment_paths()[2].stem) - 1

    async def read_everywhere(log):
        for offset in range(40):
            if offset != damaged:
                assert peek(await lab.read_bytes(log, offset, 300)).base_offset == offset
        for _ in range(3):
            with refused(ErrorCode.CORRUPT_MESSAGE) as refusal:
                await lab.read_bytes(log, damaged, 1)
            assert f"{path} is damaged at position {start}:" in refusal.message

    lab.run(read_everywhere)
    assert sum("is damaged" in entry.getMessage() for entry in caplog.records) == 1


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4), st.integers(0, 300)),
        st.tuples(st.just("append"), st.integers(1, 4), st.integers(0, 300)),
        st.tuples(st.just("delete"), st.floats(0, 1), st.just(0)),
        st.tuples(st.sampled_from(["tidy", "kill", "restart"]), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["fsync", "os"]), STEPS)
def test_a_recovered_log_is_what_it_was_after_any_history(tmp_path_factory, lab, durability, steps):
    root = tmp_path_factory.mktemp("history")
    current = type(lab)(root / "0", durability)
    current.config.segment_bytes = 1_500
    generation = 0
    model: list[bytes] = []
    start = sequence = 0

    async def live(log, steps):
        """Do steps until one ends the process; the remaining ones, and how it ended."""
        nonlocal start, sequence
        offset_of = [peek(batch).base_offset for batch in model]
        end = peek(model[-1]).next_offset if model else 0
        assert tuple(log.offsets()) == (start, end, end, end)
        wanted = [batch for batch in model if peek(batch).next_offset > start]
        assert await lab.batches(log, 400) == wanted
        assert offset_of == sorted(offset_of)
        if sequence:
            assert log.producers()[0].last_sequence == sequence - 1
        for at, (step, amount, size) in enumerate(steps):
            if step == "append":
                values = [b"x" * size] * amount
                batch = lab.batch(*values, producer=(5, 0, sequence))
                await lab.put(log, batch)
                model.append(bytes(batch))
                sequence += amount
                end += amount
            elif step == "delete":
                start = await log.delete_before(start + int((end - start) * amount))
            elif step == "tidy":
                await log.tidy(10_000)
            else:
                return step, steps[at + 1 :]
        return "restart", []

    async def main(steps):
        store = current.store()
        log = await store.open_log(current.topic, 0, current.config)
        how, rest = await live(log, steps)
        image = None
        if how == "kill":
            image = await current.crash_image(log, root / str(generation + 1))
        await store.close()
        return image or current, rest

    while True:
        current, rest = asyncio.run(main(steps))
        generation += 1
        if not rest and not steps:
            break
        steps = rest
    shutil.rmtree(root)


@example(sizes=[64, 301, 1], synced=0, lost={0}, length=None)  # a batch begins with zeros at 505
@example(sizes=[64, 64, 607, 1500, 1500, 1], synced=5, lost={7}, length=None)  # only its offset
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 1500), min_size=2, max_size=14),
    synced=st.integers(0, 13),
    lost=st.sets(st.integers(0, 40), max_size=12),
    length=st.none() | st.floats(0, 1),
)
def test_a_power_cut_never_costs_more_than_what_was_not_synced(
    lab, tmp_path_factory, sizes, synced, lost, length
):
    """Sectors written since the last sync are lost in any combination; others are not."""
    path = tmp_path_factory.mktemp("cut") / f"{0:020d}.log"
    whole = b"".join(
        bytes(lab.batch(b"\x07" * size, base_offset=offset, leader_epoch=0))
        for offset, size in enumerate(sizes)
    )
    starts = borders(whole)
    safe = starts[min(synced, len(sizes))]
    data = bytearray(whole)
    for sector in lost:
        start, end = max(sector * 512, safe), min(sector * 512 + 512, len(data))
        data[start:end] = bytes(max(end - start, 0))
    if length is not None:
        del data[safe + int((len(data) - safe) * length) :]
    path.write_bytes(data)
    log = recovered(path.parent, Mark(0, safe))
    kept = path.read_bytes()
    assert len(kept) >= safe
    assert kept in {whole[:start] for start in starts}
    assert len(kept) == log.segments[-1].size_bytes
    bad = next((at for at in range(len(data)) if data[at] != whole[at]), len(data))
    assert len(kept) == max(start for start in starts if start <= bad)
