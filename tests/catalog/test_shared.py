"""One catalog, several processes that write to it."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from headrace.catalog.catalog import Catalog
from headrace.catalog.gate import Gate

_WRITER = """
import asyncio, sys
from headrace.catalog.catalog import Catalog

async def main(directory, name, count):
    catalog = await Catalog.open(directory, is_shared=True)
    for number in range(count):
        await catalog.offsets.commit(name, [("t", number, number, -1, "")], 1)
    await catalog.producer_ids.reserve(1000)
    await catalog.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def test_processes_that_write_at_once_lose_nothing_and_nobody_fails(tmp_path: Path) -> None:
    async def main() -> None:
        keeper = await Catalog.open(str(tmp_path))
        writers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _WRITER, str(tmp_path), f"g{number}", "60"),
            )
            for number in range(3)
        ]
        assert [await writer.wait() for writer in writers] == [0, 0, 0]
        reader = await Catalog.open(str(tmp_path), is_shared=True)
        assert len(await reader.offsets.load_all()) == 180
        assert await reader.producer_ids.reserve(1) == 3000
        await reader.close()
        await keeper.close()

    asyncio.run(main())


def test_a_killed_writer_holds_nobody_up(tmp_path: Path) -> None:
    async def main() -> None:
        keeper = await Catalog.open(str(tmp_path))
        other = await Catalog.open(str(tmp_path), is_shared=True)
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, tmp_path, "g", "1000000"])
        try:
            while not await other.offsets.load_all():
                assert writer.poll() is None
        finally:
            writer.kill()
            writer.wait()
        await other.offsets.commit("h", [("t", 0, 1, -1, "")], 1)
        assert "h" in {row.group_id for row in await other.offsets.load_all()}
        await other.close()
        await keeper.close()

    asyncio.run(main())


def test_a_catalog_that_cannot_be_read_is_named_and_the_gate_is_closed(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"no database, but long enough to look like one" * 100)
    with pytest.raises(Exception, match=r"catalog\.db"):
        asyncio.run(Catalog.open(str(tmp_path), is_shared=True))


def test_the_gate_lets_one_in_and_wakes_the_next(tmp_path: Path) -> None:
    first, second = (Gate(str(tmp_path / "gate")) for _ in range(2))
    inside = threading.Event()

    def follow() -> None:
        with second:
            inside.set()

    thread = threading.Thread(target=follow)
    with first:
        thread.start()
        assert not inside.wait(0.1)
    let_go_s = time.monotonic()
    assert inside.wait(5)
    assert time.monotonic() - let_go_s < 1
    thread.join()
    first.close()
    second.close()
