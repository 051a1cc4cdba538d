"""What time does to a group: ids and sessions lapse, phases end."""

from headrace.groups.causes import Cause
from headrace.groups.group import Group
from headrace.groups.rebalance import call_in, end_join_phase, end_join_phase_if_complete
from headrace.groups.states import State

__all__ = ["tick"]


def tick(group: Group, now_ms: int) -> None:
    """Do what is due and find the next deadline; the cost is a look at every member."""
    _lapse(group, now_ms)
    if _is_due(group.join_deadline_ms, now_ms):
        _end_join_phase(group, now_ms)
    if _is_due(group.sync_deadline_ms, now_ms):
        late = list(group.to_sync)
        for member_id in late:
            group.remove(member_id)
        if late:
            call_in(group, now_ms, Cause.NO_SYNC, f"no SyncGroup in time from {', '.join(late)}")
    if _is_due(group.outsiders_out_until_ms, now_ms):
        group.outsiders_out_until_ms = None
    group.next_deadline_ms = min(
        (deadline_ms for deadline_ms in _deadlines(group) if deadline_ms is not None),
        default=None,
    )


def _lapse(group: Group, now_ms: int) -> None:
    pending = [member_id for member_id, end_ms in group.pending.items() if end_ms <= now_ms]
    for member_id in pending:
        del group.pending[member_id]
    silent = [
        member.member_id
        for member in group.members.values()
        if _is_due(group.deadline_of(member), now_ms)
    ]
    for member_id in silent:
        group.remove(member_id)
    if silent:
        call_in(group, now_ms, Cause.SESSION_ENDED, f"no heartbeat from {', '.join(silent)}")
    elif pending and group.state is State.PREPARING:
        end_join_phase_if_complete(group, now_ms)


def _end_join_phase(group: Group, now_ms: int) -> None:
    until_ms = group.gathering_until_ms
    if until_ms is not None and group.gathered_more and now_ms < until_ms:
        group.gathered_more = False
        delay_ms = group.settings.initial_rebalance_delay_ms
        group.join_deadline_ms = min(now_ms + delay_ms, until_ms)
    else:
        end_join_phase(group, now_ms)


def _deadlines(group: Group) -> list[int | None]:
    return [
        group.join_deadline_ms,
        group.sync_deadline_ms,
        group.outsiders_out_until_ms,
        *group.pending.values(),
        *(group.deadline_of(member) for member in group.members.values()),
    ]


def _is_due(deadline_ms: int | None, now_ms: int) -> bool:
    return deadline_ms is not None and deadline_ms <= now_ms
