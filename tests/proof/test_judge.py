"""The judge of the proof finds what it is for, and nothing in a history without fault."""

from typing import Any

import pytest

from proof.judge import GroupHistory, Verdict, Written, judge, judge_log

LOG = {0: [Written(n, 100.0 + n / 10) for n in range(10)]}
"""Numbers 0 to 9 in partition 0, written from t=100 on."""


def event(t: float, member: str, kind: str, **facts: Any) -> dict[str, Any]:
    return {"t": t, "member": member, "event": kind, **facts}


def read(t: float, member: str, first: int, last: int) -> dict[str, Any]:
    return event(t, member, "read", partition=0, offset=first, values=list(range(first, last + 1)))


def committed(t: float, member: str, offset: int, sent: float | None = None) -> dict[str, Any]:
    # As JSON has it: keys are strings.
    return event(t, member, "committed", sent=t if sent is None else sent, offsets={"0": offset})


def life(member: str, at: float, *what: dict[str, Any]) -> list[dict[str, Any]]:
    """A member that starts, has partition 0, and says what it says."""
    return [
        event(at, member, "started"),
        event(at, member, "assigned", partitions=[0]),
        *what,
    ]


def verdict(*processes: list[dict[str, Any]], **history: Any) -> Verdict:
    return judge(LOG, GroupHistory(list(processes), **history))


def test_a_group_that_hands_over_in_order_has_no_problem():
    first = life("a", 100, read(101, "a", 0, 4), committed(101.2, "a", 5, sent=101.1))
    first += [event(102, "a", "revoked", partitions=[0]), event(102, "a", "stopped")]
    second = life("b", 102, read(103, "b", 5, 9), committed(103.1, "b", 10))
    found = verdict(first, second, told_to_stop={"a": 101.5}, settled=102.5)
    assert found.problems == []
    assert (found.records, found.redelivered) == (10, 0)


def test_reading_again_what_a_killed_member_had_not_committed_is_counted_and_allowed():
    first = life("a", 100, read(101, "a", 0, 4), committed(101.1, "a", 5), read(102, "a", 5, 7))
    second = life("b", 110, read(111, "b", 5, 9))
    found = verdict(first, second, killed={"a": 103}, settled=105)
    assert found.problems == []
    assert (found.records, found.redelivered) == (10, 3)


def test_a_lost_record_is_found():
    first = life("a", 100, read(101, "a", 0, 4), event(102, "a", "stopped"))
    second = life("b", 102, read(103, "b", 6, 9))
    assert verdict(first, second, told_to_stop={"a": 101.0}).problems == [
        "lost: offset 5 of partition 0 (number 5) was never read",
        "b lives and read nothing at the end",
    ]


def test_a_swapped_pair_is_found():
    found = verdict(
        life("a", 100, read(101, "a", 0, 3), read(102, "a", 5, 9), read(103, "a", 4, 4))
    )
    assert found.problems[:2] == [
        "a: offset 5 of partition 0 came, 1 passed over, where 4 was due",
        "a: offset 4 of partition 0 came again where 10 was due",
    ]


def test_a_record_with_another_value_is_found():
    wrong = event(101, "a", "read", partition=0, offset=0, values=[0, 1, 7, *range(3, 10)])
    assert verdict(life("a", 100, wrong), settled=100).problems == [
        "a read number 7 at offset 2 of partition 0, 2 is there"
    ]


def test_a_record_that_nobody_wrote_is_found():
    assert verdict(life("a", 100, read(101, "a", 0, 10)), settled=100).problems == [
        "a read offset 10 of partition 0, which nobody wrote"
    ]


def test_a_commit_that_goes_back_is_found():
    told = [read(101, "a", 0, 9), committed(102, "a", 8, sent=101.9), committed(103, "a", 5)]
    assert verdict(life("a", 100, *told), settled=100).problems == [
        "partition 0: a committed 5 after a had committed 8"
    ]


def test_a_commit_under_way_when_a_higher_one_is_answered_is_no_problem():
    told = [read(101, "a", 0, 9), committed(102, "a", 8), committed(103, "a", 5, sent=101.5)]
    assert verdict(life("a", 100, *told), settled=100).problems == []


def test_an_older_commit_that_was_sent_again_and_crossed_a_newer_one_may_have_won():
    told = [
        read(101, "a", 0, 6),
        committed(102, "a", 7, sent=101.5),
        committed(102.2, "a", 4, sent=101.1),
    ]
    second = life("b", 103, read(103.5, "b", 4, 9))
    assert verdict(life("a", 100, *told), second, killed={"a": 102.5}, settled=103).problems == []


def test_beginning_below_what_the_group_has_committed_is_found():
    first = life("a", 100, read(101, "a", 0, 6), committed(101.5, "a", 7))
    second = life("b", 102, read(103, "b", 4, 9))
    assert verdict(first, second, killed={"a": 101.6}, settled=102).problems == [
        "b began at offset 4 of partition 0, 7 was committed by a before"
    ]


