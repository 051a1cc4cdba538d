"""What the bank's topics say, and what they must not say. Pure.

- at every read of what is committed, the sum of the balances and of what is under way between two
  accounts is what it was in the beginning
- an account's changes are numbered without a hole, each follows from the one before, none overdraws
- every order has what must follow from it, once; nothing follows from what is no order
- nothing of an aborted or unfinished transaction was ever seen, and of each either all or nothing
  (`proof.attempts`)
- what was seen or acknowledged is there in the end, the same, and was seen in order
- the offsets that the tellers have committed never go back, and agree with what was written: every
  order before them has its effects, and none after
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from proof.attempts import Attempt, Sight, judge_attempts
from proof.bank.records import ACCOUNTS, LEDGER, OPENING, ORDERS, RECEIPTS, Place

__all__ = ["Evidence", "Seen", "Standing", "Verdict", "judge"]

PROBLEMS_MAX = 10
"""Of one kind that are named; the rest is counted."""

Facts = dict[str, Any]


class Seen(NamedTuple):
    """A record that the auditor was given; `read` counts its reads, `t` is monotonic seconds."""

    read: int
    t: float
    place: Place
    facts: Facts


class Standing(NamedTuple):
    """How far the tellers had committed, as was answered at `t`."""

    t: float
    partition: int
    offset: int


@dataclass
class Evidence:
    accounts: int
    """Numbered from 0, with OPENING in each."""
    seen: Sequence[Seen]
    """By the auditor, in the order of reading."""
    final: Mapping[Place, Facts]
    """All that is committed in the end."""
    acknowledged: Mapping[Place, int]
    """The clerk's orders."""
    attempts: Mapping[str, Attempt]
    standings: Sequence[Standing]
    """In the order of asking; the last ones after the end."""


class Verdict(NamedTuple):
    problems: list[str]
    reads: int
    """After which the sum was right, up to the first at which it was not."""
    longest_half_seen_s: float
    """Between the two sides of a transfer, as the auditor saw them."""


def judge(evidence: Evidence) -> Verdict:
    reads, longest, problems = _sums(evidence)
    problems += _some(_taken_back(evidence))
    problems += _some(_disordered(evidence.seen))
    problems += _some(_chains(evidence.final))
    problems += _some(_effects(evidence.final))
    problems += _some(
        judge_attempts(
            evidence.attempts,
            (sight for seen in evidence.seen for sight in _sight(seen.t, seen.facts)),
            (sight for facts in evidence.final.values() for sight in _sight(float("inf"), facts)),
        )
    )
    problems += _some(_offsets(evidence.final, evidence.standings))
    return Verdict(problems, reads, longest)


def _sight(t: float, facts: Facts) -> Iterator[Sight]:
    if "attempt" in facts:
        yield Sight(t, facts["attempt"], facts["of"])


def _sums(evidence: Evidence) -> tuple[int, float, list[str]]:
    """Reads that were right, the longest time that a transfer was seen by half, what was wrong."""
    total = evidence.accounts * OPENING
    balances = dict.fromkeys(range(evidence.accounts), OPENING)
    held, under_way, longest, reads = total, 0, 0.0, 0
    sides: defaultdict[int, dict[str, float]] = defaultdict(dict)
    seen = evidence.seen
    for at, (read, t, place, facts) in enumerate(seen):
        if place.topic == ACCOUNTS:
            account, delta = facts["account"], facts["delta"]
            held += facts["balance"] - balances.get(account, OPENING)
            balances[account] = facts["balance"]
            side = sides[facts["order"]]
            if facts["kind"] not in side:
                side[facts["kind"]] = t
                under_way -= delta
            if len(side) == 2:
                longest = max(longest, abs(side["transfer"] - side["deposit"]))
        if at + 1 == len(seen) or seen[at + 1].read != read:
            if held + under_way != total:
                what = f"{held} in accounts and {under_way} under way are not {total}"
                return reads, longest, [f"at read {read}: {what}"]
            reads += 1
    half = [order for order, side in sides.items() if len(side) == 1]
    return reads, longest, _some(f"order {order} was never seen whole" for order in half)


