"""A member of a classic group: JoinGroup, SyncGroup, heartbeats; whoever leads assigns.

Eager: it gives everything up before it joins again.
"""

from itertools import cycle
from typing import Final

from headrace.groups.assignment import assigned_partitions, packed_assignment
from headrace.testing.scripted_coordinator import packed_subscription
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k11_join_group import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
)
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest, HeartbeatResponse
from headrace.wire.messages.k13_leave_group import (
    LeaveGroupRequest,
    LeaveGroupRequestMember,
    LeaveGroupResponse,
)
from headrace.wire.messages.k14_sync_group import (
    SyncGroupRequest,
    SyncGroupRequestAssignment,
    SyncGroupResponse,
)
from sim.clients.client import Site
from sim.clients.member import LATER, Grouping, Lost, Member
from sim.connection import Connection
from sim.world import SECOND

__all__ = ["ClassicMember"]

SESSION_MS: Final = 20_000
REBALANCE_MS: Final = 25_000
HEARTBEAT_NS: Final = 3 * SECOND
JOIN_S_MAX: Final = 60.0
THINK_S: Final = 1.0
LEAVE_ONE_IN: Final = 200
DIE_ONE_IN: Final = 200
AWAY_S: Final = 40.0


class ClassicMember(Member):
    """Its member id is the coordinator's choice."""

    def __init__(self, site: Site, name: str, grouping: Grouping) -> None:
        super().__init__(site, name, grouping)
        self._member_id = ""
        self._generation = -1
        self._synced = -1
        """The last generation in which it was given something: only then a generation counts."""
        self._must_join = True
        self._next_heartbeat_ns = 0

    def member_id(self) -> str:
        return self._member_id

    async def work(self, connection: Connection) -> None:
        try:
            if self._member_id == "":
                self.begin_life()
            while not self.is_done():
                if self._must_join:
                    await self._join(connection)
                else:
                    await self._heartbeat_if_due(connection)
                if not self._must_join:
                    await self.read_some(connection)
                    await self.commit(connection, self._generation)
                    if not self.site.is_ending and await self._goes(connection):
                        return
                await self.think(THINK_S)
        except Lost as why:
            self.note(f"lost: {why}")
            self._begin_anew()

    def disconnected(self) -> None:
        """Whatever it asked may have had its effect: joining again is always right."""
        self._rejoin()

    def _rejoin(self) -> None:
        self.give_up(set(self.holds))
        self._must_join = True

    def _begin_anew(self) -> None:
        self.end_life()
        self._member_id, self._generation = "", -1
        self._synced = -1
        self._must_join = True

    async def _join(self, connection: Connection) -> None:
        metadata = packed_subscription([self.grouping.topic])
        request = JoinGroupRequest(
            group_id=self.grouping.group,
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            member_id=self._member_id,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol("range", metadata)],
        )
        joined = await connection.ask(request, JoinGroupResponse, timeout_s=JOIN_S_MAX)
        if joined.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            self._member_id = joined.member_id
            return
        if self.is_refused(joined.error_code, "JoinGroup"):
            return
        if joined.generation_id < self._synced:
            self.problem(f"generation {joined.generation_id} after {self._synced}")
        self._member_id, self._generation = joined.member_id, joined.generation_id
        assignments = []
        if joined.leader == joined.member_id:
            assignments = self._assign(sorted(member.member_id for member in joined.members))
        sync = SyncGroupRequest(
            self.grouping.group,
            self._generation,
            self._member_id,
            protocol_type="consumer",
            protocol_name="range",
            assignments=assignments,
        )
        synced = await connection.ask(sync, SyncGroupResponse, timeout_s=JOIN_S_MAX)
        if self.is_refused(synced.error_code, "SyncGroup"):
            return
        self._synced = self._generation
        given = assigned_partitions(synced.assignment) or frozenset()
        mine = {index for _, index in given}
        self.note(f"generation {self._generation}, is to have {sorted(mine)}")
        await self.take(connection, mine, self._generation)
        self._must_join = self.holds.keys() != mine
        self._next_heartbeat_ns = self.site.world.now_ns + HEARTBEAT_NS

    def _assign(self, members: list[str]) -> list[SyncGroupRequestAssignment]:
        given: dict[str, set[tuple[str, int]]] = {member: set() for member in members}
        for partition, member in zip(range(self.grouping.partitions), cycle(members), strict=False):
            given[member].add((self.grouping.topic, partition))
        return [
            SyncGroupRequestAssignment(member, packed_assignment(frozenset(mine), 3))
            for member, mine in given.items()
        ]

    async def _heartbeat_if_due(self, connection: Connection) -> None:
        now_ns = self.site.world.now_ns
        if now_ns < self._next_heartbeat_ns:
            return
        self._next_heartbeat_ns = now_ns + HEARTBEAT_NS
        request = HeartbeatRequest(self.grouping.group, self._generation, self._member_id)
        answer = await connection.ask(request, HeartbeatResponse)
        if answer.error_code in LATER:
            await self.commit(connection, self._generation)
            self._rejoin()
        else:
            self.is_refused(answer.error_code, "Heartbeat")

    async def _goes(self, connection: Connection) -> bool:
        if self.random.randrange(LEAVE_ONE_IN) == 0:
            self.note("leaves")
            self.give_up(set(self.holds))
            leaving = LeaveGroupRequestMember(self._member_id)
            request = LeaveGroupRequest(self.grouping.group, members=[leaving])
            answer = await connection.ask(request, LeaveGroupResponse)
            self.is_refused(answer.error_code, "LeaveGroup")
        elif self.random.randrange(DIE_ONE_IN) == 0:
            self.note("dies")
        else:
            return False
        self._begin_anew()
        await self.think(AWAY_S)
        return True
