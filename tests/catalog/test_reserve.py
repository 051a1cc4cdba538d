"""The catalog starts on a full disk with the room that it kept, or says how much it lacks."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.catalog.catalog import Catalog
from headrace.catalog.reserve import MAPPED_BYTES, RESERVE_BYTES
from headrace.catalog.schema import CatalogError

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="cannot be done here")


def disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_room_is_kept_while_the_catalog_is_open_and_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        catalog = await Catalog.open(str(tmp_path))
        assert disk_bytes(tmp_path / "catalog.db-shm") >= MAPPED_BYTES
        assert disk_bytes(tmp_path / "catalog.db-reserve") >= RESERVE_BYTES
        await catalog.close()
        assert disk_bytes(tmp_path / "catalog.db-reserve") >= RESERVE_BYTES

    asyncio.run(scenario())
    asyncio.run(scenario())


def test_another_process_may_read_the_catalog_while_it_is_open(tmp_path: Path) -> None:
    read = "import sqlite3, sys; sqlite3.connect(sys.argv[1], uri=True).execute(sys.argv[2])"
    uri = f"file:{tmp_path}/catalog.db?mode=ro"

    async def scenario() -> None:
        catalog = await Catalog.open(str(tmp_path))
        subprocess.run([sys.executable, "-c", read, uri, "SELECT * FROM topics"], check=True)
        # Truncated under the catalog's map of it, the next change would be a SIGBUS.
        assert (tmp_path / "catalog.db-shm").stat().st_size >= MAPPED_BYTES
        await catalog.close()

    asyncio.run(scenario())


def test_a_start_without_the_room_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def scenario() -> None:
        with pytest.raises(CatalogError, match=f"disk is full, {RESERVE_BYTES} free bytes"):
            await Catalog.open(str(tmp_path))

    monkeypatch.setattr(os, "posix_fallocate", full)
    asyncio.run(scenario())
    assert not (tmp_path / "catalog.db").exists()