def _taken_back(evidence: Evidence) -> Iterator[str]:
    for _, _, place, facts in evidence.seen:
        found = evidence.final.get(place)
        if found is None:
            yield f"taken back: what was seen at {place} is gone"
        elif found != facts:
            yield f"changed: {place} was {facts}, is {found}"
    for place, order in evidence.acknowledged.items():
        found = evidence.final.get(place)
        if found is None or found["order"] != order:
            yield f"lost: order {order} was acknowledged at {place}"


def _disordered(seen: Iterable[Seen]) -> Iterator[str]:
    last: dict[tuple[str, int], int] = {}
    for _, _, place, _ in seen:
        before = last.get(place[:2], -1)
        if place.offset <= before:
            yield f"{place} was seen after offset {before}"
        last[place[:2]] = place.offset


def _chains(final: Mapping[Place, Facts]) -> Iterator[str]:
    known: dict[int, tuple[int, int]] = {}
    for place in sorted(place for place in final if place.topic == ACCOUNTS):
        facts = final[place]
        name = facts["account"]
        version, balance = known.get(name, (0, OPENING))
        if facts["version"] != version + 1:
            yield f"account {name}: change {facts['version']} after {version} at {place}"
        elif facts["balance"] != balance + facts["delta"]:
            yield f"account {name}: {balance} and {facts['delta']} are not {facts['balance']}"
        if facts["balance"] < 0:
            yield f"account {name} is overdrawn at {place}"
        known[name] = facts["version"], facts["balance"]


def _effects(final: Mapping[Place, Facts]) -> Iterator[str]:
    """What follows from each order, once."""
    found: Counter[tuple[str, int, str]] = Counter()
    refused: set[int] = set()
    sources = {(p.partition, p.offset): f for p, f in final.items() if p.topic == ORDERS}
    for place, facts in final.items():
        found[place.topic, facts["order"], facts["kind"]] += 1
        if place.topic == RECEIPTS and facts["result"] == "refused":
            refused.add(facts["order"])
        if place.topic != ORDERS:
            source = sources.get(tuple(facts["at"]))
            if source is None or (source["order"], source["kind"]) != (
                facts["order"],
                facts["kind"],
            ):
                yield f"{place} comes from an order that is not where it says: {facts}"
    for place, facts in final.items():
        if place.topic != ORDERS:
            continue
        order, kind = facts["order"], facts["kind"]
        done = int(order not in refused)
        wanted = {(ORDERS, kind): 1, (ACCOUNTS, kind): done, (LEDGER, kind): done}
        if kind == "transfer":
            wanted[ORDERS, "deposit"] = done
            wanted[RECEIPTS, "transfer"] = 1
        else:
            wanted[ORDERS, "transfer"] = 1
        for (topic, of), count in wanted.items():
            if found[topic, order, of] != count:
                yield (
                    f"order {order} ({kind}) has {found[topic, order, of]} of kind {of} "
                    f"in {topic}, not {count}"
                )


def _offsets(final: Mapping[Place, Facts], standings: Sequence[Standing]) -> Iterator[str]:
    by_partition: defaultdict[int, list[Standing]] = defaultdict(list)
    for standing in standings:
        by_partition[standing.partition].append(standing)
    for partition, them in by_partition.items():
        for before, after in pairwise(them):
            if after.offset < before.offset:
                yield f"partition {partition}: committed {after.offset} after {before.offset}"
    done = {tuple(f["at"]) for p, f in final.items() if p.topic in (RECEIPTS, ACCOUNTS)}
    for place in sorted(place for place in final if place.topic == ORDERS):
        them = by_partition[place.partition]
        committed = them[-1].offset if them else 0
        has_effects = place[1:] in done
        if has_effects != (place.offset < committed):
            what = "has effects" if has_effects else "has none"
            yield f"{place} {what}, and {committed} is committed"


def _some(problems: Iterable[str]) -> list[str]:
    them = list(problems)
    if len(them) > PROBLEMS_MAX:
        them[PROBLEMS_MAX:] = [f"and {len(them) - PROBLEMS_MAX} more of this kind"]
    return them
