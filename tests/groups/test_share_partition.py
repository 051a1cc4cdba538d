"""Any order of acquiring, acknowledging, dying, waiting and restarting, beside a model that keeps
every record for itself.

- no record is held by two members, and none is delivered more often than the limit allows
- what is acknowledged is what the member holds, all of a request or nothing of it
- the start never goes back, and what was not finished is available again in the end
"""

from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.groups.share_partition import SharePartition
from headrace.groups.share_steps import Acknowledgement, Acquire, ShareSettings
from headrace.groups.share_window import RecordState
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k78_share_fetch import AcknowledgeType, AcquireMode

LOCK_MS = 1000
LOCKS_MAX = 30
LIMIT = 3
MEMBERS = st.sampled_from(["m1", "m2", "m3"])
SETTINGS = ShareSettings(LOCK_MS, LIMIT, LOCKS_MAX)


@dataclass
class Record:
    state: RecordState = RecordState.AVAILABLE
    count: int = 0
    member: str = ""
    deadline: int = 0


class Sharing(RuleBasedStateMachine):
    @initialize(has_dead_letters=st.booleans(), gaps=st.sets(st.integers(0, 200)))
    def begin(self, has_dead_letters: bool, gaps: set[int]) -> None:
        self.settings = replace(SETTINGS, has_dead_letters=has_dead_letters)
        self.partition = SharePartition(0, self.settings)
        self.records: dict[int, Record] = {}
        """Of those in the window."""
        self.gaps = gaps
        self.batches: list[tuple[int, int]] = []
        self.now = 0
        self.start = 0
        self.log_end = 0
        self.delivered: dict[int, int] = {}
        self.condemned: set[int] = set()

    @rule(size=st.integers(1, 12))
    def append(self, size: int) -> None:
        """One batch, cut where the log has lost records."""
        offsets = range(self.log_end, self.log_end + size)
        there = [offset for offset in offsets if offset not in self.gaps]
        if there:
            self.batches.append((there[0], there[-1]))
        self.log_end += size

    @rule(member=MEMBERS, most=st.integers(1, 20), mode=st.sampled_from(AcquireMode))
    def acquire(self, member: str, most: int, mode: AcquireMode) -> None:
        begin = self.partition.next_offset()
        if begin is None or begin >= self.log_end:
            return
        read_to = min(self.log_end, max(self.partition.reach(most), begin + 1))
        batches = [batch for batch in self.batches if batch[1] >= begin and batch[0] < read_to]
        read_to = max([read_to, *(last + 1 for _, last in batches)])
        request = Acquire(member, begin, read_to, batches, most, mode, batch_size=5)
        acquired, step = self.partition.acquire(request, self.now)
        assert not step.error
        total = 0
        for first, last, count in acquired:
            for offset in range(first, last + 1):
                record = self.records.setdefault(offset, Record())
                assert record.state is RecordState.AVAILABLE, offset
                assert count == record.count + 1 <= LIMIT
                self.records[offset] = Record(
                    RecordState.ACQUIRED, count, member, self.now + LOCK_MS
                )
                total += 1
        if mode is AcquireMode.RECORD_LIMIT:
            assert total <= most
        elif acquired and total > most:
            before_last = max(first for first, last in batches if first <= acquired[-1].last)
            held = sum(
                min(last, before_last - 1) - first + 1
                for first, last, _ in acquired
                if first < before_last
            )
            assert held < most, "only the last batch may exceed what was asked for"
        self._mark_gaps(begin, read_to)
        assert acquired or self.partition.next_offset() != begin

    def _mark_gaps(self, begin: int, read_to: int) -> None:
        """Offsets that lie between batches and were passed are finished."""
        inside = {o for first, last in self.batches for o in range(first, last + 1)}
        for offset in range(begin, min(read_to, self.partition.end_offset)):
            if offset not in inside:
                record = self.records.setdefault(offset, Record())
                told = self._told().get(offset)
                if record.state is RecordState.AVAILABLE and told in (None, RecordState.FINISHED):
                    record.state = RecordState.FINISHED

    @rule(
        member=MEMBERS,
        first=st.integers(-3, 40),
        types=st.lists(st.sampled_from(AcknowledgeType), min_size=1, max_size=8),
        length=st.none() | st.integers(1, 8),
    )
    def acknowledge(
        self, member: str, first: int, types: list[AcknowledgeType], length: int | None
    ) -> None:
        first = max(self.partition.start_offset + first, 0)
        if length is not None:
            types = types[:1]
        last = first + (len(types) if length is None else length) - 1
        step = self.partition.acknowledge(member, [Acknowledgement(first, last, types)], self.now)
        each = dict(zip(range(first, last + 1), types * (length or 1), strict=True))
        live = [offset for offset in each if offset >= self.start]
        held = [
            offset in self.records
            and self.records[offset].state is RecordState.ACQUIRED
            and self.records[offset].member == member
            for offset in live
        ]
        if last >= self.partition.end_offset:
            assert step.error == ErrorCode.INVALID_REQUEST or not all(held)
            assert step.error
            return
        assert step.error == (ErrorCode.NONE if all(held) else ErrorCode.INVALID_RECORD_STATE)
        if step.error:
            return
        assert step.must_persist == any(each[o] != AcknowledgeType.RENEW for o in live)
        for offset in live:
            record = self.records[offset]
            if each[offset] == AcknowledgeType.RENEW:
                record.deadline = self.now + LOCK_MS
            elif each[offset] == AcknowledgeType.RELEASE:
                self._give_back(record)
            elif each[offset] == AcknowledgeType.REJECT:
                self._give_up(record)
            else:
                record.state = RecordState.FINISHED

    def _give_back(self, record: Record) -> None:
        if record.count >= LIMIT:
            self._give_up(record)
        else:
            record.state = RecordState.AVAILABLE

    def _give_up(self, record: Record) -> None:
        dead = self.settings.has_dead_letters
        record.state = RecordState.ARCHIVING if dead else RecordState.FINISHED

    @rule(member=MEMBERS)
    def die(self, member: str) -> None:
        self.partition.release_member(member)
        for record in self.records.values():
            if record.state is RecordState.ACQUIRED and record.member == member:
                self._give_back(record)

    @rule(ms=st.integers(1, LOCK_MS))
    def wait(self, ms: int) -> None:
        self.now += ms
        deadline = self.partition.next_deadline_ms()
        held = [r.deadline for r in self.records.values() if r.state is RecordState.ACQUIRED]
        assert deadline == min(held, default=None)
        self.partition.tick(self.now)
        for record in self.records.values():
            if record.state is RecordState.ACQUIRED and record.deadline <= self.now:
                self._give_back(record)

    @rule()
    def write_dead_letters(self) -> None:
        for first, last, _, _ in self.partition.condemned():
            assert self.partition.archived(first, last).must_persist
        for record in self.records.values():
            if record.state is RecordState.ARCHIVING:
                record.state = RecordState.FINISHED

    @rule(ahead=st.integers(0, 20))
    def delete_records(self, ahead: int) -> None:
        offset = min(self.partition.start_offset + ahead, self.log_end)
        self.partition.log_started_at(offset)
        self.batches = [(max(f, offset), last) for f, last in self.batches if last >= offset]
        self.records = {o: record for o, record in self.records.items() if o >= offset}
        self.start = max(self.start, offset)

    @rule()
    def restart(self) -> None:
        record = self.partition.record()
        self.partition = SharePartition.restore(record, self.settings)
        for kept in self.records.values():
            if kept.state is RecordState.ACQUIRED:
                kept.state, kept.count = RecordState.AVAILABLE, kept.count - 1
        assert self.partition.record() == record

    def _told(self) -> dict[int, RecordState]:
        return {
            offset: run.state
            for run in self.partition._window.runs
            for offset in range(run.first, run.last + 1)
        }

    @invariant()
    def every_record_is_where_the_model_has_it(self) -> None:
        if not hasattr(self, "records"):
            return
        while self.start in self.records:
            if self.records[self.start].state is not RecordState.FINISHED:
                break
            del self.records[self.start]
            self.start += 1
        assert self.partition.start_offset == self.start
        told = self._told()
        for offset, record in self.records.items():
            # What was never acquired need not survive a restart.
            assert told.get(offset, RecordState.AVAILABLE) is record.state, offset
            if offset not in told:
                assert record.count == 0
        assert told.keys() <= self.records.keys()
        assert self.partition.unfinished() <= LOCKS_MAX
        assert len(told) == self.partition.end_offset - self.partition.start_offset

    def teardown(self) -> None:
        """Somebody who accepts everything finishes everything that is there."""
        if not hasattr(self, "records"):
            return
        for member in ("m1", "m2", "m3"):
            self.die(member)
        self.write_dead_letters()
        for _ in range(2000):
            begin = self.partition.next_offset()
            if begin is None or begin >= self.log_end:
                break
            batches = [batch for batch in self.batches if batch[1] >= begin]
            acquired, _ = self.partition.acquire(
                Acquire("last", begin, self.log_end, batches, 100), self.now
            )
            whole = [Acknowledgement(first, last, [1]) for first, last, _ in acquired]
            assert not self.partition.acknowledge("last", whole, self.now).error
        assert self.partition.start_offset >= self.log_end


