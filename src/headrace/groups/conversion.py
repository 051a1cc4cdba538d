"""How a group with members becomes one of the other kind, as pure functions (KIP-848, "Upgrade and
Downgrade").

Up: a next-generation member joins a classic group. Who is in it stays and keeps what it has; from
then on the broker assigns. What a member may hold is both what it was assigned and what it said it
owned when it joined last, so that a change in the middle of a rebalance gives nobody a partition
that somebody else still reads. Members that wait for a rebalance are answered by the new group.

Down: only members of the classic protocol are left. They are called in for a rebalance of their
own, for which they elect a leader as ever.

The groups that are handed in are not touched.
"""

from headrace.groups.assignment import assigned_of, packed_assignment
from headrace.groups.causes import Cause
from headrace.groups.changes import MemberRecord, Step
from headrace.groups.classic_in_consumer import answer_join, by_id
from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_member import NOTHING, ConsumerMember
from headrace.groups.consumer_records import ClassicPart, ConsumerMemberRecord, Partitions
from headrace.groups.group import Group
from headrace.groups.member import Member
from headrace.groups.rebalance import call_in
from headrace.groups.requests import JoinAnswer, SyncAnswer
from headrace.groups.states import State
from headrace.groups.subscription import CONSUMER, Subscription, subscription_of
from headrace.groups.topics_image import TopicPartition, TopicsImage
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["answer_waiting", "downgraded", "is_to_be_downgraded", "upgraded"]


def upgraded(group: Group, topics: TopicsImage, now_ms: int) -> ConsumerGroup:
    """A next-generation group of the members of this one, at its generation.

    Raises RequestError GROUP_ID_NOT_FOUND, Kafka's code for a group that must stay as it is.
    """
    told = _subscriptions(group)
    made = ConsumerGroup(group.group_id, group.settings, group.generation)
    made.topics = topics
    _carry_over(group, made)
    owners: dict[TopicPartition, str] = {}
    given = {name: _given(group, member, topics) for name, member in group.members.items()}
    for name, partitions in given.items():
        owners |= dict.fromkeys(partitions, name)
    # Whoever got its partitions last is right, should two claim the same.
    for name in sorted(told, key=lambda name: -told[name].generation):
        member = group.members[name]
        held = by_id(told[name].owned, topics)
        held = frozenset(one for one in held if owners.setdefault(one, name) == name)
        mine = frozenset(one for one in given[name] if owners[one] == name)
        made.add(_as_consumer(group, member, told[name], mine, held))
        _take_over_time(group, made, member, now_ms)
    for name, converted in made.members.items():
        may_have = converted.assigned | converted.revoking
        made.owners.update(dict.fromkeys(may_have, name))
        if name in group.awaiting_join:
            converted.reported = by_id(told[name].owned, topics) & may_have
    return made


def answer_waiting(group: Group, made: ConsumerGroup, now_ms: int) -> Step:
    """Answer all whose requests wait in the group that was."""
    for token in group.awaiting_sync.values():
        made.tell(token, SyncAnswer(ErrorCode.REBALANCE_IN_PROGRESS))
    for member_id, token in group.awaiting_join.items():
        member = made.members.get(member_id)
        if member is not None and member.classic is not None:
            answer_join(made, member, token, now_ms)
        else:  # who made the group another took its place
            made.tell(token, JoinAnswer(ErrorCode.FENCED_INSTANCE_ID))
    return made.take_step()


def is_to_be_downgraded(group: ConsumerGroup) -> bool:
    """Whether only members of the classic protocol are left, and may be a group of their own."""
    return (
        0 < len(group.members) == group.classic_members <= group.settings.group_members_max
        and group.settings.consumer_migration.downgrades
    )


