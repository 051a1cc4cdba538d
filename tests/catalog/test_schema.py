import asyncio
import re
import sqlite3
from pathlib import Path

import pytest

from headrace.catalog.catalog import Catalog
from headrace.catalog.schema import MIGRATIONS, CatalogError


def _edit(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    path.with_name("catalog.db-seal").unlink(missing_ok=True)


async def _open_and_close(directory: Path) -> str:
    catalog = await Catalog.open(str(directory))
    await catalog.close()
    return catalog.cluster_id


def _refusal(directory: Path) -> str:
    with pytest.raises(CatalogError) as caught:
        asyncio.run(_open_and_close(directory))
    assert str(directory / "catalog.db") in str(caught.value)
    return str(caught.value)


def test_cluster_id_has_kafkas_form_and_survives(tmp_path: Path):
    cluster_id = asyncio.run(_open_and_close(tmp_path))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", cluster_id)
    assert asyncio.run(_open_and_close(tmp_path)) == cluster_id


def test_a_newer_catalog_is_refused(tmp_path: Path):
    asyncio.run(_open_and_close(tmp_path))
    _edit(tmp_path / "catalog.db", f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    assert "newer Headrace" in _refusal(tmp_path)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "catalog.db").write_bytes(b"these are my holiday photos" * 100)
    assert "not a database" in _refusal(tmp_path)
    assert (tmp_path / "catalog.db").read_bytes().startswith(b"these are")


def test_a_database_of_another_program_is_refused(tmp_path: Path):
    _edit(tmp_path / "catalog.db", "CREATE TABLE photos (name TEXT)")
    assert "another program" in _refusal(tmp_path)


def test_a_damaged_catalog_is_refused(tmp_path: Path):
    async def fill() -> None:
        catalog = await Catalog.open(str(tmp_path))
        rows = [(f"topic-{i}", 0, i, -1, "m" * 50) for i in range(2000)]
        await catalog.offsets.commit("group", rows, 1)
        await catalog.close()

    asyncio.run(fill())
    path = tmp_path / "catalog.db"
    image = bytearray(path.read_bytes())
    for page in range(8, len(image) // 4096, 3):
        image[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(image)
    assert "changed since it was closed" in _refusal(tmp_path)
    (tmp_path / "catalog.db-seal").unlink()
    assert "damaged" in _refusal(tmp_path) or "malformed" in _refusal(tmp_path)


def test_a_directory_that_does_not_exist_is_named(tmp_path: Path):
    assert "No such file or directory" in _refusal(tmp_path / "nowhere")


def test_every_table_is_strict(tmp_path: Path):
    asyncio.run(_open_and_close(tmp_path))
    db = sqlite3.connect(tmp_path / "catalog.db")
    tables = db.execute("SELECT name, strict FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%'")
    assert all(strict for _, strict in tables.fetchall())
    db.close()