TestSharing = Sharing.TestCase
TestSharing.settings = settings(max_examples=250, stateful_step_count=30, deadline=None)


def _acquired(count: int = 10, **changes: int) -> SharePartition:
    partition = SharePartition(0, replace(SETTINGS, record_locks_max=2000, **changes))
    acquired, _ = partition.acquire(Acquire("m1", 0, count, [(0, count - 1)], 500), 0)
    assert [tuple(run) for run in acquired] == [(0, count - 1, 1)]
    return partition


def test_whole_batches_are_one_run() -> None:
    partition = _acquired(1000)
    partition.acknowledge("m1", [Acknowledgement(0, 998, [1])], 0)
    assert partition.start_offset == 999
    assert len(partition._window.runs) == 1


def test_a_member_acknowledges_all_of_a_request_or_nothing() -> None:
    partition = _acquired()
    both = [Acknowledgement(0, 4, [1]), Acknowledgement(5, 9, [1])]
    assert not partition.acknowledge("m1", both[1:], 0).error
    assert partition.acknowledge("m1", both, 0).error == ErrorCode.INVALID_RECORD_STATE
    overlapping = [Acknowledgement(0, 4, [1]), Acknowledgement(4, 4, [1])]
    assert partition.acknowledge("m1", overlapping, 0).error == ErrorCode.INVALID_RECORD_STATE
    assert (partition.start_offset, partition.acquired()) == (0, 5)


