"""The lab of the log's tests: data directories, batches, and a disk that fails on demand."""

import asyncio
import errno
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.log import disk as log_disk
from headrace.log.contract import ACKS_ALL, Appended, LogConfig
from headrace.log.local import LocalLog
from headrace.log.reading import read_slice
from headrace.log.store import LogStore
from headrace.wire.batch import crc_matches, peek
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.records import Record, build_batch

TOPIC = UUID(int=7)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Lab:
    """A data directory, and what tests do with the log of its partition 0."""

    topic = TOPIC

    def __init__(self, path: Path, durability: str = "fsync") -> None:
        self.path = path
        self.durability = durability
        self.config = LogConfig(index_interval_bytes=512)
        self.clock: Callable[[], int] = now_ms

    @property
    def partition_path(self) -> Path:
        return self.path / "topics" / TOPIC.hex / "0"

    def segment_paths(self) -> list[Path]:
        return sorted(self.partition_path.glob("*.log"))

    def store(self, durability: str | None = None) -> LogStore:
        return LogStore.open(
            str(self.path),
            durability=durability or self.durability,
            loop=asyncio.get_running_loop(),
            now_ms=self.clock,
        )

    def run(self, scenario: Callable[[LocalLog], Awaitable[Any]], **config: Any) -> Any:
        """Open the store and its log, run the scenario, close cleanly."""
        for name, value in config.items():
            setattr(self.config, name, value)

        async def main() -> Any:
            store = self.store()
            try:
                return await scenario(await store.open_log(TOPIC, 0, self.config))
            finally:
                await store.close()

        return asyncio.run(main())

    async def crash_image(self, log: LocalLog, path: Path) -> "Lab":
        """A copy of the directory as it is now: what a killed process leaves behind. Taken
        between checkpoints, since a copy is not made in one moment."""
        async with log.upkeep:
            shutil.copytree(self.path, path)
        image = Lab(path, self.durability)
        image.config = self.config
        return image

    @staticmethod
    def batch(
        *values: bytes,
        producer: tuple[int, int, int] = (-1, -1, -1),
        timestamp_ms: int = 1_000,
        **more: Any,
    ) -> bytearray:
        records = [Record(timestamp_ms=timestamp_ms, value=value) for value in values or (b"v",)]
        producer_id, epoch, sequence = producer
        return bytearray(
            build_batch(
                records,
                producer_id=producer_id,
                producer_epoch=epoch,
                base_sequence=sequence,
                **more,
            )
        )

    @staticmethod
    def put_soon(log: Any, batch: bytearray, acks: int = ACKS_ALL) -> "asyncio.Future[Any]":
        """The outcome of an append: Appended or RequestError."""
        future = asyncio.get_running_loop().create_future()
        log.append(memoryview(batch), acks, future.set_result)
        return future

    @classmethod
    async def put(cls, log: Any, batch: bytearray, acks: int = ACKS_ALL) -> Appended:
        outcome = await cls.put_soon(log, batch, acks)
        if isinstance(outcome, RequestError):
            raise outcome
        return outcome

    @staticmethod
    async def read_bytes(log: Any, offset: int, size_bytes_max: int = 1 << 20) -> bytes:
        piece = await log.read(offset, size_bytes_max, at_least_one=True)
        try:
            return read_slice(piece) if piece.size_bytes else b""
        finally:
            piece.release()

    @classmethod
    async def batches(cls, log: Any, size_bytes_max: int = 1 << 20) -> list[bytes]:
        """Every batch from the start to the high watermark, each checked."""
        offset, _, high_watermark, _ = log.offsets()
        found = []
        while offset < high_watermark:
            data = await cls.read_bytes(log, offset, size_bytes_max)
            assert data, f"nothing to read at {offset} below {high_watermark}"
            for batch in cls.split(data):
                found.append(batch)
                offset = peek(batch).next_offset
        return found

    @staticmethod
    def split(data: bytes) -> list[bytes]:
        """The whole batches in a fetched range; anything else in it is an error."""
        found = []
        while data:
            header = peek(data)
            batch, data = data[: header.size_bytes], data[header.size_bytes :]
            assert len(batch) == header.size_bytes
            assert crc_matches(batch, header)
            found.append(batch)
        return found


class FaultyDisk:
    """Counts calls of one kind of `headrace.log.disk` and lets chosen ones fail."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def fail(
        self, name: str, *, nth: int = 1, times: int = 1 << 30, error: int = errno.ENOSPC
    ) -> "Fault":
        """From its `nth` call on, `times` calls of `disk.<name>` raise `error`."""
        fault = Fault(getattr(log_disk, name), nth, times, error)
        self._patch.setattr(log_disk, name, fault)
        return fault

    def heal(self) -> None:
        self._patch.undo()


class Fault:
    def __init__(self, real: Callable[..., Any], nth: int, times: int, error: int) -> None:
        self._real = real
        self._failing = range(nth, nth + times)
        self._error = error
        self.calls = 0
        self.partial_bytes = 0
        """What a failing write still writes."""

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls not in self._failing:
            return self._real(*arguments)
        if self.partial_bytes:
            fd, data, position = arguments
            self._real(fd, data[: self.partial_bytes], position)
        raise OSError(self._error, os.strerror(self._error))

    @property
    def was_met(self) -> bool:
        return self.calls >= self._failing.start


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "data")


@pytest.fixture(scope="session")
def lab_class() -> type[Lab]:
    """For tests that make labs of their own."""
    return Lab


@pytest.fixture(params=["fsync", "os"])
def any_lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    """Under either durability policy."""
    return Lab(tmp_path / "data", request.param)


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    with pytest.MonkeyPatch.context() as patch:
        yield FaultyDisk(patch)


@pytest.fixture
def refused() -> Callable[[ErrorCode], Any]:
    """`with refused(code):` the block must raise RequestError with that code."""

    class Refused:
        def __init__(self, code: ErrorCode) -> None:
            self._code = code
            self.message = ""

        def __enter__(self) -> "Refused":
            return self

        def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
            assert isinstance(error, RequestError), f"{self._code.name} expected, not {error!r}"
            assert error.code is self._code, error
            self.message = error.message
            return True

    return Refused
