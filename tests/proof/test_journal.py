"""Journals survive the death of who writes them."""

from proof.journal import Follower, Journal


def test_records_in_a_row_are_one_line_and_a_new_row_begins_where_offsets_jump(tmp_path):
    journal = Journal(str(tmp_path / "a.jsonl"))
    journal.read("m", [(0, 5, b"50"), (0, 6, b"51"), (1, 0, b"3"), (0, 7, b"52"), (0, 9, b"54")])
    told = [(e["partition"], e["offset"], e["values"]) for e in _all(tmp_path / "a.jsonl")]
    assert told == [(0, 5, [50, 51]), (1, 0, [3]), (0, 7, [52]), (0, 9, [54])]


def test_half_a_line_is_no_line_until_it_is_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    follower = Follower(path)
    assert follower.catch_up() == []
    path.write_bytes(b'{"t": 1, "member": "m", "event": "started"}\n{"t": 2, "mem')
    assert [event["t"] for event in follower.catch_up()] == [1]
    with open(path, "ab") as file:
        file.write(b'ber": "m", "event": "stopped"}\n')
    assert [event["t"] for event in follower.catch_up()] == [2]
    assert [event["t"] for event in follower.events] == [1, 2]


def _all(path):
    return Follower(path).catch_up()
