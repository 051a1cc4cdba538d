"""What the journals of one consumer group say, and what they must not say. Pure.

`judge` is given what was written, what the members wrote down, and who was killed when. It finds:

- a record that was written and that no member was given, or was given with another value
- within one member's run on a partition (from its assignment to its end), a record that comes
  again, or one that is passed over: first deliveries are in order
- a run that begins below what the group had committed before the run's owner asked for it
- a commit below one that was answered before it was sent
- a member that was told to stop and did not, or that lived to the end and read nothing there

Reading again after a rebalance or a crash what was not committed is allowed, and counted. A share
group promises no order: every record is accepted, and that is all. What a member accepted when it
or the broker was killed may have been done without an answer; then the group's lag tells.

A client may do wrong all by itself: when it is given a partition back it may go on where it was
before, though another member has gone further (kafka-python 3.0 does, if it missed a generation).
No broker can have told it that offset when the group never committed it; such a run, and what it
commits, is named as the client's fault.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from proof.journal import Event

__all__ = ["GroupHistory", "Run", "Verdict", "Written", "judge", "judge_log", "runs_of"]

PROBLEMS_MAX = 10
"""Of one kind that are named; the rest is counted."""


class Written(NamedTuple):
    """A record in the log: the number in it, and when it was acknowledged (monotonic seconds)."""

    value: int
    acked: float


Log = Mapping[int, Sequence[Written]]
"""By partition, in the order of offsets from 0 without a hole."""


@dataclass
class Run:
    """One member's time with one partition, from its assignment to its revocation or end."""

    member: str
    partition: int
    since: float
    until: float = float("inf")
    reads: list[tuple[float, int, Sequence[int]]] = field(default_factory=list)
    """(when, first offset, values)"""


@dataclass
class GroupHistory:
    """`events` are lists by process, each in the order of writing. Times are monotonic seconds."""

    events: Sequence[Sequence[Event]]
    killed: Mapping[str, float] = field(default_factory=dict)
    told_to_stop: Mapping[str, float] = field(default_factory=dict)
    settled: float = float("inf")
    """From then on nobody came or went; whoever lives then must read something after it."""
    is_share: bool = False
    outages: Sequence[tuple[float, float]] = ()
    """When there was no broker: from, until."""
    keeps_positions: bool = False
    """Its client goes on where it was with a partition that it gets back, if it has not heard that
    another member had it meanwhile; be that a place which it had committed itself."""


@dataclass
class Verdict:
    problems: list[str]
    records: int
    """Records given at least once."""
    redelivered: int
    longest_silence_s: float
    """The longest time that an acknowledged record waited for a living member that had its
    partition and was not told to stop, without the time in which there was no broker."""
    longest_wait_s: float
    """The longest time from acknowledgement to first delivery: rebalances and outages included."""
    client_faults: list[str] = field(default_factory=list)


class _Commit(NamedTuple):
    answered: float
    sent: float
    member: str
    partition: int
    offset: int


def judge_log(log: Log, end_offsets: Mapping[int, int], keys: int) -> list[str]:
    """What is wrong with the log itself, where number n has the key n % keys."""
    problems = []
    for partition, end in sorted(end_offsets.items()):
        records = log.get(partition, ())
        if end != len(records):
            problems.append(f"partition {partition} ends at {end}, {len(records)} acknowledged")
        last: dict[int, int] = {}
        for offset, (value, _) in enumerate(records):
            if value <= last.get(value % keys, -1):
                problems.append(
                    f"partition {partition}: number {value} at offset {offset} comes after "
                    f"{last[value % keys]} of the same key"
                )
            last[value % keys] = value
    return _some(problems)


def judge(log: Log, history: GroupHistory) -> Verdict:
    runs = [run for events in history.events for run in runs_of(events, history.killed)]
    problems = _some(_altered(log, runs))
    client_faults: list[str] = []
    if history.is_share:
        problems += _some(_not_accepted(log, history))
    else:
        commits = sorted(_commits(history.events))
        problems += _some(_lost(log, runs))
        problems += _some(_disordered(runs))
        remembered = _from_memory(runs, commits, own=history.keeps_positions)
        problems += _some(_below_committed(_without(runs, remembered), commits))
        problems += _some(_back(commits, remembered))
        client_faults = _some(_below_committed(remembered, commits))
    problems += _some(_members(history))
    given = Counter(
        (run.partition, first + at)
        for run in runs
        for _, first, values in run.reads
        for at in range(len(values))
    )
    return Verdict(
        problems,
        records=len(given),
        redelivered=given.total() - len(given),
        longest_silence_s=max((_silence(log, run, history) for run in runs), default=0.0),
        longest_wait_s=_wait(log, runs),
        client_faults=client_faults,
    )


