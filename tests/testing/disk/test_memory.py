"""The disk in memory does what the system's does, and forgets what a power cut may take."""

import errno
import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.log import disk as system
from headrace.testing.disk import SECTOR_BYTES, FaultDisk, Loss, MemoryDisk, mounted

READ_WRITE = os.O_RDWR | os.O_CREAT


def loss(seed=0, kept=None, garbled=0.0):
    drawn = Loss(Random(seed))
    drawn.garbled = garbled
    if kept is not None:
        drawn.kept = kept
    return drawn


def put(disk, path, data=b"", position=0):
    fd = disk.open_file(path, READ_WRITE)
    disk.pwrite(fd, data, position)
    return fd


def found(disk, path):
    return bytes(disk.files()[path].data)


def sync_directory(disk, path):
    fd = disk.open_file(path, os.O_RDONLY | os.O_DIRECTORY)
    disk.fsync(fd)
    disk.close(fd)


NAMES = st.sampled_from(["a", "b", "c/d", "c/e", "c"])
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.integers(0, 40), st.binary(max_size=30)),
    st.tuples(st.just("truncate"), NAMES, st.integers(0, 60)),
    st.tuples(st.just("read"), NAMES, st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.sampled_from(["unlink", "exclusive", "list", "remove", "make", "size"]), NAMES),
)


def attempt(step, root):
    """What the step answers on the disk that is mounted: a value, or an error's number."""
    what, name, *more = step
    path = f"{root}/{name}"
    try:
        if what in ("write", "truncate", "read", "exclusive"):
            flags = READ_WRITE | (os.O_EXCL if what == "exclusive" else 0)
            fd = system.open_file(path, flags)
            try:
                if what == "write":
                    return system.pwrite(fd, more[1], more[0])
                if what == "truncate":
                    return system.truncate(fd, more[0])
                return system.pread(fd, *more[::-1]) if more else None
            finally:
                system.close(fd)
        if what == "rename":
            return system.rename(path, f"{root}/{more[0]}")
        if what == "unlink":
            return system.unlink(path)
        if what == "remove":
            return system.remove_tree(path)
        if what == "make":
            return system.make_directories(path)
        if what == "list":
            return sorted(system.list_names(path))
        return system.is_directory(path) or system.size_of(path)
    except OSError as error:
        return error.errno


@given(steps=st.lists(STEPS, max_size=25))
def test_programs_see_what_they_see_on_the_systems_disk(steps, tmp_path_factory):
    root = str(tmp_path_factory.mktemp("root"))
    os.mkdir(f"{root}/c")
    memory = MemoryDisk()
    memory.make_directories(f"{root}/c")
    for step in steps:
        expected = attempt(step, root)
        with mounted(memory):
            assert attempt(step, root) == expected, step
    there = {str(path): path.read_bytes() for path in Path(root).rglob("*") if path.is_file()}
    assert {path: bytes(file.data) for path, file in memory.files().items()} == there
    assert memory.open_paths == []


@pytest.mark.parametrize("seed", range(20))
def test_what_was_synced_is_there_after_any_power_cut(seed):
    disk = MemoryDisk()
    fd = put(disk, "/f", b"a" * 1300)
    disk.fdatasync(fd)
    sync_directory(disk, "/")
    disk.pwrite(fd, b"b" * 2000, 1300)
    after = found(disk.after_power_cut(loss(seed)), "/f")
    assert after[:1300] == b"a" * 1300
    assert found(disk, "/f") == b"a" * 1300 + b"b" * 2000


