"""One member of a share group: what it wants, what it was told, what it shall be told next."""

from headrace.groups.share_records import ShareMemberRecord
from headrace.groups.topics_image import TopicPartition

__all__ = ["ShareMember"]


class ShareMember:
    """Mutable; owned by one `ShareGroup`."""

    __slots__ = (
        "assigned",
        "client_host",
        "client_id",
        "deadline_ms",
        "epoch",
        "epoch_min",
        "instance_id",
        "member_id",
        "names",
        "rack_id",
        "target",
    )

    def __init__(self, record: ShareMemberRecord, epoch: int) -> None:
        """`epoch`: of the group, at which the member is, or was before a restart at the latest."""
        self.member_id = record.member_id
        self.instance_id: str | None = None
        """Share groups have no static members."""
        self.rack_id = record.rack_id
        self.client_id = record.client_id
        self.client_host = record.client_host
        self.names = record.names
        self.target = record.target
        self.assigned: frozenset[TopicPartition] = record.target
        """What it was told to read, in `epoch`."""
        self.epoch = epoch
        self.epoch_min = 1
        """The least epoch it may still be at: an answer with a later one may have been lost."""
        self.deadline_ms = 0
        """When it is given up, unless it is heard of before."""

    def move_to(self, epoch: int) -> None:
        """It is told what it shall read from now on."""
        self.epoch = epoch
        self.assigned = self.target

    def record(self) -> ShareMemberRecord:
        return ShareMemberRecord(
            member_id=self.member_id,
            rack_id=self.rack_id,
            client_id=self.client_id,
            client_host=self.client_host,
            names=self.names,
            target=self.target,
        )
