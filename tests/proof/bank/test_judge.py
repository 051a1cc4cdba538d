"""The judge of the bank finds every seeded fault, and nothing in books without fault."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proof.attempts import Attempt
from proof.bank.judge import Evidence, Seen, Standing, judge
from proof.bank.records import (
    ACCOUNTS,
    LEDGER,
    OPENING,
    ORDERS,
    PARTITIONS,
    RECEIPTS,
    Account,
    Place,
    outputs_of,
)

ACCOUNT_COUNT = 8
AMOUNTS = [100, 2 * OPENING, 300, 50, 700, 20]
"""The second is more than any account has."""


def books() -> Evidence:
    """A faultless run: one order in each transaction, read as soon as it was committed."""
    log: dict[Place, dict[str, Any]] = {}
    ends: dict[tuple[str, int], int] = {}
    accounts = {name: Account() for name in range(ACCOUNT_COUNT)}
    evidence = Evidence(ACCOUNT_COUNT, [], log, {}, {}, [])

    def write(topic: str, partition: int, facts: dict[str, Any]) -> Place:
        offset = ends.get((topic, partition), 0)
        ends[topic, partition] = offset + 1
        place = Place(topic, partition, offset)
        log[place] = facts
        return place

    waiting: list[Place] = []
    for number, amount in enumerate(AMOUNTS):
        account, to = number, (number + 3) % ACCOUNT_COUNT
        order = {"order": number, "kind": "transfer", "amount": amount, "account": account}
        place = write(ORDERS, account % PARTITIONS, {**order, "to": to})
        evidence.acknowledged[place] = number  # type: ignore[index]
        waiting.append(place)
    seen, attempts, standings = [], {}, []
    committed: dict[int, int] = {}
    t = 100.0
    for place in waiting:  # grows by the deposits
        name = f"teller/{len(attempts)}"
        written = list(outputs_of([(place, log[place])], accounts))
        attempts[name] = Attempt(asked=t, outcome="committed")
        for topic, partition, facts in written:
            tagged = {**facts, "attempt": name, "of": len(written)}
            where = write(topic, partition, tagged)
            seen.append(Seen(len(attempts), t + 0.1, where, tagged))
            if topic == ORDERS:
                waiting.append(where)
        committed[place.partition] = place.offset + 1
        standings.append(Standing(t + 0.2, place.partition, place.offset + 1))
        t += 1.0
    return replace(evidence, seen=seen, attempts=attempts, standings=standings)


def find(evidence: Evidence, topic: str, order: int, kind: str = "transfer") -> Place:
    return next(
        place
        for place, facts in evidence.final.items()
        if (place.topic, facts["order"], facts["kind"]) == (topic, order, kind)
    )


def without(evidence: Evidence, place: Place) -> Evidence:
    return replace(evidence, final={at: f for at, f in evidence.final.items() if at != place})


def lost(evidence: Evidence) -> Evidence:
    return without(evidence, find(evidence, LEDGER, 0))


def duplicated(evidence: Evidence) -> Evidence:
    """An order whose effects were written by two."""
    first = evidence.final[find(evidence, ACCOUNTS, 0)]
    again = {**first, "attempt": "zombie/1", "of": 1}
    place = Place(ACCOUNTS, 0, 1000)
    return replace(
        evidence,
        final={**evidence.final, place: again},
        attempts={**evidence.attempts, "zombie/1": Attempt(1.0, "committed")},
        seen=[*evidence.seen, Seen(99, 999.0, place, again)],
    )


def aborted_and_visible(evidence: Evidence) -> Evidence:
    some = next(iter(evidence.attempts))
    return replace(evidence, attempts={**evidence.attempts, some: Attempt(1.0, "aborted")})


def seen_too_early(evidence: Evidence) -> Evidence:
    early = [one._replace(t=one.t - 0.5) for one in evidence.seen]
    return replace(evidence, seen=early)


def taken_back(evidence: Evidence) -> Evidence:
    return replace(
        evidence, seen=[*evidence.seen, Seen(99, 999.0, Place(LEDGER, 3, 77), {"order": 1})]
    )


def changed(evidence: Evidence) -> Evidence:
    place = find(evidence, LEDGER, 2)
    altered = {**evidence.final[place], "delta": -1}
    return replace(evidence, final={**evidence.final, place: altered})


def lost_update(evidence: Evidence) -> Evidence:
    """The second change of account 3 is made from the balance before the first."""
    place = find(evidence, ACCOUNTS, 0, "deposit")
    stale = {**evidence.final[place], "balance": OPENING + AMOUNTS[0]}
    return replace(
        evidence,
        final={**evidence.final, place: stale},
        seen=[one._replace(facts=stale) if one.place == place else one for one in evidence.seen],
    )


def acknowledged_and_gone(evidence: Evidence) -> Evidence:
    return replace(evidence, acknowledged={**evidence.acknowledged, Place(ORDERS, 0, 500): 500})


def committed_back(evidence: Evidence) -> Evidence:
    last = evidence.standings[-1]
    return replace(evidence, standings=[*evidence.standings, last._replace(offset=0)])


def committed_ahead(evidence: Evidence) -> Evidence:
    extra = {"order": 600, "kind": "transfer", "amount": 1, "account": 0, "to": 1}
    place = Place(ORDERS, 0, 900)
    return replace(
        evidence,
        final={**evidence.final, place: extra},
        standings=[*evidence.standings, Standing(999.0, 0, 901)],
    )


def half_of_a_transfer(evidence: Evidence) -> Evidence:
    gone = find(evidence, ACCOUNTS, 5, "deposit")
    return replace(evidence, seen=[one for one in evidence.seen if one.place != gone])


FAULTS: dict[Callable[[Evidence], Evidence], str] = {
    lost: "order 0 (transfer) has 0 of kind transfer in bank-ledger, not 1",
    duplicated: "order 0 (transfer) has 2 of kind transfer in bank-accounts, not 1",
    aborted_and_visible: "aborted and visible: teller/0",
    seen_too_early: "visible 0.400 s before its commit: teller/0",
    taken_back: "taken back: what was seen at offset 77 of bank-ledger/3 is gone",
    changed: "changed: offset 0 of bank-ledger/2 was",
    lost_update: "account 3: 950 and 100 are not 1100",
    acknowledged_and_gone: "lost: order 500 was acknowledged at offset 500 of bank-orders/0",
    committed_back: "committed 0 after",
    committed_ahead: "offset 900 of bank-orders/0 has none, and 901 is committed",
    half_of_a_transfer: "order 5 was never seen whole",
}


def test_faultless_books_have_no_problem():
    verdict = judge(books())
    assert verdict.problems == []
    assert verdict.reads == len(AMOUNTS) + sum(1 for amount in AMOUNTS if amount <= OPENING)
    assert verdict.longest_half_seen_s > 0


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_seeded_fault_is_found(fault):
    problems = judge(fault(books())).problems
    assert any(FAULTS[fault] in problem for problem in problems), problems


def test_a_credit_that_comes_twice_breaks_the_sum_at_the_read_in_which_it_is_seen():
    problems = judge(duplicated(books())).problems
    assert problems[0].startswith("at read 99: ")


def test_a_refused_transfer_moves_nothing():
    evidence = books()
    receipt = evidence.final[find(evidence, RECEIPTS, 1)]
    assert receipt["result"] == "refused"
    assert not any(
        facts["order"] == 1 for place, facts in evidence.final.items() if place.topic == ACCOUNTS
    )