def runs_of(events: Iterable[Event], killed: Mapping[str, float]) -> list[Run]:
    """The runs in one process's journal. What is read outside of a run is a run of its own: it is
    counted, and held to no order."""
    runs: list[Run] = []
    open_runs: dict[tuple[str, int], Run] = {}
    for event in events:
        member, t = event["member"], event["t"]
        match event["event"]:
            case "assigned":
                for partition in event["partitions"]:
                    _end(open_runs, member, partition, t)
                    run = Run(member, partition, t, killed.get(member, float("inf")))
                    open_runs[member, partition] = run
                    runs.append(run)
            case "revoked":
                for partition in event["partitions"]:
                    _end(open_runs, member, partition, t)
            case "stopped":
                for of, partition in list(open_runs):
                    if of == member:
                        _end(open_runs, member, partition, t)
            case "read":
                known = open_runs.get((member, event["partition"]))
                if known is None:
                    known = Run(member, event["partition"], float("-inf"), t)
                    runs.append(known)
                known.reads.append((t, event["offset"], event["values"]))
    return runs


def _end(open_runs: dict[tuple[str, int], Run], member: str, partition: int, t: float) -> None:
    run = open_runs.pop((member, partition), None)
    if run is not None:
        run.until = t


def _altered(log: Log, runs: Iterable[Run]) -> Iterable[str]:
    for run in runs:
        records = log.get(run.partition, ())
        for _, first, values in run.reads:
            for at, value in enumerate(values, first):
                if at >= len(records):
                    yield f"{run.member} read {_at(run.partition, at)}, which nobody wrote"
                elif records[at].value != value:
                    yield (
                        f"{run.member} read number {value} at {_at(run.partition, at)}, "
                        f"{records[at].value} is there"
                    )


def _lost(log: Log, runs: Iterable[Run]) -> Iterable[str]:
    seen: defaultdict[int, set[int]] = defaultdict(set)
    for run in runs:
        for _, first, values in run.reads:
            seen[run.partition].update(range(first, first + len(values)))
    for partition, records in sorted(log.items()):
        for offset in sorted(set(range(len(records))) - seen[partition]):
            yield f"lost: {_at(partition, offset)} (number {records[offset].value}) was never read"


def _not_accepted(log: Log, history: GroupHistory) -> Iterable[str]:
    done: defaultdict[int, set[int]] = defaultdict(set)
    for of_process in history.events:
        for event in of_process:
            if event["event"] in ("accepted", "unconfirmed"):
                done[event["partition"]].update(event["offsets"])
            elif event["event"] == "read" and event["member"] in history.killed:
                first = event["offset"]
                done[event["partition"]].update(range(first, first + len(event["values"])))
    for partition, records in sorted(log.items()):
        for offset in sorted(set(range(len(records))) - done[partition]):
            yield f"lost: {_at(partition, offset)} was never accepted"


def _disordered(runs: Iterable[Run]) -> Iterable[str]:
    for run in runs:
        for (_, start, values), (_, first, _) in pairwise(run.reads):
            due = start + len(values)
            if first != due:
                what = "came again" if first < due else f"came, {first - due} passed over,"
                yield f"{run.member}: {_at(run.partition, first)} {what} where {due} was due"


def _commits(events: Iterable[Iterable[Event]]) -> Iterable[_Commit]:
    for of_process in events:
        for event in of_process:
            if event["event"] == "committed":
                for partition, offset in event["offsets"].items():
                    yield _Commit(
                        event["t"], event["sent"], event["member"], int(partition), offset
                    )


def _certain(commits: Sequence[_Commit]) -> list[_Commit]:
    """Without those that a lower one of the same member crossed on its way: a client that sends a
    commit again after a crash may let the older one win."""
    by_place: defaultdict[tuple[str, int], list[_Commit]] = defaultdict(list)
    for commit in commits:
        by_place[commit.member, commit.partition].append(commit)
    return [
        commit
        for commit in commits
        if not any(
            other.offset < commit.offset
            and other.sent <= commit.answered
            and commit.sent <= other.answered
            for other in by_place[commit.member, commit.partition]
        )
    ]


