"""A catalog that changed while nobody had it open is refused; one that a crash left is not."""

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog import seal
from headrace.catalog.catalog import Catalog
from headrace.catalog.schema import CatalogError
from headrace.catalog.seal import LOG_BYTES_MAX
from headrace.catalog.wal import damage_in

COMMITS = 5
PAGE = 4096 + 24


async def fill(directory: Path, copy: Path | None = None) -> None:
    """Five commits; `copy` gets the files as a kill would leave them."""
    catalog = await Catalog.open(str(directory))
    for number in range(COMMITS):
        rows = [(f"topic-{at}", 0, number, -1, "m") for at in range(20)]
        await catalog.offsets.commit("group", rows, number)
    if copy is not None:
        shutil.copytree(directory, copy)
    await catalog.close()


def filled(tmp_path: Path, *, killed: bool) -> Path:
    clean, copy = tmp_path / "clean", tmp_path / "killed"
    clean.mkdir()
    asyncio.run(fill(clean, copy))
    return copy if killed else clean


def opened(directory: Path) -> list[tuple[Any, ...]]:
    """What is in it. Raises CatalogError."""

    async def main() -> None:
        catalog = await Catalog.open(str(directory))
        await catalog.close()

    asyncio.run(main())
    with sqlite3.connect(directory / "catalog.db") as db:
        rows = db.execute("SELECT * FROM committed_offsets").fetchall()
    db.close()
    return rows


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_any_change_of_a_closed_catalog_is_refused_by_name(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=False)
    path = directory / "catalog.db"
    size, rng = path.stat().st_size, random.Random(5)
    for _ in range(40):
        at, bit = rng.randrange(size), rng.randrange(8)
        flip(path, at, bit)
        with pytest.raises(CatalogError, match=r"changed since it was closed") as refusal:
            opened(directory)
        assert str(path) in str(refusal.value)
        flip(path, at, bit)
    assert len(opened(directory)) == 20


def test_a_catalog_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=False)
    (directory / "catalog.db").unlink()
    for _ in range(2):
        with pytest.raises(CatalogError, match="is missing"):
            opened(directory)


def test_a_change_on_purpose_is_taken_without_the_seal(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=False)
    db = sqlite3.connect(directory / "catalog.db")
    db.execute('UPDATE committed_offsets SET "offset" = 99')
    db.commit()
    db.close()
    with pytest.raises(CatalogError, match=r"catalog.db-seal if it was changed on purpose"):
        opened(directory)
    (directory / "catalog.db-seal").unlink()
    assert opened(directory)[0][3] == 99


@pytest.mark.parametrize("content", [b"", b"x" * 5, b"HRSL" + bytes(16), b"y" * 500])
def test_a_damaged_seal_is_no_seal(content: bytes, tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=False)
    (directory / "catalog.db-seal").write_bytes(content)
    assert len(opened(directory)) == 20
    assert len((directory / "catalog.db-seal").read_bytes()) == 20


def test_several_processes_may_have_it_open_and_the_last_seals_it(tmp_path: Path) -> None:
    async def main() -> None:
        first = await Catalog.open(str(tmp_path))
        second = await Catalog.open(str(tmp_path))
        await first.offsets.commit("a", [("t", 0, 1, -1, "")], 1)
        await first.close()
        assert (tmp_path / "catalog.db-seal").read_bytes() == b""
        third = await Catalog.open(str(tmp_path))
        await second.offsets.commit("b", [("t", 0, 1, -1, "")], 1)
        await second.close()
        assert (tmp_path / "catalog.db-seal").read_bytes() == b""
        await third.close()

    asyncio.run(main())
    assert len((tmp_path / "catalog.db-seal").read_bytes()) == 20
    assert len(opened(tmp_path)) == 2


def test_readers_do_not_break_the_seal(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=False)
    db = sqlite3.connect(directory / "catalog.db")
    assert db.execute("SELECT count(*) FROM committed_offsets").fetchone() == (20,)
    db.close()
    assert len(opened(directory)) == 20