def downgraded(group: ConsumerGroup, now_ms: int) -> Group:
    """A classic group of the members of this one, all of which are to join again."""
    made = Group(group.group_id, group.settings, group.generation)
    _carry_over(group, made)
    for member in group.members.values():
        if member.classic is not None:
            record = _as_classic(group, member, member.classic)
            made.add(Member(record, is_new=False, deadline_ms=member.deadline_ms))
            made.epochs[member.member_id] = member.epoch
    if made.members:
        made.protocol_type = CONSUMER
        made.protocol = made.elect_protocol()
        made.state = State.STABLE
        call_in(made, now_ms, Cause.CONVERTED, "its last next-generation member is gone")
        made.mark_unsaved()
    return made


def _subscriptions(group: Group) -> dict[str, Subscription]:
    """What each member said last. Raises RequestError if the group cannot be upgraded."""
    if not group.members:
        return {}
    if not group.settings.consumer_migration.upgrades:
        raise _stays(group, "group.consumer.migration.policy does not allow it")
    if group.protocol_type != CONSUMER:
        raise _stays(group, f"its members are no consumers but {group.protocol_type!r}")
    if len(group.members) > group.settings.consumer_members_max:
        raise _stays(group, "it has more members than group.consumer.max.size")
    told = {}
    for member in group.members.values():
        subscription = subscription_of(member.protocols[0][1])
        assigned = assigned_of(member.assignment)
        if subscription is None or assigned is None:
            raise _stays(group, f"what {member.member_id!r} subscribes to cannot be read")
        if assigned.has_user_data:
            raise _stays(group, "its assignor tells the members more than their partitions")
        told[member.member_id] = subscription
    return told


def _stays(group: Group, why: str) -> RequestError:
    message = f"group {group.group_id!r} has members of the classic protocol, and stays so: {why}"
    return RequestError(ErrorCode.GROUP_ID_NOT_FOUND, message)


def _given(group: Group, member: Member, topics: TopicsImage) -> Partitions:
    assigned = assigned_of(member.assignment)
    return by_id(assigned.partitions, topics) if assigned is not None else NOTHING


def _as_consumer(
    group: Group, member: Member, told: Subscription, given: Partitions, held: Partitions
) -> ConsumerMember:
    """What it was given and holds it keeps. What it holds and was not given again it is on its way
    to give up; or there is no assignment yet, then it keeps that too."""
    is_unassigned = not member.assignment and group.state is not State.STABLE
    assigned = held if is_unassigned else given
    record = ConsumerMemberRecord(
        member_id=member.member_id,
        instance_id=member.instance_id,
        rack_id=told.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        names=told.topics,
        pattern="",
        assignor=None,
        epoch=group.generation_of(member.member_id),
        previous_epoch=group.generation_of(member.member_id),
        assigned=assigned,
        revoking=held - assigned,
        target=assigned,
        classic=ClassicPart(member.session_timeout_ms, member.protocols),
    )
    return ConsumerMember(record)


def _as_classic(group: ConsumerGroup, member: ConsumerMember, classic: ClassicPart) -> MemberRecord:
    known = group.topics.by_id
    told = subscription_of(classic.protocols[0][1])
    may_have = frozenset(
        (known[topic_id].name, index)
        for topic_id, index in member.assigned | member.revoking
        if topic_id in known
    )
    return MemberRecord(
        member_id=member.member_id,
        instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        session_timeout_ms=classic.session_timeout_ms,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        protocols=classic.protocols,
        assignment=packed_assignment(may_have, told.version if told else 0),
    )


def _carry_over(before: Group | ConsumerGroup, after: Group | ConsumerGroup) -> None:
    after.rebalances = before.rebalances
    after.rebalance_reason = before.rebalance_reason
    if before.outsiders_out_until_ms is not None:
        after.outsiders_out_until_ms = after.in_time(before.outsiders_out_until_ms)


def _take_over_time(group: Group, made: ConsumerGroup, member: Member, now_ms: int) -> None:
    """Sessions go on; those of members that waited for us begin anew."""
    converted = made.members[member.member_id]
    if group.deadline_of(member) is None or member.is_new:
        made.heard_of(converted, now_ms)
    else:
        converted.deadline_ms = made.in_time(member.deadline_ms)
    if converted.revoking:
        made.demand(converted, now_ms)