class _Standing:
    """What the group had certainly committed at any time, of one partition."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._highest: list[_Commit] = []

    def add(self, commit: _Commit) -> None:
        """In the order in which they were answered."""
        if not self._highest or commit.offset > self._highest[-1].offset:
            self._times.append(commit.answered)
            self._highest.append(commit)

    def before(self, t: float) -> _Commit | None:
        at = bisect_left(self._times, t)
        return self._highest[at - 1] if at else None


def _standings(commits: Sequence[_Commit]) -> dict[int, _Standing]:
    standings: defaultdict[int, _Standing] = defaultdict(_Standing)
    for commit in _certain(commits):
        standings[commit.partition].add(commit)
    return standings


def _below_committed(runs: Iterable[Run], commits: Sequence[_Commit]) -> Iterable[str]:
    standings = _standings(commits)
    for run in runs:
        standing = standings.get(run.partition)
        best = standing.before(run.since) if standing else None
        if best is not None and run.reads and run.reads[0][1] < best.offset:
            yield (
                f"{run.member} began at {_at(run.partition, run.reads[0][1])}, "
                f"{best.offset} was committed by {best.member} before"
            )


def _from_memory(runs: Iterable[Run], commits: Iterable[_Commit], *, own: bool) -> list[Run]:
    """Runs that begin where the same member's last run on the partition ended, at an offset that
    nobody committed, or nobody but itself if its `own` commits may pass."""
    committers = defaultdict[tuple[int, int], set[str]](set)
    for commit in commits:
        committers[commit.partition, commit.offset].add(commit.member)
    ends: dict[tuple[str, int], int] = {}
    found = []
    for run in runs:
        if not run.reads:
            continue
        first = run.reads[0][1]
        if first == ends.get((run.member, run.partition)) and (
            committers[run.partition, first] <= ({run.member} if own else set())
        ):
            found.append(run)
        _, last, values = run.reads[-1]
        ends[run.member, run.partition] = last + len(values)
    return found


def _without(runs: Iterable[Run], some: Sequence[Run]) -> list[Run]:
    return [run for run in runs if not any(run is one for one in some)]


def _back(commits: Sequence[_Commit], remembered: Sequence[Run]) -> Iterable[str]:
    """Of all commits but those of runs that went on from memory."""
    standings = _standings(commits)
    for commit in commits:
        if any(
            (run.member, run.partition) == (commit.member, commit.partition)
            and run.since <= commit.sent <= run.until
            for run in remembered
        ):
            continue
        standing = standings.get(commit.partition)
        best = standing.before(commit.sent) if standing else None
        if best is not None and commit.offset < best.offset:
            yield (
                f"partition {commit.partition}: {commit.member} committed {commit.offset} after "
                f"{best.member} had committed {best.offset}"
            )


def _members(history: GroupHistory) -> Iterable[str]:
    started, stopped, read_since = set(), set(), set()
    for of_process in history.events:
        for event in of_process:
            if event["event"] == "started":
                started.add(event["member"])
            elif event["event"] == "stopped":
                stopped.add(event["member"])
            elif event["event"] == "read" and event["t"] >= history.settled:
                read_since.add(event["member"])
    told, dead = set(history.told_to_stop), set(history.killed)
    for member in sorted(told & started - stopped - dead):
        yield f"{member} was told to stop and did not"
    for member in sorted(started - told - dead - read_since):
        yield f"{member} lives and read nothing at the end"


def _silence(log: Log, run: Run, history: GroupHistory) -> float:
    """The longest wait of a record that was next for this owner, from when both were there."""
    if run.since == float("-inf"):
        return 0.0  # it is of a share group, or a record that came late
    records = log.get(run.partition, ())
    until = min(run.until, history.told_to_stop.get(run.member, run.until))
    longest, before, due = 0.0, run.since, -1
    for t, first, values in run.reads:
        if first < len(records):
            waited = _with_a_broker(max(before, records[first].acked), min(t, until), history)
            longest = max(longest, waited)
        before, due = t, first + len(values)
    if 0 <= due < len(records) and until != float("inf"):
        longest = max(longest, _with_a_broker(max(before, records[due].acked), until, history))
    return longest


def _with_a_broker(start: float, end: float, history: GroupHistory) -> float:
    """Seconds from start to end without outages; negative if they are the other way round."""
    gone = sum(max(0.0, min(end, up) - max(start, down)) for down, up in history.outages)
    return end - start - gone


def _wait(log: Log, runs: Iterable[Run]) -> float:
    """The longest time between a record's acknowledgement and its first delivery."""
    first_seen: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for run in runs:
        for t, first, values in run.reads:
            seen = first_seen[run.partition]
            for offset in range(first, first + len(values)):
                if t < seen.get(offset, float("inf")):
                    seen[offset] = t
    return max(
        (
            t - log[partition][offset].acked
            for partition, seen in first_seen.items()
            for offset, t in seen.items()
            if offset < len(log.get(partition, ()))
        ),
        default=0.0,
    )


def _at(partition: int, offset: int) -> str:
    return f"offset {offset} of partition {partition}"


def _some(problems: Iterable[str]) -> list[str]:
    everything = list(problems)
    if len(everything) > PROBLEMS_MAX:
        rest = len(everything) - PROBLEMS_MAX
        everything[PROBLEMS_MAX:] = [f"and {rest} more of this kind"]
    return everything
