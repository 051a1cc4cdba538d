"""Cutting what is damaged out of a partition that nobody has open.

The bytes that are cut are copied first, and the copy is durable before anything changes. In place
of the offsets that are lost come holes (`wire.filtering`), so what is undamaged keeps its offsets
and the log has no gap; where nothing follows the log ends earlier. The checkpoint that is left
lists no segment and no producer, only the log's start: the next start reads everything and checks
it. A crash in between leaves a log that is still damaged, and can be cut again.

What must not enter: what is damaged (`inspecting`), who allows it.
"""

import json
import os
from collections.abc import Sequence
from typing import Final

from headrace.log import disk
from headrace.log.checkpoint import CHECKPOINT_NAME, Checkpoint, remove_if_there, write_durably
from headrace.log.inspecting import Damage, PartitionReport, Run
from headrace.log.segment import Segment
from headrace.log.swap import CLEANED_SUFFIX
from headrace.wire.filtering import hole

__all__ = ["cut", "remove_indexes"]

COPY_BYTES: Final = 1024 * 1024


def cut(report: PartitionReport, damages: Sequence[Damage], copies: str) -> None:
    """Cut `damages`, which are all of their segments', out of the partition of `report`; what is
    cut is copied to the new directory `copies`. Raises OSError."""
    _copy(damages, copies)
    start = report.start_offset
    empty = Checkpoint(log_start_offset=start, recovery_offset=start)
    write_durably(os.path.join(report.directory, CHECKPOINT_NAME), empty.encode())
    for path in dict.fromkeys(damage.path for damage in damages):
        of_path = [damage for damage in damages if damage.path == path]
        _rewrite(path, report.runs[path], of_path)
    disk.fsync_directory(report.directory)


def remove_indexes(report: PartitionReport) -> None:
    """Remove the indexes that are wrong; a start makes them anew. Raises OSError."""
    for path in report.bad_indexes:
        remove_if_there(path)
    disk.fsync_directory(report.directory)


def _copy(damages: Sequence[Damage], copies: str) -> None:
    disk.make_directories(copies)
    for damage in damages:
        name = f"{os.path.basename(damage.path)}.{damage.position}-{damage.end}"
        if damage.end > damage.position:
            _copy_damaged(damage, os.path.join(copies, name))
    about = json.dumps([damage._asdict() for damage in damages], indent=2)
    write_durably(os.path.join(copies, "about.json"), about.encode() + b"\n")
    disk.fsync_directory(os.path.dirname(copies))


def _copy_damaged(damage: Damage, path: str) -> None:
    source = disk.open_file(damage.path, os.O_RDONLY)
    try:
        copy = disk.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            _copy_bytes(source, damage.position, damage.end, copy, 0)
            disk.fsync(copy)
        finally:
            disk.release(copy)
    finally:
        disk.release(source)


def _rewrite(path: str, runs: Sequence[Run], damages: Sequence[Damage]) -> None:
    """The segment anew: what is valid, and holes between."""
    directory, name = os.path.split(path)
    base = int(name.partition(".")[0])
    segment = Segment(directory, base, 0)
    if not runs and damages[-1].next_offset is None and damages[0].first_offset == base:
        remove_if_there(segment.index_path)  # nothing of it is left, and nothing follows
        remove_if_there(path)
        return
    new_path = os.path.join(directory, f"{base:020d}{CLEANED_SUFFIX}")
    fd = disk.open_file(new_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        source = disk.open_file(path, os.O_RDONLY) if runs else -1
        try:
            offset, written = base, 0
            for run in runs:
                written = disk.write(fd, hole(offset, run.first_offset, 0), written)
                written = _copy_bytes(source, run.position, run.end, fd, written)
                offset = run.next_offset
        finally:
            if runs:
                disk.release(source)
        if damages[-1].next_offset is not None:
            disk.write(fd, hole(offset, max(offset, damages[-1].next_offset), 0), written)
        disk.fsync(fd)
    finally:
        disk.release(fd)
    remove_if_there(segment.index_path)
    disk.rename(new_path, path)


def _copy_bytes(source: int, position: int, end: int, target: int, written: int) -> int:
    """Copy [position, end) to `written` on; returns the position after it."""
    while position < end:
        piece = disk.read(source, min(COPY_BYTES, end - position), position)
        if not piece:
            raise OSError(f"the file ended at position {position}")
        written = disk.write(target, piece, written)
        position += len(piece)
    return written
