from pathlib import Path

import pytest

from headrace.cli.demo.board import Board
from headrace.cli.demo.snapshots import SnapshotError, Snapshots


def test_the_committed_offset_picks_the_snapshot(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    boards = {offset: Board(next_offset=offset, events=offset) for offset in (10, 20)}
    for board in boards.values():
        snapshots.save(3, board)
    assert snapshots.load(3, 10) == boards[10]
    assert snapshots.load(3, 20) == boards[20]


def test_nothing_committed_is_an_empty_board(tmp_path: Path) -> None:
    assert Snapshots(tmp_path).load(3, 0) == Board()


@pytest.mark.parametrize("content", [None, "", "{", '{"wrong":1}'])
def test_a_missing_or_broken_snapshot_is_an_error(tmp_path: Path, content: str | None) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.save(3, Board(next_offset=10))
    (path,) = tmp_path.iterdir()
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(SnapshotError, match="partition 3 at 10"):
        snapshots.load(3, 10)


def test_older_snapshots_of_a_partition_go_and_others_stay(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    for partition, offset in ((3, 5), (3, 10), (4, 5)):
        snapshots.save(partition, Board(next_offset=offset))
    snapshots.forget_before(3, 10)
    assert snapshots.load(3, 10).next_offset == 10
    assert snapshots.load(4, 5).next_offset == 5
    with pytest.raises(SnapshotError):
        snapshots.load(3, 5)
