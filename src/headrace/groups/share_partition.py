"""The records of one partition that one share group has in flight (KIP-932): the automaton.

Below `start_offset` every record is finished; from `end_offset` on none was ever acquired; what
lies between is the window. A record that is available can be acquired by a member, which locks it
until it acknowledges, until the lock's time is up or until the member is gone:

    available -> acquired -> finished                   accepted, or an offset without a record
                          -> available                  released, timed out, member gone
                          -> (archiving ->) finished    rejected, or the last of those deliveries

The delivery count rises when a record is acquired and never falls; as in Kafka, a member that dies
has had its delivery. Time is what the caller says it is. What must not enter: what a record holds,
what else the group does.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from headrace.groups.dead_letter import DeadLetterReason
from headrace.groups.share_steps import (
    Acknowledgement,
    Acquire,
    Acquired,
    Condemned,
    SharePartitionRecord,
    ShareSettings,
    ShareStep,
)
from headrace.groups.share_window import RecordState, Run, Window, joined
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k78_share_fetch import AcknowledgeType, AcquireMode

__all__ = ["SKIPPED_RECORDS_MAX", "SharePartition"]

SKIPPED_RECORDS_MAX: Final = 2000
"""Records that nobody can have and that are read over for the sake of those behind them."""
SUSPECT_COUNT_MIN: Final = 2
"""A record that came back once is no suspect yet, however low the limit."""

_AVAILABLE: Final = RecordState.AVAILABLE
_ACQUIRED: Final = RecordState.ACQUIRED
_ARCHIVING: Final = RecordState.ARCHIVING
_FINISHED: Final = RecordState.FINISHED
_KNOWN_TYPES: Final = frozenset(AcknowledgeType)


class SharePartition:
    """Every method is one step; `settings` may be replaced between steps."""

    __slots__ = ("_window", "settings", "state_epoch")

    def __init__(self, start_offset: int, settings: ShareSettings, state_epoch: int = 0) -> None:
        self.settings = settings
        self.state_epoch = state_epoch
        """Rises when an administrator sets the start."""
        self._window = Window(start_offset)

    @classmethod
    def restore(cls, record: SharePartitionRecord, settings: ShareSettings) -> "SharePartition":
        made = cls(record.start_offset, settings, record.state_epoch)
        made._window = Window(record.start_offset, (Run(*run) for run in record.runs))
        return made

    def record(self) -> SharePartitionRecord:
        """What must survive a restart."""
        runs = joined(
            Run(run.first, run.last, _AVAILABLE, run.delivery_count - 1)
            if run.state is _ACQUIRED
            else run
            for run in self._window.runs
        )
        while runs and runs[-1][2:4] == (_AVAILABLE, 0):
            runs.pop()
        kept = tuple((run.first, run.last, run.state, run.delivery_count) for run in runs)
        return SharePartitionRecord(self._window.start, self.state_epoch, kept)

    # Looking

    @property
    def start_offset(self) -> int:
        return self._window.start

    @property
    def end_offset(self) -> int:
        return self._window.end

    def unfinished(self) -> int:
        """Records of the window that are not finished."""
        return sum(run.records for run in self._window.runs if run.state is not _FINISHED)

    def acquired(self) -> int:
        """Records that members hold."""
        return sum(run.records for run in self._window.runs if run.state is _ACQUIRED)

    def finished(self) -> int:
        """Finished records that wait for an earlier one."""
        return sum(run.records for run in self._window.runs if run.state is _FINISHED)

    def next_offset(self) -> int | None:
        """From where on the log has to be read to acquire more; None while nothing can be."""
        for run in self._window.runs:
            if run.state is _AVAILABLE:
                return run.first
        return self._window.end if self._room() > 0 else None

    def reach(self, records_max: int) -> int:
        """No offset from here on is needed to acquire `records_max` records, or as many as lie
        close enough together to be read at once."""
        wanted, skipped = records_max, 0
        reached = None
        for run in self._window.runs:
            if run.state is _AVAILABLE:
                wanted -= run.records
                reached = run.last + 1
                if wanted <= 0:
                    return reached + wanted
            elif reached is not None:
                skipped += run.records
                if skipped > SKIPPED_RECORDS_MAX:
                    return reached
        return self._window.end + min(wanted, max(self._room(), 0))

    def condemned(self) -> tuple[Condemned, ...]:
        """What is to be written to the dead-letter topic, as known after a restart."""
        limit = self.settings.delivery_count_max
        return tuple(
            self._condemn(run, DeadLetterReason.of_restored(run.delivery_count, limit))
            for run in self._window.runs
            if run.state is _ARCHIVING
        )

    def next_deadline_ms(self) -> int | None:
        """When the first lock ends."""
        return min(
            (run.deadline_ms for run in self._window.runs if run.state is _ACQUIRED), default=None
        )

    # Steps

    def acquire(self, request: Acquire, now_ms: int) -> tuple[list[Acquired], ShareStep]:
        """Lock what is available of the batches, in order, for a member; fewer where records came
        back often. Offsets that the log does not hold are finished. What is acquired need not be
        durable."""
        request = self._without_suspects(request)
        answer: list[Acquired] = []
        left, room = request.records_max, max(self._room(), 0)
        position = request.read_from
        place = 0
        while place < len(request.batches) and left > 0 and position <= self._window.end:
            most = min(left, request.batch_size)
            first, last, place = self._stretch(request.batches, place, most)
            self._skip(position, first - 1)
            free = self._free(first, last, room)
            if request.mode is AcquireMode.RECORD_LIMIT:
                free = _at_most(left, free)
            for run in free:
                room -= max(run.last - max(run.first, self._window.end) + 1, 0)
                left -= run.records
                _append(answer, self._lock(run, request.member_id, now_ms), request.batch_size)
            position = last + 1
        if place == len(request.batches) and position <= self._window.end:
            self._skip(position, request.read_to - 1)
        return answer, self._settle(ShareStep())

    def acknowledge(
        self, member_id: str, acknowledgements: list[Acknowledgement], now_ms: int
    ) -> ShareStep:
        """All of them or none. Offsets below the start are overlooked: they are finished.

        Errors: INVALID_REQUEST for ranges that are no ranges, do not rise or lie behind the window,
        and for types that do not exist; INVALID_RECORD_STATE for what the member does not hold
        (any more: ranges that overlap), and for renewing where the group may not.
        """
        step = self._check(member_id, acknowledgements)
        if step.error:
            return step
        deadline_ms = now_ms + self.settings.lock_duration_ms
        for first, last, type_ in _spans(acknowledgements):
            for run in self._window.between(first, last):
                if type_ == AcknowledgeType.RENEW:
                    self._window.put(run._replace(deadline_ms=deadline_ms))
                    continue
                step.must_persist = True
                if type_ == AcknowledgeType.RELEASE:
                    self._give_back(run, step)
                elif type_ == AcknowledgeType.REJECT:
                    self._give_up(run, DeadLetterReason.REJECTED, step)
                else:
                    self._finish(run.first, run.last)
        return self._settle(step)

    def release_member(self, member_id: str) -> ShareStep:
        """The member has gone: others may have what it held."""
        return self._release(
            [r for r in self._window.runs if r.state is _ACQUIRED and r.member_id == member_id]
        )

    def tick(self, now_ms: int) -> ShareStep:
        """Locks whose time is up end."""
        return self._release(
            [r for r in self._window.runs if r.state is _ACQUIRED and r.deadline_ms <= now_ms]
        )

    def archived(self, first: int, last: int) -> ShareStep:
        """What of [first, last] waited for the dead-letter topic is there."""
        step = ShareStep()
        for run in self._window.between(first, last):
            if run.state is _ARCHIVING:
                self._finish(run.first, run.last)
                step.must_persist = True
        return self._settle(step)

    def log_started_at(self, offset: int) -> ShareStep:
        """The log no longer holds what is below `offset`."""
        step = ShareStep()
        if offset > self._window.start:
            self._window.drop_before(offset)
            step.must_persist = True
        return self._settle(step)

    def reset(self, start_offset: int) -> ShareStep:
        """An administrator says from where on records are shared; every lock ends."""
        self._window = Window(start_offset)
        self.state_epoch += 1
        return ShareStep(must_persist=True)

    # What steps are made of

    def _room(self) -> int:
        return self.settings.record_locks_max - self.unfinished()

    def _without_suspects(self, request: Acquire) -> Acquire:
        """The request up to where records must not be delivered together with others.

        One record that kills whoever has it must not use up the deliveries of all that came with
        it. So what came back from half of its deliveries is halved with each further one, and comes
        alone in the last.
        """
        limit = self.settings.delivery_count_max
        suspect_from = max(SUSPECT_COUNT_MIN, (limit + 1) // 2)
        end = request.read_to
        is_first = True
        for run in self._window.between(request.read_from, end - 1):
            if run.state is not _AVAILABLE:
                continue
            if run.delivery_count >= suspect_from:
                end = run.first
                if is_first:
                    is_last_delivery = run.delivery_count >= limit - 1
                    end += 1 if is_last_delivery else (run.records + 1) // 2
                break
            is_first = False
        if end == request.read_to:
            return request
        batches = [(first, min(last, end - 1)) for first, last in request.batches if first < end]
        return request._replace(batches=batches, read_to=end)

    def _stretch(
        self, batches: Sequence[tuple[int, int]], place: int, records_max: int
    ) -> tuple[int, int, int]:
        """First and last offset of the batch at `place`, and the place of the next one. Small
        batches that nobody was given yet are taken together, until they hold `records_max`."""
        first, last = batches[place]
        place += 1
        if first >= self._window.end:
            while place < len(batches) and batches[place][0] == last + 1:
                if last - first + 1 >= records_max:
                    break
                last = batches[place][1]
                place += 1
        return first, last, place

    def _free(self, first: int, last: int, room: int) -> list[Run]:
        """What can be acquired of [first, last], with room for so many more records."""
        free = [run for run in self._window.between(first, last) if run.state is _AVAILABLE]
        first, last = max(first, self._window.end), min(last, self._window.end + room - 1)
        if first <= last:
            free.append(Run(first, last, _AVAILABLE))
        return free

    def _lock(self, run: Run, member_id: str, now_ms: int) -> Run:
        locked = Run(
            run.first,
            run.last,
            _ACQUIRED,
            run.delivery_count + 1,
            member_id,
            now_ms + self.settings.lock_duration_ms,
        )
        self._window.put(locked)
        return locked

    def _check(self, member_id: str, acknowledgements: list[Acknowledgement]) -> ShareStep:
        """A step with an error if any of these cannot be carried out."""
        before = Acknowledgement(-1, -1, ())
        for first, last, types in acknowledgements:
            if not before.first < first <= last:
                return _invalid(f"[{first}, {last}] follows [{before.first}, {before.last}]")
            if first <= before.last:
                return _not_held(f"{first} to {before.last} are acknowledged twice")
            if len(types) not in (1, last - first + 1):
                return _invalid(f"{len(types)} types for the offsets {first} to {last}")
            if not _KNOWN_TYPES.issuperset(types):
                return _invalid(f"there are no such acknowledge types: {sorted(set(types))}")
            if AcknowledgeType.RENEW in types and not self.settings.may_renew:
                return _not_held("locks of this group cannot be renewed")
            if last >= self._window.end:
                return _invalid(f"offset {last} was never acquired; {self._window.end} is next")
            for run in self._window.between(first, last):
                if run.state is not _ACQUIRED or run.member_id != member_id:
                    return _not_held(f"{run.first} to {run.last} are not this member's")
            before = Acknowledgement(first, last, types)
        return ShareStep()

    def _release(self, runs: list[Run]) -> ShareStep:
        step = ShareStep(must_persist=bool(runs))
        for run in runs:
            self._give_back(run, step)
        return self._settle(step)

    def _give_back(self, run: Run, step: ShareStep) -> None:
        """Let others have an acquired record, unless it was delivered often enough."""
        if run.delivery_count >= self.settings.delivery_count_max:
            self._give_up(run, DeadLetterReason.DELIVERIES_USED_UP, step)
        else:
            self._window.put(Run(run.first, run.last, _AVAILABLE, run.delivery_count))

    def _give_up(self, run: Run, reason: DeadLetterReason, step: ShareStep) -> None:
        if self.settings.has_dead_letters:
            self._window.put(Run(run.first, run.last, _ARCHIVING, run.delivery_count))
            step.condemned += (self._condemn(run, reason),)
        else:
            self._finish(run.first, run.last)

    @staticmethod
    def _condemn(run: Run, reason: DeadLetterReason) -> Condemned:
        return Condemned(run.first, run.last, run.delivery_count, reason)

    def _skip(self, first: int, last: int) -> None:
        """The log was read and holds nothing in [first, last]: nobody needs to be given it."""
        for run in self._window.between(first, last):
            if run.state is _AVAILABLE:
                self._finish(run.first, run.last)
        if last >= self._window.end:
            self._finish(self._window.end, last)

    def _finish(self, first: int, last: int) -> None:
        self._window.put(Run(first, last, _FINISHED))

    def _settle(self, step: ShareStep) -> ShareStep:
        """Let the start move over what is finished."""
        runs = self._window.runs
        if runs and runs[0].state is _FINISHED:
            self._window.drop_before(runs[0].last + 1)
        return step


def _at_most(records_max: int, runs: list[Run]) -> list[Run]:
    """The first `records_max` records of `runs`."""
    cut: list[Run] = []
    for run in runs:
        if records_max <= 0:
            break
        cut.append(run.within(run.first, run.first + records_max - 1))
        records_max -= run.records
    return cut


def _append(answer: list[Acquired], run: Run, batch_size: int) -> None:
    """Add a run of one batch, joined with the one before if it is not too large already."""
    if answer:
        first, last, count = answer[-1]
        is_small = last - first + 1 < batch_size
        if last + 1 == run.first and count == run.delivery_count and is_small:
            answer[-1] = Acquired(first, run.last, count)
            return
    answer.append(Acquired(run.first, run.last, run.delivery_count))


def _spans(acknowledgements: list[Acknowledgement]) -> Iterator[tuple[int, int, int]]:
    """(first, last, type), neighbours of one type together."""
    for first, last, types in acknowledgements:
        if len(types) == 1:
            yield first, last, types[0]
            continue
        for type_, same in groupby(types):
            count = sum(1 for _ in same)
            yield first, first + count - 1, type_
            first += count


def _invalid(message: str) -> ShareStep:
    return ShareStep(ErrorCode.INVALID_REQUEST, message)


def _not_held(message: str) -> ShareStep:
    return ShareStep(ErrorCode.INVALID_RECORD_STATE, message)
