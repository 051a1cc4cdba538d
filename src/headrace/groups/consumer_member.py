"""One member of a next-generation group: what it wants, what it was told, what it has."""

from headrace.groups.consumer_records import ClassicPart, ConsumerMemberRecord, Partitions
from headrace.groups.consumer_requests import LEAVE_FOR_A_WHILE
from headrace.groups.topic_pattern import TopicPattern, compiled

__all__ = ["NOTHING", "ConsumerMember"]

NOTHING: Partitions = frozenset()


class ConsumerMember:
    """Mutable; owned by one `ConsumerGroup`. Its fields are explained in the record."""

    __slots__ = (
        "act_by_ms",
        "assigned",
        "assignor",
        "classic",
        "client_host",
        "client_id",
        "deadline_ms",
        "epoch",
        "instance_id",
        "member_id",
        "names",
        "pattern",
        "previous_epoch",
        "rack_id",
        "rebalance_timeout_ms",
        "reported",
        "revoking",
        "since",
        "target",
    )

    def __init__(self, record: ConsumerMemberRecord) -> None:
        """Raises PatternError for a pattern that was never checked."""
        self.member_id = record.member_id
        self.instance_id = record.instance_id
        self.rack_id = record.rack_id
        self.client_id = record.client_id
        self.client_host = record.client_host
        self.rebalance_timeout_ms = record.rebalance_timeout_ms
        self.names = record.names
        self.pattern: TopicPattern | None = compiled(record.pattern) if record.pattern else None
        self.assignor = record.assignor
        self.epoch = record.epoch
        self.previous_epoch = record.previous_epoch
        self.assigned = record.assigned
        self.revoking = record.revoking
        self.target = record.target
        self.reported: Partitions | None = None if record.revoking else record.assigned
        """What it last said it has; None: unknown. Saying nothing means that this is still so."""
        self.since = dict.fromkeys(record.assigned | record.revoking, record.epoch)
        """The epoch at which it was given each partition that it has (KIP-1251). Not saved: after a
        restart it has had them since its present epoch, which is late and never early."""
        self.deadline_ms = 0
        """When it is given up, unless it is heard of before."""
        self.act_by_ms: int | None = None
        """When it is given up unless it has done what it was told: to give up partitions or, in the
        classic protocol, to join again or to fetch its assignment."""
        self.classic: ClassicPart | None = record.classic

    @property
    def is_away(self) -> bool:
        return self.epoch == LEAVE_FOR_A_WHILE

    def record(self) -> ConsumerMemberRecord:
        return ConsumerMemberRecord(
            member_id=self.member_id,
            instance_id=self.instance_id,
            rack_id=self.rack_id,
            client_id=self.client_id,
            client_host=self.client_host,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            names=self.names,
            pattern=self.pattern.expression if self.pattern else "",
            assignor=self.assignor,
            epoch=self.epoch,
            previous_epoch=self.previous_epoch,
            assigned=self.assigned,
            revoking=self.revoking,
            target=self.target,
            classic=self.classic,
        )
