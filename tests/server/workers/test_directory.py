"""The data directory of several workers, and who else looks into it."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.cluster.links import socket_path
from headrace.broker.cluster.ownership import WORKERS_MAX
from headrace.log.store import DataDirectoryInUse
from headrace.server.offline import DataDirectory
from headrace.server.workers.directory import DirectoryError, SharedDirectory, _make_links_dir


def filled(path: Path) -> Path:
    """A directory with topic `t` of two partitions, as one process leaves it."""

    async def fill() -> None:
        broker = await Broker.open(BrokerOptions(str(path)))
        await broker.topics.create("t", 2)
        await broker.close()

    asyncio.run(fill())
    return path


def shared(path: Path, body: Any = None, workers: int = 3) -> Any:
    async def run() -> Any:
        async with await SharedDirectory.open(str(path), workers) as directory:
            return body(directory) if body else None

    return asyncio.run(run())


def test_each_worker_has_a_place_of_its_own_and_nobody_else_may_come_in(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")

    def look(directory: SharedDirectory) -> str:
        assert [Path(own).name for own in directory.own_dirs] == ["0", "1", "2"]
        assert all((Path(own) / "headrace.clean").exists() for own in directory.own_dirs)
        assert os.stat(directory.links_dir).st_mode & 0o777 == 0o700
        with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()}"):
            DataDirectory(str(path))
        return directory.links_dir

    links_dir = shared(path, look)
    assert not os.path.exists(links_dir)
    assert not (path / "workers").exists()
    assert (path / "headrace.clean").exists()


def test_what_workers_left_when_they_were_killed_can_be_looked_at(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")
    for own in ("0", "1"):
        (path / "workers" / own).mkdir(parents=True)
    with DataDirectory(str(path)) as directory:
        places = list(directory.partitions())
        assert [place.label for place in places] == ["t/0", "t/1"]
        assert not any(directory.inspect(place).damages for place in places)
    assert not (path / "workers").exists()
    assert not (path / "headrace.clean").exists()


def test_leftovers_of_topics_are_removed_before_any_worker_starts(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")
    unborn, half_gone = "1" * 32, f"{'2' * 32}.deleted"
    for name in (unborn, half_gone):
        (path / "topics" / name / "0").mkdir(parents=True)
    shared(path)
    assert len(list((path / "topics").iterdir())) == 1


def test_records_without_a_catalog_are_not_begun_anew(tmp_path: Path) -> None:
    path = filled(tmp_path / "data")
    (topic,) = (path / "topics").iterdir()
    (topic / "0" / f"{0:020}.log").write_bytes(b"records")
    (path / "catalog.db").unlink()
    with pytest.raises(DirectoryError, match="no catalog"):
        shared(path)
    assert not (path / "workers").exists()


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryError, match="file cannot be used"):
        shared(tmp_path / "file")


@pytest.mark.parametrize("letter", ["d", "ä"])
def test_sockets_have_paths_that_a_system_takes(
    letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", "{dir}/{prefix}12345678".format)
    for length in (40, 60, 80, 82, 88, 90, 120):
        monkeypatch.setattr(tempfile, "tempdir", "/" + letter * (length - 1))
        longest = socket_path(_make_links_dir(), WORKERS_MAX - 1)
        assert len(os.fsencode(longest)) <= 103
