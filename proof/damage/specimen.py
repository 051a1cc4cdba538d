"""A partition that fits in two pages and has something of everything, as it is left behind.

Three segments; batches plain and compressed, of an idempotent producer, of a transaction that was
aborted and one that is open; a checkpoint in the middle. `killed` is a copy of the files while the
log was open, `closed` what a clean end leaves.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Final
from uuid import UUID

from headrace.log.contract import ACKS_ALL, LogConfig, PartitionLog
from headrace.log.local import LocalLog
from headrace.log.store import LogStore
from headrace.wire.compression import Codec
from headrace.wire.errors import RequestError
from headrace.wire.markers import Marker
from headrace.wire.records import Record, build_batch

__all__ = ["CONFIG", "NOW_MS", "TOPIC", "Specimen", "make", "open_store"]

TOPIC: Final = UUID(int=7)
NOW_MS: Final = 1_700_000_000_000
CONFIG: Final = LogConfig(
    segment_bytes=450, index_interval_bytes=128, timestamp_after_max_ms=1 << 60
)
WRITER: Final = 7
MOVER: Final = 9


class Specimen:
    """The files of one state, in memory: path in the data directory -> bytes."""

    def __init__(self, directory: Path) -> None:
        self.files = {
            str(path.relative_to(directory)): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }

    def put(self, directory: Path) -> None:
        """Make `directory` hold these files and no others."""
        shutil.rmtree(directory, ignore_errors=True)
        for name, data in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def swept(self) -> dict[str, bytes]:
        """The files that say something: the others are empty, or hold a process id."""
        return {name: data for name, data in self.files.items() if data and "lock" not in name}


def open_store(directory: Path) -> LogStore:
    return LogStore.open(
        str(directory),
        durability="fsync",
        loop=asyncio.get_running_loop(),
        now_ms=lambda: NOW_MS,
    )


async def make(directory: Path, topic: UUID = TOPIC, salt: str = "") -> dict[str, Specimen]:
    """The specimens `killed` and `closed`; `directory` is left as the latter."""
    copy = directory.with_name(directory.name + "-copy")
    store = open_store(directory)
    log = await store.open_log(topic, 0, CONFIG)
    for number in range(4):
        await _append(log, _batch(f"{salt}early {number}", producer=(WRITER, 0, number)))
    await _append(log, _batch(f"{salt}zipped {'z' * 60}", codec=Codec.GZIP))
    for number in range(2):
        await _append(
            log, _batch(f"{salt}taken back {number}", producer=(MOVER, 0, number), tx=True)
        )
    await _end(log, Marker(MOVER, 0, False, 0))
    for number in range(4, 7):
        await _append(log, _batch(f"{salt}later {number}", producer=(WRITER, 0, number)))
    await _append(log, _batch(f"{salt}undecided", producer=(MOVER, 0, 2), tx=True))
    for number in range(7, 9):
        await _append(log, _batch(f"{salt}last {number}", producer=(WRITER, 0, number)))
    shutil.rmtree(copy, ignore_errors=True)
    assert isinstance(log, LocalLog)
    async with log.upkeep:  # no checkpoint: not of these, and not while files are copied
        for number in range(9, 11):
            await _append(log, _batch(f"{salt}unchecked {number}", producer=(WRITER, 0, number)))
        shutil.copytree(directory, copy)
    await store.close()
    made = {"killed": Specimen(copy), "closed": Specimen(directory)}
    shutil.rmtree(copy)
    return made


def _batch(
    value: str,
    producer: tuple[int, int, int] = (-1, -1, -1),
    codec: Codec = Codec.NONE,
    *,
    tx: bool = False,
) -> bytearray:
    records = [
        Record(timestamp_ms=NOW_MS, key=b"k", value=value.encode()),
        Record(timestamp_ms=NOW_MS + 1, value=b"more"),
    ]
    producer_id, epoch, sequence = producer
    batch = build_batch(
        records,
        codec=codec,
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence * 2 if sequence >= 0 else -1,
        transactional=tx,
    )
    return bytearray(batch)


async def _append(log: PartitionLog, batch: bytearray) -> None:
    done = asyncio.get_running_loop().create_future()
    log.append(memoryview(batch), ACKS_ALL, done.set_result)
    outcome = await done
    if isinstance(outcome, RequestError):
        raise outcome


async def _end(log: PartitionLog, marker: Marker) -> None:
    done = asyncio.get_running_loop().create_future()
    log.append_marker(marker, done.set_result)
    await done
