"""Share sessions: which partitions a member fetches, and the connection that it does it on.

A session is opened with epoch 0, each further request counts it up, and -1 closes it. It belongs to
the connection it was last used on; when that closes the session ends, and everything that the
member holds is given back. A member that opens a session anew keeps what it holds.
What must not enter: records, answers.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from headrace.broker.share.shared_partition import SharedPartition
from headrace.wire.errors import ErrorCode, RequestError

__all__ = [
    "CLOSING",
    "OPENING",
    "SESSION_PARTITIONS_MAX",
    "Sessions",
    "ShareSession",
]

OPENING: Final = 0
CLOSING: Final = -1
EPOCH_LAST: Final = 2**31 - 1

SESSION_PARTITIONS_MAX: Final = 10_000
"""Partitions that one member fetches."""

TopicPartition = tuple[UUID | None, int]


class ShareSession:
    __slots__ = (
        "connection_id",
        "epoch",
        "group_id",
        "held",
        "is_open",
        "member_id",
        "partitions",
        "waiting",
    )

    def __init__(self, group_id: str, member_id: str, connection_id: int) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.connection_id = connection_id
        self.epoch = OPENING
        """Of the last request."""
        self.partitions: dict[TopicPartition, None] = {}
        """In the order in which they were asked for."""
        self.held: set[SharedPartition] = set()
        """Where the member may hold records."""
        self.is_open = True
        self.waiting: set[asyncio.Future[None]] = set()
        """One for each fetch of it that waits."""

    def end(self) -> None:
        """A fetch that still waits is answered, and takes nothing any more."""
        self.is_open = False
        for woken in self.waiting:
            if not woken.done():
                woken.set_result(None)

    def in_turn(self) -> list[TopicPartition]:
        """Each time another partition comes first, so that one that is always full does not keep
        the others from their turn."""
        ordered = list(self.partitions)
        first = self.epoch % len(ordered) if ordered else 0
        return ordered[first:] + ordered[:first]


class Sessions:
    """All sessions of the broker."""

    def __init__(self, sessions_max: int) -> None:
        """`sessions_max`: group.share.max.share.sessions."""
        self._sessions_max = sessions_max
        self._by_member: dict[tuple[str, str], ShareSession] = {}
        self._by_connection: dict[int, set[ShareSession]] = {}

    def __len__(self) -> int:
        return len(self._by_member)

    def open(self, group_id: str, member_id: str, connection_id: int) -> ShareSession:
        """Raises RequestError SHARE_SESSION_LIMIT_REACHED."""
        before = self._by_member.get((group_id, member_id))
        if before is None and len(self._by_member) >= self._sessions_max:
            raise RequestError(
                ErrorCode.SHARE_SESSION_LIMIT_REACHED,
                f"{self._sessions_max} share sessions are open (group.share.max.share.sessions)",
            )
        session = ShareSession(group_id, member_id, connection_id)
        if before is not None:
            session.held = before.held
            self.close(before)
            before.end()
        self._add(session)
        return session

    def find(self, group_id: str, member_id: str, epoch: int, connection_id: int) -> ShareSession:
        """The session of a request that continues or closes it; its epoch is counted up.

        Raises RequestError: SHARE_SESSION_NOT_FOUND, INVALID_SHARE_SESSION_EPOCH.
        """
        session = self._by_member.get((group_id, member_id))
        if session is None:
            raise RequestError(
                ErrorCode.SHARE_SESSION_NOT_FOUND,
                f"member {member_id[:60]!r} has no share session",
            )
        if epoch == CLOSING:
            return session
        expected = 1 if session.epoch == EPOCH_LAST else session.epoch + 1
        if epoch != expected:
            raise RequestError(
                ErrorCode.INVALID_SHARE_SESSION_EPOCH,
                f"share session epoch {epoch}, expected is {expected}",
            )
        session.epoch = epoch
        if session.connection_id != connection_id:
            self.close(session)
            session.connection_id = connection_id
            self._add(session)
        return session

    def update(
        self,
        session: ShareSession,
        added: Iterable[TopicPartition],
        forgotten: Iterable[TopicPartition],
    ) -> None:
        """Raises RequestError INVALID_REQUEST for too many."""
        for partition in added:
            session.partitions[partition] = None
            if len(session.partitions) > SESSION_PARTITIONS_MAX:
                raise RequestError(
                    ErrorCode.INVALID_REQUEST,
                    f"a share session has at most {SESSION_PARTITIONS_MAX} partitions",
                )
        for partition in forgotten:
            session.partitions.pop(partition, None)

    def close(self, session: ShareSession) -> None:
        """Idempotent; what the member holds is not this room's."""
        if self._by_member.get((session.group_id, session.member_id)) is session:
            del self._by_member[session.group_id, session.member_id]
        beside = self._by_connection.get(session.connection_id)
        if beside is not None:
            beside.discard(session)
            if not beside:
                del self._by_connection[session.connection_id]

    def _add(self, session: ShareSession) -> None:
        self._by_member[session.group_id, session.member_id] = session
        self._by_connection.setdefault(session.connection_id, set()).add(session)

    def of_connection(self, connection_id: int) -> list[ShareSession]:
        return list(self._by_connection.get(connection_id, ()))

    def of_group(self, group_id: str) -> list[ShareSession]:
        return [found for (group, _), found in self._by_member.items() if group == group_id]

    def of_member(self, group_id: str, member_id: str) -> ShareSession | None:
        return self._by_member.get((group_id, member_id))
