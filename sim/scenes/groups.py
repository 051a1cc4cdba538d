"""A consumer group whose members come, go, die and are thought dead."""

from collections.abc import Iterator
from typing import Final

from headrace.testing.history import History, Place
from headrace.testing.history import judge as judge_log
from proof.judge import GroupHistory, Written, judge
from sim.clients.classic_member import ClassicMember
from sim.clients.client import Client, Site
from sim.clients.follower import sent_in
from sim.clients.member import Grouping, Member
from sim.clients.next_member import NextMember
from sim.clients.offsets import committed_offsets
from sim.clients.producer import Producer
from sim.scenes.scene import Reader, Scene, TopicWanted

__all__ = ["ClassicGroup", "NextGroup"]

PARTITIONS: Final = 4
MEMBERS: Final = 3


class Group(Scene):
    """Every record is given to a member, in order; commits never go back."""

    name: str
    member: type[Member]

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._history = History()
        self._grouping: Grouping | None = None

    def topics(self) -> Iterator[TopicWanted]:
        yield TopicWanted(f"for-{self.name}", PARTITIONS, {"segment.bytes": "32768"})

    def clients(self) -> Iterator[Client]:
        topic = f"for-{self.name}"
        acked = self._history.acked
        producer = Producer(self.site, f"for-{self.name}", topic, PARTITIONS, acked)
        yield producer
        self._grouping = Grouping(f"group-{self.name}", topic, PARTITIONS, producer)
        for number in range(MEMBERS):
            yield self.member(self.site, f"{self.name}{number}", self._grouping)

    async def judge(self, reader: Reader) -> list[str]:
        grouping = self._grouping
        assert grouping is not None
        records = {p: await reader.read_all(grouping.topic, p) for p in range(PARTITIONS)}
        places = [(Place(p, r.offset), sent_in(r)) for p, them in records.items() for r in them]
        problems = judge_log(self._history, places)
        log = {
            partition: [Written(sent_in(record).sequence, 0.0) for record in them]
            for partition, them in records.items()
        }
        problems += judge(log, GroupHistory(grouping.events, grouping.killed)).problems
        _, committed = await committed_offsets(
            reader.connection, grouping.group, grouping.topic, list(range(PARTITIONS))
        )
        for partition, them in records.items():
            if committed[partition] != len(them):
                problems.append(f"{partition}: {committed[partition]} of {len(them)} committed")
        return problems


class NextGroup(Group):
    """KIP-848."""

    name = "next"
    member = NextMember


class ClassicGroup(Group):
    """JoinGroup and SyncGroup."""

    name = "classic"
    member = ClassicMember
