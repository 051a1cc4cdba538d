"""What may be seen of a transaction, and when."""

from proof.attempts import Attempt, Sight, attempts_of, judge_attempts


def test_a_committed_attempt_seen_after_it_was_asked_for_is_no_problem():
    attempts = {"a/1": Attempt(asked=10.0, outcome="committed")}
    sights = [Sight(10.1, "a/1", 2), Sight(10.2, "a/1", 2)]
    assert judge_attempts(attempts, sights, sights) == []


def test_an_unknown_one_may_be_there_whole_or_not_at_all():
    attempts = {"a/1": Attempt(asked=10.0)}
    whole = [Sight(99.0, "a/1", 2)] * 2
    assert judge_attempts(attempts, [], []) == []
    assert judge_attempts(attempts, [], whole) == []
    assert judge_attempts(attempts, [], whole[:1]) == ["torn: 1 of the 2 records of a/1 are there"]


def test_an_aborted_one_that_is_visible_is_found_in_the_end_and_before():
    attempts = {"a/1": Attempt(asked=10.0, outcome="aborted")}
    sight = Sight(11.0, "a/1", 1)
    assert judge_attempts(attempts, [sight], []) == ["aborted and visible: a/1"]
    assert judge_attempts(attempts, [], [sight]) == ["aborted and visible: a/1"]


def test_what_was_never_to_be_committed_is_found():
    assert judge_attempts({}, [Sight(11.0, "a/1", 1)], []) == [
        "visible and never to be committed: a/1"
    ]


def test_an_uncommitted_read_is_found():
    attempts = {"a/1": Attempt(asked=12.0, outcome="committed")}
    sight = Sight(11.0, "a/1", 1)
    assert judge_attempts(attempts, [sight], [sight._replace(t=99.0)]) == [
        "visible 1.000 s before its commit: a/1"
    ]


def test_a_committed_one_that_is_gone_is_found():
    attempts = {"a/1": Attempt(asked=10.0, outcome="committed")}
    assert judge_attempts(attempts, [], []) == [
        "lost: a/1 was committed and nothing of it is there"
    ]


def test_attempts_are_read_from_journals():
    events = [
        {"t": 1.0, "member": "a", "event": "started"},
        {"t": 2.0, "member": "a", "event": "asked", "attempt": "a/1"},
        {"t": 3.0, "member": "a", "event": "committed", "attempt": "a/1"},
        {"t": 4.0, "member": "a", "event": "aborted", "attempt": "a/2"},
    ]
    assert attempts_of(events) == {
        "a/1": Attempt(2.0, "committed"),
        "a/2": Attempt(None, "aborted"),
    }
