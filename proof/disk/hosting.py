"""A store on the disk that is mounted, its partitions with their models, and its restarts.

Every answer is held against the model as it comes: what is acknowledged must be on the disk at
that moment, in the worst of all power cuts. An error is allowed only where `is_troubled` says that
a fault was injected. What must not enter: what is done with the partitions (`life`).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal
from uuid import UUID

from headrace.log import cleaning, resources, scanning, upkeep, volume
from headrace.log.contract import ACKS_ALL, Appended, LogConfig
from headrace.log.local import LocalLog
from headrace.log.store import LogStore
from headrace.testing.disk import FaultDisk
from headrace.testing.disk.inodes import Directory, File, Node
from headrace.wire.errors import ErrorCode, RequestError
from proof.disk.judge import Broken, judge, read_all
from proof.disk.model import Entry, Expected, Partition

__all__ = ["DIRECTORY", "Host", "Hosted", "small_numbers"]

DIRECTORY: Final = "/srv/headrace/data"
BEGIN_MS: Final = 1_800_000_000_000
STORAGE_ERRORS: Final = (
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ErrorCode.CORRUPT_MESSAGE,
)
OPENS_MAX: Final = 20
"""Starts in a row that may fail because of faults."""

_SMALL: Final = (
    (upkeep, "CHECKPOINT_BYTES", 3000),
    (cleaning, "WRITE_BYTES", 1024),
    (cleaning, "SYNC_BYTES", 1500),
    (resources, "SEALED_OPEN_MAX", 2),
    (volume, "LOGS_MIN", 2),
    (volume, "SLOW_S", 1e9),  # the time that a sync takes decides nothing
    (scanning, "SCAN_BYTES", 4096),
)


@contextmanager
def small_numbers() -> Iterator[None]:
    """Bounds so small that a short life meets them."""
    before = [getattr(module, name) for module, name, _ in _SMALL]
    for module, name, value in _SMALL:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(_SMALL, before, strict=True):
            setattr(module, name, value)


class Hosted:
    """One partition: its log while it is open, its model, and what producers go by."""

    def __init__(self, model: Partition, topic: UUID, config: LogConfig) -> None:
        self.model = model
        self.topic = topic
        self.config = config
        self.log: LocalLog | None = None
        self.now = Expected()
        """What follows from everything that was appended."""

    @property
    def directory(self) -> str:
        return f"{DIRECTORY}/topics/{self.topic.hex}/{self.model.number}"

    def appended(self, entry: Entry) -> None:
        self.model.entries.append(entry)
        self.now.take(entry)


class Host:
    """Made anew for every disk; `partitions` may be another host's, to go on with."""

    def __init__(
        self,
        disk: FaultDisk,
        durability: Literal["fsync", "os"],
        partitions: list[Hosted],
        is_troubled: Callable[[], bool],
    ) -> None:
        self.disk = disk
        self.durability = durability
        self.partitions = partitions
        self.is_troubled = is_troubled
        self.now_ms = BEGIN_MS
        self.store: LogStore | None = None
        self.trusts_syncs = True
        """Whether what the disk called synced is."""
        self.is_closing = False
        self.refused = 0
        """Answers that a fault made errors."""
        self.lost: list[tuple[Hosted, Entry]] = []
        """What the last start did not find."""

    # Starts and ends

    async def open(self) -> None:
        """Start until it succeeds, judge what is found. Raises Broken, CorruptLogError."""
        for _ in range(OPENS_MAX):
            try:
                await self._open()
                return
            except OSError as error:
                self.tolerate(error)
                await self.close()
        raise Broken("the store does not open any more")

    async def _open(self) -> None:
        self.store = LogStore.open(
            DIRECTORY,
            durability=self.durability,
            loop=asyncio.get_running_loop(),
            now_ms=lambda: self.now_ms,
        )
        self.lost = []
        for hosted in self.partitions:
            await self._open_log(hosted)
        for topic in {hosted.topic for hosted in self.partitions if not hosted.model.exists}:
            await self.store.sync_topic(topic)
        for hosted in self.partitions:
            hosted.model.exists = True

    async def _open_log(self, hosted: Hosted) -> None:
        assert self.store is not None
        model = hosted.model
        log = await self.store.open_log(
            hosted.topic, model.number, hosted.config, must_exist=model.exists
        )
        assert isinstance(log, LocalLog)
        try:
            start, end = await judge(log, model)
        except RequestError as error:  # a read failed, or the log is offline already
            self.tolerate(error)
            raise OSError(str(error)) from error
        self.lost += [(hosted, entry) for entry in model.settle(start, end)]
        hosted.log = log
        hosted.now = model.expected(end)

    async def close(self) -> None:
        """End as a process does that ends well, or as well as it can. Raises Broken."""
        for hosted in self.partitions:
            hosted.log = None
        store, self.store = self.store, None
        if store is not None:
            self.is_closing = True
            try:
                await store.close()
            except (OSError, RequestError) as error:
                self.tolerate(error)
            finally:
                self.is_closing = False
        if self.disk.open_paths:
            raise Broken(f"left open: {self.disk.open_paths}")

    # Answers

    def tolerate(self, error: BaseException) -> None:
        """An error that a fault may have caused; any other is a broken promise."""
        self.refused += 1
        is_storage = not isinstance(error, RequestError) or (error.code in STORAGE_ERRORS)
        if not (is_storage and (self.is_closing or self.is_troubled())):
            raise Broken(f"an error without a fault: {error!r}") from error

    def answered(
        self, hosted: Hosted, entry: Entry, acks: int, outcome: Appended | RequestError
    ) -> None:
        """The log's answer to an append."""
        if isinstance(outcome, RequestError):
            self.tolerate(outcome)
            return
        if outcome.base_offset != entry.base:
            raise Broken(f"acknowledged at {outcome.base_offset}, appended at {entry.base}")
        if acks == ACKS_ALL or self.durability == "os":
            hosted.model.kept_to = max(hosted.model.kept_to, entry.end)
        if acks == ACKS_ALL:
            self._demand_durable(hosted, entry)

    async def look(self, hosted: Hosted) -> None:
        """Read everything; what was seen once must stay. Raises Broken."""
        log, model = hosted.log, hosted.model
        assert log is not None
        try:
            high_watermark = log.offsets().high_watermark
            batches = await read_all(log, model)
        except (OSError, RequestError) as error:
            is_gone = isinstance(error, RequestError) and (
                error.code is ErrorCode.OFFSET_OUT_OF_RANGE  # deleted just now
            )
            if not is_gone:
                self.tolerate(error)
            return
        by_base = {entry.base: entry for entry in model.entries}
        for header, batch in batches:
            if not model.is_compacted:
                entry = by_base.get(header.base_offset)
                if entry is None or entry.data != batch:
                    raise Broken(f"read at {header.base_offset} what was never appended there")
                self._demand_durable(hosted, entry)
        model.kept_to = max(model.kept_to, high_watermark)

    def _demand_durable(self, hosted: Hosted, entry: Entry) -> None:
        """The batch would be there after any power cut."""
        log = hosted.log
        if self.durability == "os" or hosted.model.is_compacted or log is None:
            return
        if not self.trusts_syncs:
            return
        if log.failed or log.start_offset > entry.base:
            return
        files = durable_files(self.disk, hosted.directory)
        bases = [name for name in files if name.endswith(".log") and int(name[:20]) <= entry.base]
        if not bases or entry.data not in bytes(files[max(bases)].durable):
            raise Broken(f"acknowledged or read, and not on the disk: {entry.base}")


def durable_files(disk: FaultDisk, directory: str) -> dict[str, File]:
    """The files that a power cut could not take from the directory."""
    node: Node | None = disk.node("/")
    for name in directory.split("/"):
        if name:
            node = node.durable.get(name) if isinstance(node, Directory) else None
    if not isinstance(node, Directory):
        return {}
    return {name: file for name, file in node.durable.items() if isinstance(file, File)}
