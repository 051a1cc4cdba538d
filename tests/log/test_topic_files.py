from pathlib import Path
from uuid import UUID

from headrace.log.topic_files import TopicFiles

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def files(tmp_path: Path) -> TopicFiles:
    for name in (f"{A.hex}/0", f"{B.hex}/0", f"{B.hex}/1", f"{C.hex}.deleted/0", "notes"):
        (tmp_path / "topics" / name).mkdir(parents=True)
    (tmp_path / "topics" / A.hex / "0" / f"{0:020}.log").write_bytes(b"")
    (tmp_path / "topics" / B.hex / "1" / f"{0:020}.log").write_bytes(b"x")
    return TopicFiles(str(tmp_path))


def test_topics_are_told_from_what_else_is_there(tmp_path: Path) -> None:
    found = files(tmp_path)
    assert found.topic_ids() == {A, B}
    assert found.leftovers() == [str(tmp_path / "topics" / f"{C.hex}.deleted")]


def test_only_bytes_in_a_segment_are_data(tmp_path: Path) -> None:
    found = files(tmp_path)
    assert not found.holds_data(A)
    assert found.holds_data(B)


def test_a_topic_is_removed_once(tmp_path: Path) -> None:
    found = files(tmp_path)
    found.remove(A)
    found.remove(A)
    assert found.topic_ids() == {B}
    assert not (tmp_path / "topics" / f"{A.hex}.deleted").exists()