def test_ranges_that_fall_or_were_never_acquired_are_no_request() -> None:
    partition = _acquired()
    for wrong in (
        [Acknowledgement(5, 4, [1])],
        [Acknowledgement(4, 5, [1]), Acknowledgement(0, 3, [1])],
        [Acknowledgement(0, 4, [1, 1])],
        [Acknowledgement(0, 4, [])],
        [Acknowledgement(0, 4, [9])],
        [Acknowledgement(5, 10, [1])],
    ):
        assert partition.acknowledge("m1", wrong, 0).error == ErrorCode.INVALID_REQUEST
    assert partition.acquired() == 10


def test_what_an_administrator_set_back_is_delivered_again() -> None:
    partition = _acquired()
    partition.acknowledge("m1", [Acknowledgement(0, 9, [1])], 0)
    partition.reset(3)
    assert (partition.start_offset, partition.state_epoch, partition.next_offset()) == (3, 1, 3)


def test_a_record_that_comes_back_late_does_not_make_all_since_be_read_again() -> None:
    partition = _acquired(10)
    for first in range(10, 50_000, 1000):
        partition.acquire(Acquire("m2", first, first + 1000, [(first, first + 999)], 1000), 0)
        partition.acknowledge("m2", [Acknowledgement(first, first + 999, [1])], 0)
    end = partition.end_offset
    assert partition.reach(500) == end + 500
    partition.acknowledge("m1", [Acknowledgement(3, 4, [2])], 0)
    assert (partition.next_offset(), partition.reach(500)) == (3, 5)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("limit", [3, 5, 10])
def test_a_record_that_kills_its_readers_takes_no_other_along(limit: int, batch_size: int) -> None:
    partition = SharePartition(0, ShareSettings(LOCK_MS, limit))
    batches = [(first, min(first + batch_size, 100) - 1) for first in range(0, 100, batch_size)]
    accepted: set[int] = set()
    deaths = 0
    while partition.start_offset < 100:
        begin = partition.next_offset()
        assert begin is not None
        ahead = [(max(first, begin), last) for first, last in batches if last >= begin]
        acquired, _ = partition.acquire(Acquire("m", begin, 100, ahead, 500), 0)
        mine = {offset for first, last, _ in acquired for offset in range(first, last + 1)}
        if 37 in mine:
            partition.release_member("m")
            deaths += 1
        else:
            accepted |= mine
            partition.acknowledge(
                "m", [Acknowledgement(f, last, [1]) for f, last, _ in acquired], 0
            )
    assert accepted == set(range(100)) - {37}
    assert deaths == limit


def test_answers_are_cut_at_batches_once_they_are_large() -> None:
    partition = SharePartition(0, SETTINGS)
    batches = [(offset, offset + 1) for offset in range(0, 12, 2)]
    acquired, _ = partition.acquire(Acquire("m1", 0, 12, batches, 500, batch_size=4), 0)
    assert [(first, last) for first, last, _ in acquired] == [(0, 3), (4, 7), (8, 11)]
