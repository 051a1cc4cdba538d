"""One member of a classic group: who it is, what it can do, what it was given."""

from headrace.groups.changes import MemberRecord
from headrace.groups.requests import Join

__all__ = ["Member"]


class Member:
    """Mutable; owned by one `Group`. What it waits for is kept by the group."""

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "deadline_ms",
        "instance_id",
        "is_new",
        "member_id",
        "protocols",
        "rebalance_timeout_ms",
        "session_timeout_ms",
    )

    def __init__(self, record: MemberRecord, *, is_new: bool, deadline_ms: int) -> None:
        self.member_id = record.member_id
        self.instance_id = record.instance_id
        self.client_id = record.client_id
        self.client_host = record.client_host
        self.session_timeout_ms = record.session_timeout_ms
        self.rebalance_timeout_ms = record.rebalance_timeout_ms
        self.protocols = record.protocols
        self.assignment = record.assignment
        self.is_new = is_new
        """In no generation yet."""
        self.deadline_ms = deadline_ms
        """When it is given up, unless it is heard of before, or waits for us."""

    @classmethod
    def joining(cls, request: Join, member_id: str, client_id: str, deadline_ms: int) -> "Member":
        record = MemberRecord(
            member_id=member_id,
            instance_id=request.instance_id,
            client_id=client_id,
            client_host=request.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=rebalance_timeout_ms(request),
            protocols=request.protocols,
            assignment=b"",
        )
        return cls(record, is_new=True, deadline_ms=deadline_ms)

    def metadata_for(self, protocol: str | None) -> bytes:
        """What it said about itself for `protocol`; empty if it does not speak it."""
        for name, metadata in self.protocols:
            if name == protocol:
                return metadata
        return b""

    def record(self) -> MemberRecord:
        return MemberRecord(
            self.member_id,
            self.instance_id,
            self.client_id,
            self.client_host,
            self.session_timeout_ms,
            self.rebalance_timeout_ms,
            self.protocols,
            self.assignment,
        )


def rebalance_timeout_ms(request: Join) -> int:
    """v0 has one timeout for both."""
    if request.rebalance_timeout_ms < 0:
        return request.session_timeout_ms
    return request.rebalance_timeout_ms
