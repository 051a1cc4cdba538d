"""Every damaged byte is found and named, nothing else is; what is cut out costs only itself."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.log.contract import CorruptLogError, LogConfig
from headrace.log.inspecting import inspect
from headrace.log.marks import Mark
from headrace.log.recovery import NO_MARK
from headrace.log.repairing import cut, remove_indexes
from headrace.wire.batch import LENGTH_OVERHEAD_BYTES, crc_of, peek
from headrace.wire.records import Record, build_batch, read_records

BATCHES = 30
PER_BATCH = 2
END = BATCHES * PER_BATCH


@pytest.fixture
def lab(lab):
    lab.config = LogConfig(segment_bytes=800, index_interval_bytes=100)
    return lab


def fill(lab) -> None:
    async def scenario(log):
        for at in range(BATCHES):
            records = [Record(timestamp_ms=at, key=b"k", value=b"%d" % at * 9)] * PER_BATCH
            ids = {"producer_id": 3, "producer_epoch": 0, "base_sequence": at * PER_BATCH}
            await lab.put(log, bytearray(build_batch(records, **ids)))
        await log.tidy(0)

    lab.run(scenario)


def look(lab, mark: Mark = NO_MARK):
    return inspect(str(lab.partition_path), mark)


def read_all(lab):
    """Start, read everything, stop: the records, and where the log starts and ends."""

    async def scenario(log):
        batches = await lab.batches(log)
        return [record for batch in batches for record in read_records(batch)], log.offsets()

    return lab.run(scenario)


def repair(lab, report, copies: Path) -> None:
    """As `server.offline` does it."""
    (lab.path / "headrace.marks").unlink()
    cut(report, report.damages, str(copies))
    assert look(lab).is_sound


def extents(path: Path) -> list[tuple[int, int, int, int]]:
    """(position, end, base offset, next offset) of the batches of a sound segment."""
    data, position, found = path.read_bytes(), 0, []
    while position < len(data):
        header = peek(data, position)
        end = position + header.size_bytes
        found.append((position, end, header.base_offset, header.next_offset))
        position = end
    return found


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def test_a_sound_log_is_sound_and_counted(lab):
    fill(lab)
    report = look(lab)
    assert report.is_sound
    assert report.notes == []
    assert (report.start_offset, report.end_offset) == (0, END)
    assert (report.batches, report.records) == (BATCHES, END)
    assert report.segments == len(lab.segment_paths()) == 5
    assert report.size_bytes == sum(path.stat().st_size for path in lab.segment_paths())


@pytest.fixture
def filled(lab):
    """A lab, and the records in it by offset."""
    fill(lab)
    return lab, {record.offset: record for record in read_all(lab)[0]}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found_cut_and_costs_its_batch_only(filled, tmp_path_factory, data):
    lab, before = filled
    origin, lab.path = lab.path, tmp_path_factory.mktemp("lab") / "data"
    shutil.copytree(origin, lab.path)
    try:
        check_a_changed_byte(lab, before, tmp_path_factory.mktemp("copies") / "lost", data)
    finally:
        lab.path = origin


def check_a_changed_byte(lab, before, copies: Path, data) -> None:
    path = data.draw(st.sampled_from(lab.segment_paths()))
    position = data.draw(st.integers(0, path.stat().st_size - 1))
    [hit] = [one for one in extents(path) if one[0] <= position < one[1]]
    if position in range(hit[0] + LENGTH_OVERHEAD_BYTES, hit[0] + 16):
        return  # the leader epoch, which no CRC covers
    flip(path, position)
    report = look(lab)
    [damage] = report.damages
    assert damage.path == str(path)
    assert (damage.position, damage.first_offset) == (hit[0], hit[2])
    assert damage.end == hit[1] or position < hit[0] + LENGTH_OVERHEAD_BYTES + 16
    expected = {offset for offset in before if not hit[2] <= offset < hit[3]}
    repair(lab, report, copies)
    records, offsets = read_all(lab)
    assert {record.offset for record in records} == expected
    assert all(record == before[record.offset] for record in records)
    assert offsets.end in (END, damage.first_offset)
    assert offsets.end == END or path == lab.segment_paths()[-1]
    [copied] = [one for one in copies.iterdir() if one.suffix != ".json"]
    assert len(copied.read_bytes()) == damage.end - damage.position
    [about] = json.loads((copies / "about.json").read_text())
    assert about["first_offset"] == hit[2]


def test_a_missing_segment_is_named_and_its_offsets_become_a_hole(lab, tmp_path):
    fill(lab)
    path = lab.segment_paths()[2]
    first, last = extents(path)[0][2], extents(path)[-1][3]
    path.unlink()
    report = look(lab)
    [damage] = report.damages
    assert (damage.path, damage.first_offset, damage.next_offset) == (str(path), first, last)
    with pytest.raises(CorruptLogError):
        read_all(lab)
    repair(lab, report, tmp_path / "lost")
    records, _ = read_all(lab)
    assert {one.offset for one in records} == set(range(END)) - set(range(first, last))


def test_a_shortened_end_is_damage_when_it_was_synced(lab, tmp_path):
    fill(lab)
    path = lab.segment_paths()[-1]
    position, _, offset, _ = extents(path)[-1]
    path.write_bytes(path.read_bytes()[: position + 10])
    report = look(lab)
    [damage] = report.damages
    assert (damage.position, damage.end) == (position, position + 10)
    assert (damage.first_offset, damage.next_offset) == (offset, END)
    with pytest.raises(CorruptLogError):
        read_all(lab)
    repair(lab, report, tmp_path / "lost")
    records, offsets = read_all(lab)
    assert {one.offset for one in records} == set(range(offset))
    assert offsets.end == END  # offsets that readers may have seen are not given again


def test_a_torn_tail_is_no_damage(lab, tmp_path):
    async def scenario(log):
        await lab.put(log, lab.batch(b"1"))
        return await lab.crash_image(log, tmp_path / "image")

    image = lab.run(scenario)
    path = image.segment_paths()[0]
    path.write_bytes(path.read_bytes() + bytes(40))
    report = look(image)
    assert report.is_sound
    assert any("torn" in note for note in report.notes)
    assert look(image, Mark(0, path.stat().st_size)).damages
    assert look(image, Mark(77, 5)).damages


def test_an_index_that_lies_is_found_and_made_anew(lab):
    fill(lab)
    paths = sorted(lab.partition_path.glob("*.index"))
    flip(paths[1], 40)
    paths[2].write_bytes(paths[3].read_bytes())
    report = look(lab)
    assert not report.damages
    assert list(report.bad_indexes) == [str(paths[1]), str(paths[2])]
    remove_indexes(report)
    assert look(lab).is_sound
    assert len(read_all(lab)[0]) == END


def test_records_that_cannot_be_read_are_damage(lab, tmp_path):
    async def scenario(log):
        await lab.put(log, lab.batch(b"1"))
        odd = bytearray(build_batch([Record(value=b"x" * 20)]))
        odd[61] = 7  # the length of the record
        odd[17:21] = crc_of(odd).to_bytes(4, "big")
        await lab.put(log, odd)
        await lab.put(log, lab.batch(b"3"))

    lab.run(scenario)
    [damage] = look(lab).damages
    assert "cannot be read" in damage.why
    assert (damage.first_offset, damage.next_offset) == (1, 2)
    repair(lab, look(lab), tmp_path / "lost")
    assert [one.offset for one in read_all(lab)[0]] == [0, 2]


def test_the_start_of_the_log_outlives_a_repair(lab, tmp_path):
    fill(lab)

    async def scenario(log):
        await log.delete_before(7)

    lab.run(scenario)
    path = lab.segment_paths()[-1]
    flip(path, 70)
    report = look(lab)
    assert report.start_offset == 7
    repair(lab, report, tmp_path / "lost")
    assert read_all(lab)[1].start == 7


@pytest.mark.parametrize("hit", [2, 0])
def test_a_damaged_end_of_which_nothing_tells_is_cut_where_it_begins(lab, tmp_path, hit):
    async def scenario(log):
        for value in (b"1", b"2", b"3"):
            await lab.put(log, lab.batch(value))
        return await lab.crash_image(log, tmp_path / "image")

    image = lab.run(scenario)
    [path] = image.segment_paths()
    end = path.stat().st_size
    path.write_bytes(path.read_bytes()[: extents(path)[hit][1]])
    flip(path, extents(path)[hit][0] + 65)
    report = look(image, Mark(0, end))
    [damage] = report.damages
    assert (damage.first_offset, damage.next_offset) == (hit, None)
    (image.path / "headrace.marks").unlink()
    cut(report, [damage], str(tmp_path / "lost"))
    assert look(image).is_sound
    records, offsets = read_all(image)
    assert [record.offset for record in records] == list(range(hit))
    assert offsets.end == hit