def test_a_power_cut_takes_sectors_sizes_and_names_one_by_one():
    """Every kind of outcome comes up: the code under test meets them all."""
    disk = MemoryDisk()
    fd = put(disk, "/f", b"s" * 100)
    disk.fdatasync(fd)
    sync_directory(disk, "/")
    disk.pwrite(fd, b"n" * 5000, 100)
    put(disk, "/unsynced-name")
    outcomes = set()
    for seed in range(300):
        after = disk.after_power_cut(loss(seed, garbled=0.2 if seed % 4 == 0 else 0.0))
        data = found(after, "/f")
        sectors = [data[at : at + SECTOR_BYTES] for at in range(0, len(data), SECTOR_BYTES)]
        outcomes.add("new name" if "/unsynced-name" in after.files() else "no new name")
        outcomes.add({100: "old size", 5100: "new size"}.get(len(data), "size between"))
        outcomes |= {"zeros" for sector in sectors if not any(sector)}
        outcomes |= {"new" for sector in sectors[1:] if set(sector) == {ord("n")}}
        outcomes |= {"noise" for sector in sectors[1:] if len(set(sector)) > 2}
    assert outcomes == {
        *("new name", "no new name", "old size", "new size", "size between"),
        *("zeros", "new", "noise"),
    }


def test_names_are_on_the_disk_when_their_directory_was_synced():
    disk = MemoryDisk()
    disk.make_directories("/d")
    sync_directory(disk, "/")
    disk.fdatasync(put(disk, "/d/f", b"x"))
    assert disk.after_power_cut(loss(kept=0.0)).list_names("/d") == []
    sync_directory(disk, "/d")
    disk.rename("/d/f", "/d/g")
    disk.unlink("/d/g")
    assert disk.after_power_cut(loss(kept=0.0)).list_names("/d") == ["f"]
    assert disk.after_power_cut(loss(kept=1.0)).list_names("/d") == []
    assert found(disk.after_power_cut(loss(kept=0.0)), "/d/f") == b"x"


def test_a_failed_sync_loses_pages_and_the_next_one_says_that_all_is_well():
    lost = 0
    for seed in range(10):
        disk = FaultDisk(seed)
        fd = put(disk, "/f", b"x" * 3000)
        sync_directory(disk, "/")
        disk.fail(1, errno.EIO, call="fdatasync")
        with pytest.raises(OSError, match="Input/output"):
            disk.fdatasync(fd)
        disk.fdatasync(fd)
        assert disk.pread(fd, 3000, 0) == b"x" * 3000
        after = found(disk.after_power_cut(loss(kept=1.0)), "/f")
        disk.drop_cached(fd)
        assert disk.pread(fd, 3000, 0) == after.ljust(3000, b"\0")
        lost += after != b"x" * 3000
    assert lost


def test_a_volume_that_could_not_be_written_is_told_by_each_file_once():
    disk = FaultDisk(3)
    fds = [put(disk, f"/{name}", b"x") for name in range(8)]
    disk.fail(1, errno.EIO, call="sync_volume")
    with pytest.raises(OSError, match="Input/output"):
        disk.sync_volume(fds[0])
    told = []
    for _ in range(2):
        for fd in fds:
            try:
                disk.fdatasync(fd)
            except OSError:
                told.append(fd)
    assert told
    assert len(set(told)) == len(told)


def test_a_lying_disk_says_that_all_is_well_and_keeps_nothing():
    disk = FaultDisk()
    disk.lie()
    fd = put(disk, "/f", b"x")
    disk.fdatasync(fd)
    sync_directory(disk, "/")
    assert disk.after_power_cut(loss(kept=0.0)).files() == {}


def test_calls_fail_when_they_are_told_to_and_go_on_after_that():
    disk = FaultDisk(1)
    fd = put(disk, "/f", b"x" * 100)
    rule = disk.fail(2, errno.ENOSPC, call="pwrite", times=2)
    disk.pwrite(fd, b"y", 0)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            disk.pwrite(fd, b"z" * 10, 200)
    assert rule.was_met
    assert disk.pwrite(fd, b"y", 0) == 1
    disk.cut_short(1, call=("pwrite", "pread"), times=2)
    assert 0 < disk.pwrite(fd, b"y" * 100, 0) < 100
    assert 0 < len(disk.pread(fd, 100, 0)) < 100
    disk.flip("/f", 0, bit=1)
    assert disk.pread(fd, 1, 0) == bytes([b"y"[0] ^ 2])


def test_a_file_is_locked_by_one_until_it_is_closed():
    disk = MemoryDisk()
    first, second = put(disk, "/f"), put(disk, "/f")
    disk.lock(first)
    with pytest.raises(BlockingIOError):
        disk.lock(second)
    disk.close(first)
    disk.lock(second)
