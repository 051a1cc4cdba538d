"""From one generation to the next: call everyone in, wait for them, elect, announce.

A group that was empty first gathers for `initial_rebalance_delay_ms`, and once more whenever
somebody came meanwhile; any other group is ready when all its members have joined again or the
longest of their rebalance timeouts is over. Static members that have not joined keep their place.
"""

from typing import Final

from headrace.groups.causes import Cause
from headrace.groups.group import Group
from headrace.groups.requests import SyncAnswer
from headrace.groups.states import Event, State
from headrace.wire.errors import ErrorCode

__all__ = ["call_in", "end_join_phase", "end_join_phase_if_complete"]

REASON_LENGTH_MAX: Final = 500
"""Of the text that people see; it can name every member, and quote clients."""


def call_in(group: Group, now_ms: int, cause: Cause, reason: str) -> None:
    """Membership has changed: start a rebalance, or see whether the one under way is complete."""
    if group.state is State.PREPARING:
        end_join_phase_if_complete(group, now_ms)
        return
    group.rebalance_cause = cause
    group.rebalance_reason = reason[:REASON_LENGTH_MAX]
    was_empty = group.state is State.EMPTY
    _end_sync_phase(group, now_ms)
    group.move(Event.REBALANCE)
    if was_empty:
        _gather(group, now_ms)
    elif group.has_everyone():
        end_join_phase(group, now_ms)
    else:
        group.join_deadline_ms = group.in_time(now_ms + group.rebalance_timeout_ms())


def end_join_phase_if_complete(group: Group, now_ms: int) -> None:
    if group.gathering_until_ms is None and group.has_everyone():
        end_join_phase(group, now_ms)


def end_join_phase(group: Group, now_ms: int) -> None:
    """Begin the next generation with those who have joined; others but static ones are out."""
    group.join_deadline_ms = group.gathering_until_ms = None
    for member in list(group.members.values()):
        if member.instance_id is None and member.member_id not in group.awaiting_join:
            group.remove(member.member_id)
    if group.members and not group.awaiting_join:
        # Only static members are left and all are away: nobody could lead. Until their sessions
        # end there is nothing to decide.
        group.join_deadline_ms = group.in_time(now_ms + group.rebalance_timeout_ms())
        return
    group.generation += 1
    group.epochs.clear()
    group.rebalances += 1
    group.mark_unsaved()
    if not group.members:
        group.protocol = group.leader = None
        group.move(Event.DESERTED)
        return
    if group.leader not in group.awaiting_join:
        group.leader = next(iter(group.awaiting_join))
    group.outsiders_out_until_ms = None
    group.protocol = group.elect_protocol()
    group.move(Event.JOINED)
    _announce(group, now_ms)


def _announce(group: Group, now_ms: int) -> None:
    group.to_sync = set(group.members)
    group.sync_deadline_ms = group.in_time(now_ms + group.rebalance_timeout_ms())
    for member in group.members.values():
        member.assignment = b""
        if group.answer_join(member.member_id, group.joined(member)):
            member.is_new = False
            group.heard_of(member, now_ms)


def _gather(group: Group, now_ms: int) -> None:
    delay_ms = group.settings.initial_rebalance_delay_ms
    if delay_ms <= 0:
        end_join_phase(group, now_ms)
        return
    group.gathering_until_ms = now_ms + max(delay_ms, group.rebalance_timeout_ms())
    group.gathered_more = False
    group.join_deadline_ms = group.in_time(now_ms + delay_ms)


def _end_sync_phase(group: Group, now_ms: int) -> None:
    """Nobody gets an assignment of a generation that is over before it was assigned."""
    group.sync_deadline_ms = None
    group.to_sync.clear()
    for member_id in list(group.awaiting_sync):
        group.answer_sync(member_id, SyncAnswer(ErrorCode.REBALANCE_IN_PROGRESS))
        group.heard_of(group.members[member_id], now_ms)
