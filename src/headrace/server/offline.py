"""A data directory that no broker holds: its partitions by name, what is in them, cutting damage.

Takes the broker's lock for as long as it is open, so neither can disturb the other. What must not
enter: printing, asking.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from headrace.catalog.offline import known_topics
from headrace.catalog.schema import CatalogError
from headrace.log import disk
from headrace.log.checkpoint import CHECKPOINT_NAME, Checkpoint
from headrace.log.inspecting import (
    Damage,
    PartitionFiles,
    PartitionReport,
    inspect,
    read_batches,
)
from headrace.log.marks import Marks
from headrace.log.repairing import cut, remove_indexes
from headrace.log.settling import settle
from headrace.log.store import TOPICS_NAME, DataDirectoryInUse, lock_directory
from headrace.log.swap import finish_interrupted
from headrace.wire.batch import BatchHeader

__all__ = [
    "CatalogError",
    "Damage",
    "DataDirectory",
    "DataDirectoryInUse",
    "NotADataDirectory",
    "PartitionPlace",
    "PartitionReport",
]

LOST_NAME: Final = "lost+found"

_ID: Final = re.compile("[0-9a-f]{32}")


class NotADataDirectory(Exception):
    """Nothing of ours is there."""


class PartitionPlace(NamedTuple):
    topic: str
    """Its name; its id (32 hex digits) where the catalog does not know it."""
    topic_id: UUID
    partition: int
    directory: str

    @property
    def label(self) -> str:
        return f"{self.topic}/{self.partition}"


class DataDirectory:
    """A context manager. All of it blocks on the disk."""

    def __init__(self, path: str) -> None:
        """Raises NotADataDirectory, DataDirectoryInUse, OSError."""
        self.path = os.path.abspath(path)
        self.notes: list[str] = []
        self._topics = os.path.join(self.path, TOPICS_NAME)
        if not os.path.isdir(self._topics):
            raise NotADataDirectory(f"{path} is no data directory: it has no {TOPICS_NAME}")
        with ExitStack() as undo:
            undo.callback(disk.release, lock_directory(self.path))
            settle(self.path)
            self._marks = Marks(self.path)
            undo.callback(self._marks.close)
            self._names = self._read_names()
            self._open = undo.pop_all()

    def __enter__(self) -> "DataDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def partitions(self, wanted: Sequence[str] = ()) -> list[PartitionPlace]:
        """Those that the catalog or the disk knows; `wanted` are names or ids of topics, or such
        with `/PARTITION`. Raises KeyError for what is not there."""
        found = sorted(self._all())
        if not wanted:
            return found
        chosen = []
        for name in wanted:
            named = [
                place
                for place in found
                if name in (place.topic, place.label, place.topic_id.hex)
                or name == f"{place.topic_id.hex}/{place.partition}"
            ]
            if not named:
                raise KeyError(name)
            chosen += named
        return list(dict.fromkeys(chosen))

    def inspect(self, place: PartitionPlace) -> PartitionReport:
        """Raises OSError."""
        if not os.path.isdir(place.directory):
            missing = Damage(place.directory, 0, 0, 0, None, "the directory is missing", False)
            return PartitionReport(place.directory, damages=[missing])
        return inspect(place.directory, self._marks.of(place.topic_id, place.partition).found)

    def batches(self, place: PartitionPlace) -> Iterator[tuple[str, BatchHeader, int, bytes]]:
        """(file, header, position, bytes) of the batches of every segment, each up to the first
        bytes that are none. Raises OSError."""
        files = PartitionFiles(place.directory)
        for base, path in sorted(files.paths.items()):
            for header, position, batch in read_batches(path, base):
                yield path, header, position, batch

    def make_ready(self, place: PartitionPlace) -> None:
        """Finish a compaction that a crash interrupted, as a start would. Raises OSError."""
        try:
            with open(os.path.join(place.directory, CHECKPOINT_NAME), "rb") as file:
                checkpoint = Checkpoint.decode(file.read())
        except (FileNotFoundError, ValueError):
            checkpoint = Checkpoint()
        finish_interrupted(place.directory, checkpoint)

    def cut(self, place: PartitionPlace, report: PartitionReport, damages: Sequence[Damage]) -> str:
        """Cut `damages` of the partition; returns where copies of the bytes are. Raises OSError."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        name = f"{place.topic_id.hex}-{place.partition}-{damages[0].first_offset}-{now}"
        copies = os.path.join(self.path, LOST_NAME, name)
        self._marks.of(place.topic_id, place.partition).set(0, 0)
        cut(report, damages, copies)
        return copies

    def remove_indexes(self, report: PartitionReport) -> None:
        """Remove those that are wrong. Raises OSError."""
        remove_indexes(report)

    def _read_names(self) -> dict[UUID, tuple[str, int]]:
        try:
            topics = known_topics(self.path)
        except CatalogError as error:
            self.notes.append(f"topics are shown by their ids: {error}")
            return {}
        return {topic.id: (topic.name, topic.partition_count) for topic in topics}

    def _all(self) -> Iterator[PartitionPlace]:
        on_disk = {UUID(hex=name) for name in os.listdir(self._topics) if _ID.fullmatch(name)}
        for topic_id in on_disk | self._names.keys():
            name, count = self._names.get(topic_id, (topic_id.hex, 0))
            directory = os.path.join(self._topics, topic_id.hex)
            partitions = set(range(count))
            if topic_id in on_disk:
                partitions |= {int(entry) for entry in os.listdir(directory) if entry.isdigit()}
            for partition in partitions:
                place = os.path.join(directory, str(partition))
                yield PartitionPlace(name, topic_id, partition, place)
