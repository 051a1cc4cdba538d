"""A board on disk, named after the partition and the offset up to which it is true.

The offset that the group has committed decides which snapshot counts: a consumer saves its board,
then commits that offset; whoever gets the partition next asks the group for the offset and loads
exactly that snapshot. If the consumer dies in between, or the group refuses the commit because the
partition has moved on, the snapshot is never looked at. So each record is on the board once,
although it may be delivered more than once.

Not fsynced: what is survived here is the death of a process, not of the machine.
"""

import os
from pathlib import Path

from headrace.cli.demo.board import Board

__all__ = ["SnapshotError", "Snapshots"]


class SnapshotError(RuntimeError):
    """The snapshot that belongs to a committed offset is not there or not readable."""


class Snapshots:
    """The snapshots of all partitions in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save(self, partition: int, board: Board) -> None:
        """Write the board as the snapshot of its `next_offset`."""
        path = self._path(partition, board.next_offset)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(board.to_json())
        draft.rename(path)

    def load(self, partition: int, offset: int) -> Board:
        """The board up to `offset`; an empty one for 0. Raises SnapshotError if there is none."""
        if offset == 0:
            return Board()
        try:
            board = Board.from_json(self._path(partition, offset).read_text())
        except (OSError, ValueError, TypeError) as error:
            raise SnapshotError(f"no board of partition {partition} at {offset}") from error
        return board

    def forget_before(self, partition: int, offset: int) -> None:
        """Remove the partition's snapshots of smaller offsets; they can never count again."""
        for path in self._directory.glob(f"{partition:03}-*.json"):
            if int(path.stem.partition("-")[2]) < offset:
                path.unlink(missing_ok=True)

    def _path(self, partition: int, offset: int) -> Path:
        return self._directory / f"{partition:03}-{offset:020}.json"