def test_a_commit_answered_after_the_new_owner_asked_does_not_bind_it():
    first = life("a", 100, read(101, "a", 0, 6), committed(102.5, "a", 7, sent=101))
    second = life("b", 102, read(103, "b", 4, 9))
    assert verdict(first, second, killed={"a": 102.6}, settled=102).problems == []


def test_a_client_that_goes_on_from_memory_is_told_from_a_broker_that_forgets():
    def history(stop: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        first = life("a", 100, read(101, "a", 0, 3), committed(101.1, "a", stop))
        first += [
            event(102, "a", "revoked", partitions=[0]),
            event(104, "a", "assigned", partitions=[0]),
            read(104.5, "a", 4, 4),
            committed(104.6, "a", 5),
            read(105, "a", 5, 9),
        ]
        return first, life("b", 102, read(103, "b", stop, 5), committed(103.1, "b", 6))

    found = verdict(*history(stop=3), killed={"b": 103.5}, settled=104)
    assert found.problems == []
    assert found.client_faults == [
        "a began at offset 4 of partition 0, 6 was committed by b before"
    ]
    found = verdict(*history(stop=4), killed={"b": 103.5}, settled=104)
    assert found.problems == [
        "a began at offset 4 of partition 0, 6 was committed by b before",
        "partition 0: a committed 5 after b had committed 6",
    ]
    assert found.client_faults == []
    known = verdict(*history(stop=4), killed={"b": 103.5}, settled=104, keeps_positions=True)
    assert known.problems == []
    assert known.client_faults == [
        "a began at offset 4 of partition 0, 6 was committed by b before"
    ]


def test_a_member_that_does_not_stop_and_one_that_stands_still_are_found():
    deaf = life("a", 100, read(101, "a", 0, 9))
    still = [event(100, "b", "started")]
    found = verdict(deaf, still, told_to_stop={"a": 102}, settled=103)
    assert found.problems == [
        "a was told to stop and did not",
        "b lives and read nothing at the end",
    ]


def test_the_silence_of_a_living_owner_is_measured_and_not_that_of_the_dead():
    one = life("a", 100, read(100.5, "a", 0, 4), read(107, "a", 5, 9))
    assert verdict(one, settled=100).longest_silence_s == pytest.approx(6.5)
    down = verdict(one, settled=100, outages=[(99.0, 100.2), (102.0, 105.0)])
    assert down.longest_silence_s == pytest.approx(3.5)
    leaving = verdict(one, told_to_stop={"a": 101.0})
    assert leaving.longest_silence_s == pytest.approx(0.5)
    killed = life("a", 100, read(100.9, "a", 0, 8))
    after = life("b", 110, read(110.2, "b", 9, 9))
    found = verdict(killed, after, killed={"a": 101}, settled=105)
    assert found.longest_silence_s == pytest.approx(0.9)
    assert found.longest_wait_s == pytest.approx(9.3)


def test_what_a_share_group_has_not_accepted_is_found_and_its_order_is_free():
    told = [
        read(101, "a", 5, 9),
        read(102, "a", 0, 4),
        event(103, "a", "accepted", partition=0, offsets=[0, 1, 2, 4, 5, 6, 7, 8, 9]),
    ]
    found = verdict(life("a", 100, *told), settled=100, is_share=True)
    assert found.problems == ["lost: offset 3 of partition 0 was never accepted"]
    told.append(event(104, "a", "unconfirmed", partition=0, offsets=[3]))
    assert verdict(life("a", 100, *told), settled=100, is_share=True).problems == []


def test_what_a_killed_member_of_a_share_group_read_it_may_have_accepted():
    killed = life("a", 100, read(101, "a", 0, 3))
    rest = event(104, "b", "accepted", partition=0, offsets=[4, 5, 6, 7, 8, 9])
    after = life("b", 102, read(103, "b", 4, 9), rest)
    told = {"settled": 102, "is_share": True}
    assert verdict(killed, after, killed={"a": 101.5}, **told).problems == []
    stopped = verdict(killed, after, told_to_stop={"a": 101.5}, **told).problems
    assert "lost: offset 0 of partition 0 was never accepted" in stopped


def test_many_problems_of_one_kind_are_counted():
    found = judge({0: [Written(n, 0.0) for n in range(500)]}, GroupHistory([]))
    assert len(found.problems) == 11
    assert found.problems[-1] == "and 490 more of this kind"


def test_the_log_itself_is_held_to_the_order_of_keys_and_to_one_place_for_each_record():
    assert judge_log(LOG, {0: 10}, keys=3) == []
    assert judge_log(LOG, {0: 11}, keys=3) == ["partition 0 ends at 11, 10 acknowledged"]
    swapped = {0: [Written(3, 0.0), Written(0, 0.0)]}
    assert judge_log(swapped, {0: 2}, keys=3) == [
        "partition 0: number 0 at offset 1 comes after 3 of the same key"
    ]
