import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from headrace.catalog import writer as writer_module
from headrace.catalog.catalog import Catalog
from headrace.wire.errors import ErrorCode, RequestError


def _insert(name: str, value: str = "v") -> Any:
    return lambda db: db.execute("INSERT INTO meta VALUES (?, ?)", (name, value))


def _names(db: sqlite3.Connection) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM meta WHERE name <> 'cluster_id'")]


async def _gather(catalog: Catalog, *changes: Any) -> list[Any]:
    runs = (catalog._writer.run(change) for change in changes)
    return await asyncio.gather(*runs, return_exceptions=True)


def test_waiting_changes_share_commits(with_catalog):
    commits = []

    async def body(catalog: Catalog) -> None:
        await catalog._writer.run(
            lambda db: db.set_trace_callback(lambda sql: commits.append(sql == "COMMIT"))
        )
        await _gather(catalog, *(_insert(f"n{i}") for i in range(1000)))
        assert len(await catalog._writer.run(_names)) == 1000

    with_catalog(body)
    assert sum(commits) < 100


def test_more_changes_than_may_wait_are_all_applied(with_catalog, monkeypatch):
    monkeypatch.setattr(writer_module, "WAITING_CHANGES_MAX", 8)

    async def body(catalog: Catalog) -> None:
        await _gather(catalog, *(_insert(f"n{i}") for i in range(100)))
        assert catalog._writer._worker._queue.empty()
        assert len(await catalog._writer.run(_names)) == 100

    with_catalog(body)


def test_changes_are_applied_in_the_order_they_were_handed_in(with_catalog):
    async def body(catalog: Catalog) -> None:
        seen: list[int] = []
        await _gather(catalog, *(lambda db, i=i: seen.append(i) for i in range(500)))
        assert seen == list(range(500))

    with_catalog(body)


def test_a_failing_change_leaves_its_neighbours_and_no_trace(with_catalog):
    def half_done(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO meta VALUES ('half', 'v')")
        raise ValueError("changed my mind")

    async def body(catalog: Catalog) -> None:
        results = await _gather(
            catalog, _insert("a"), half_done, _insert("a"), _insert("b"), lambda db: 1 // 0
        )
        assert [type(r).__name__ for r in results] == [
            "Cursor",
            "ValueError",
            "IntegrityError",
            "Cursor",
            "ZeroDivisionError",
        ]
        assert await catalog._writer.run(_names) == ["a", "b"]

    with_catalog(body)


def test_a_cancelled_caller_does_not_disturb_the_others(with_catalog):
    async def body(catalog: Catalog) -> None:
        runs = [asyncio.ensure_future(catalog._writer.run(_insert(f"n{i}"))) for i in range(3)]
        await asyncio.sleep(0)
        runs[1].cancel()
        results = await asyncio.gather(*runs, return_exceptions=True)
        assert isinstance(results[1], asyncio.CancelledError)
        assert {"n0", "n2"} <= set(await catalog._writer.run(_names))

    with_catalog(body)


def test_a_full_disk_refuses_and_the_next_change_works_when_space_returns(with_catalog):
    def shrink(db: sqlite3.Connection) -> None:
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")

    async def body(catalog: Catalog) -> None:
        await catalog._writer.run(shrink)
        big = "x" * 1_000_000
        for result in await _gather(catalog, _insert("big", big), _insert("small")):
            assert isinstance(result, RequestError)
            assert result.code == ErrorCode.KAFKA_STORAGE_ERROR
            assert "full" in result.message
        await catalog._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        await catalog._writer.run(_insert("big", big))
        assert await catalog._writer.run(_names) == ["big"]

    with_catalog(body)


def test_what_only_reads_is_answered_though_its_neighbours_find_the_disk_full(with_catalog):
    def fails(db: sqlite3.Connection) -> None:
        _insert("lost")(db)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    async def body(catalog: Catalog) -> None:
        await catalog._writer.run(_insert("kept"))
        before, failed, after, other = await _gather(catalog, _names, fails, _names, _insert("x"))
        assert before == after == ["kept"]
        for refused in (failed, other):
            assert isinstance(refused, RequestError)
            assert "full" in refused.message
        await catalog._writer.run(_insert("later"))
        assert await catalog._writer.run(_names) == ["kept", "later"]

    with_catalog(body)


def test_a_failed_fsync_refuses_every_later_change(with_catalog):
    def fsync_fails(db: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    async def body(catalog: Catalog) -> None:
        for change in (fsync_fails, _insert("later")):
            with pytest.raises(RequestError, match="disk I/O error") as caught:
                await catalog._writer.run(change)
            assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
        assert "restart" in caught.value.message

    with_catalog(body)
    with_catalog(lambda catalog: catalog._writer.run(_insert("after the restart")))


def test_a_closed_catalog_refuses_and_may_be_closed_again(tmp_path: Path):
    async def body() -> None:
        catalog = await Catalog.open(str(tmp_path))
        running = asyncio.ensure_future(catalog._writer.run(_insert("last")))
        await asyncio.sleep(0)
        await catalog.close()
        await running
        await catalog.close()
        with pytest.raises(RequestError):
            await catalog._writer.run(_insert("too late"))

    asyncio.run(body())
    with sqlite3.connect(tmp_path / "catalog.db") as db:
        assert _names(db) == ["last"]
    db.close()


def test_commits_are_synced_in_wal_mode(with_catalog):
    async def body(catalog: Catalog) -> list[Any]:
        pragmas = ("journal_mode", "synchronous", "foreign_keys")
        return await catalog._writer.run(
            lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
        )

    assert with_catalog(body) == ["wal", 2, 1]


def test_every_commit_is_reported_with_how_many_shared_it(tmp_path):
    reports = []

    async def body() -> None:
        catalog = await Catalog.open(str(tmp_path), lambda *report: reports.append(report))
        await _gather(catalog, *(_insert(f"n{i}") for i in range(100)))
        await catalog.probe()
        await catalog.close()

    asyncio.run(body())
    assert sum(changes for _, changes, _ in reports) == 102
    assert all(seconds > 0 and not is_failed for seconds, _, is_failed in reports)