def test_a_catalog_that_is_shortened_while_it_is_summed_up_kills_nobody(tmp_path: Path) -> None:
    """As by an SQLite shell while a broker stops; an unreadable sector would do the same."""
    path = tmp_path / "catalog.db"
    with open(path, "wb") as file:
        file.truncate(1 << 28)
    program = f"""
import os, threading
from headrace.catalog import seal
threading.Timer(0.03, os.truncate, ({str(path)!r}, 4096)).start()
while os.path.getsize({str(path)!r}) > 4096:
    seal._sum({str(path)!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


# After a kill


def test_a_write_ahead_log_that_was_synced_may_not_change(tmp_path: Path) -> None:
    """SQLite alone would take the first bad frame for the end, and forget the commits behind it."""
    directory = filled(tmp_path, killed=True)
    log = (directory / "catalog.db-wal").read_bytes()
    shared_map = (directory / "catalog.db-shm").read_bytes()
    assert damage_in(log, shared_map) is None
    rng = random.Random(6)
    for at in [*range(0, 32, 3), *(rng.randrange(len(log)) for _ in range(150))]:
        changed = bytearray(log)
        changed[at] ^= 1 << rng.randrange(8)
        assert damage_in(bytes(changed), shared_map) is not None, at


def test_without_the_map_later_commits_tell(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=True)
    log = (directory / "catalog.db-wal").read_bytes()
    assert damage_in(log, b"") is None
    changed = bytearray(log)
    changed[32 + 24 + 100] ^= 1
    assert "later commits" in (damage_in(bytes(changed), b"") or "")


def test_a_torn_write_ahead_log_is_no_damage(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=True)
    log = (directory / "catalog.db-wal").read_bytes()
    for size in (*range(33), len(log) - 1, len(log) - PAGE // 2, len(log) - PAGE):
        assert damage_in(log[:size], b"") is None, size
    assert damage_in(log + bytes(PAGE), b"") is None
    assert damage_in(log + b"\xff" * 3 * PAGE, b"") is None


def test_frames_of_an_older_generation_are_no_damage(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=True)
    older = (directory / "catalog.db-wal").read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    newer = filled(other, killed=True)
    log = (newer / "catalog.db-wal").read_bytes()
    shared_map = (newer / "catalog.db-shm").read_bytes()
    assert damage_in(log + older[32:], shared_map) is None


def test_frames_that_were_rolled_back_are_no_damage(tmp_path: Path) -> None:
    """They follow each other behind a commit that is being written over them, frame by frame."""
    db = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    for statement in ("journal_mode = WAL", "cache_size = 1", "wal_autocheckpoint = 0"):
        db.execute(f"PRAGMA {statement}")
    db.execute("CREATE TABLE t (value)")
    db.execute("BEGIN")
    for _ in range(40):
        db.execute("INSERT INTO t VALUES (randomblob(4000))")
    db.execute("ROLLBACK")
    db.execute("INSERT INTO t VALUES (1)")
    log = tmp_path / "catalog.db-wal"
    before = log.read_bytes()
    db.execute("INSERT INTO t VALUES (2)")
    after = log.read_bytes()
    db.close()
    assert len(before) == len(after) > 20 * PAGE
    start = 32
    while before[start : start + PAGE] == after[start : start + PAGE]:
        start += PAGE
    for cut in (start + 24, start + 24 + 100):  # killed in the frame that ends the commit
        assert damage_in(after[:cut] + before[cut:], b"") is None


def test_what_a_killed_process_had_not_synced_is_synced_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a client may be told of it, and a power cut takes it away. And it is read from the disk:
    after a sync that failed the page cache has what the disk has not."""
    directory = filled(tmp_path, killed=True)
    path = directory / "catalog.db-wal"
    called: list[tuple[str, int]] = []

    def watch(module: Any, name: str, file_of: Callable[..., int]) -> None:
        real = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            called.append((name, file_of(*arguments)))
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, watched)

    log = path.stat().st_ino
    watch(os, "fsync", lambda fd: os.fstat(fd).st_ino)
    watch(os, "posix_fadvise", lambda fd, *_: os.fstat(fd).st_ino)
    watch(seal, "damage_in", lambda *_: log)
    watch(sqlite3, "connect", lambda *_: log)
    opened(directory)
    steps = [name for name, file in called if file == log]
    assert steps[:4] == ["fsync", "posix_fadvise", "damage_in", "connect"]


def test_of_a_long_write_ahead_log_only_the_beginning_is_gone_through(tmp_path: Path) -> None:
    """It grows as long as another program holds an old state of the catalog."""
    directory = filled(tmp_path, killed=True)
    path = directory / "catalog.db-wal"
    log, shared_map = path.read_bytes(), (directory / "catalog.db-shm").read_bytes()
    cut = log[: 32 + 3 * PAGE]
    assert damage_in(cut, shared_map) is not None
    assert damage_in(cut, shared_map, is_cut=True) is None
    flipped = bytearray(cut)
    flipped[-1] ^= 1
    assert damage_in(bytes(flipped), shared_map, is_cut=True) is not None
    os.truncate(path, 4 * LOG_BYTES_MAX)
    tracemalloc.start()
    try:
        assert len(opened(directory)) == 20
        assert tracemalloc.get_traced_memory()[1] < 2 * LOG_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_killed_catalog_with_a_damaged_log_is_refused_by_name(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=True)
    path = directory / "catalog.db-wal"
    flip(path, 32 + 24 + 7)
    for _ in range(2):  # it stays so: nothing is folded in
        with pytest.raises(CatalogError, match=r"write-ahead log .* is damaged") as refusal:
            opened(directory)
        assert str(path) in str(refusal.value)
    flip(path, 32 + 24 + 7)
    assert len(opened(directory)) == 20


def test_a_killed_catalog_opens_with_all_that_was_committed(tmp_path: Path) -> None:
    directory = filled(tmp_path, killed=True)
    assert {row[3] for row in opened(directory)} == {COMMITS - 1}
