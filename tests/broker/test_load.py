"""What partitions carry, and groups that are assigned by it, on a virtual clock."""

import asyncio
import random
from types import SimpleNamespace
from uuid import UUID

import pytest

from headrace.broker.group_coordinator import GroupCoordinator
from headrace.broker.load import BACKLOG_BYTES, CATCH_UP_S, LOOKS_SMOOTHED, PartitionLoads
from headrace.broker.load_watch import LoadWatch
from headrace.groups.consumer_requests import JOIN, ConsumerHeartbeat
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.groups.topics_image import TopicFacts, TopicsImage
from headrace.log.contract import LogOffsets
from headrace.wire.errors import ErrorCode, RequestError

T = UUID(int=1)
INTERVAL_MS = 60_000
HOT = (T, 0)


class Log:
    """Records of ten bytes."""

    is_offline = False
    end = 0

    def offsets(self):
        if self.is_offline:
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "offline")
        return LogOffsets(0, self.end, self.end, self.end)

    def readable_bytes_after(self, offset):
        return 10 * (self.end - offset)


class Scene:
    """Members of group `g`, who all read topic `t`, and what producers write into it."""

    def __init__(self, disk, partitions):
        self.now_ms = 0
        topic = SimpleNamespace(id=T, name="t", partitions=[])
        topic.partitions += [
            SimpleNamespace(topic=topic, index=index, log=Log(), produced_bytes=0)
            for index in range(partitions)
        ]
        self.disk = disk
        self.topic = topic
        self.image = TopicsImage([TopicFacts(T, "t", partitions)])

    async def start(self):
        """Of a broker, on the same disk."""
        for partition in self.topic.partitions:
            partition.produced_bytes = 0
        self.loads = PartitionLoads({"t": self.topic})
        self.groups = GroupCoordinator(
            self.disk,
            GroupSettings(),
            lambda: self.now_ms,
            lambda *_: True,
            steady_ms=lambda: self.now_ms,
            topics=lambda: self.image,
            weights=self.loads.weights,
        )
        self.watch = LoadWatch(self.loads, self.groups, INTERVAL_MS, lambda: self.now_ms)
        await self.groups.start()

    async def produce(self, *kilobytes_per_s, looks=1):
        for _ in range(looks):
            self.now_ms += INTERVAL_MS
            for partition, rate in zip(self.topic.partitions, kilobytes_per_s, strict=True):
                partition.produced_bytes += int(rate * INTERVAL_MS)
            await self.watch.look()

    async def join(self, *names, assignor="balanced"):
        for name in names:
            beat = ConsumerHeartbeat(
                name,
                JOIN,
                rebalance_timeout_ms=60_000,
                names=frozenset({"t"}),
                owned=frozenset(),
                assignor=assignor,
            )
            await self.groups.consumer_heartbeat("g", beat)
        await self.settle()

    async def settle(self):
        """Everyone reports until all have what they shall have; what each then has."""
        for _ in range(6):
            for member in self.group.members:
                beat = ConsumerHeartbeat(member.member_id, member.epoch, owned=member.assigned)
                await self.groups.consumer_heartbeat("g", beat)
        assert self.group.state is State.STABLE
        return {member.member_id: member.assigned for member in self.group.members}

    @property
    def group(self):
        return self.groups.describe_consumer("g")


@pytest.fixture
def play(group_world):
    """Run `body(scene)`."""

    def run(body, partitions=8):
        async def played():
            scene = Scene(group_world().disk, partitions)
            await scene.start()
            try:
                await body(scene)
            finally:
                await scene.groups.close()

        asyncio.run(played())

    return run


def test_hot_partition_comes_to_sit_alone_and_nothing_moves_after_that(play):
    async def body(scene):
        await scene.join("a", "b")
        before = scene.group.generation
        await scene.produce(*[100] * 8, looks=10)
        assert scene.group.generation == before
        moved_at = []
        for look in range(40):
            await scene.produce(5_000, *[100] * 7)
            if scene.group.generation > before:
                moved_at.append(look)
                before = scene.group.generation
                shares = await scene.settle()
        assert {HOT} in shares.values()
        assert len(moved_at) <= 2
        assert moved_at[-1] < 2 * LOOKS_SMOOTHED
        assert scene.groups.describe("g").rebalance_reason == "what partitions carry has shifted"

    play(body)


@pytest.mark.parametrize("minutes", [1, 60])
@pytest.mark.parametrize(("partitions", "members"), [(12, "abc"), (5, "ab"), (4, "abc")])
def test_noise_of_a_fifth_moves_nothing_all_day(play, partitions, members, minutes):
    """Anew each minute, and for an hour each, which no smoothing takes away."""

    async def body(scene):
        chance = random.Random(partitions)
        await scene.join(*members)
        before = scene.group.generation
        for minute in range(24 * 60):
            if minute % minutes == 0:
                rates = [chance.uniform(800, 1200) for _ in range(partitions)]
            await scene.produce(*rates)
        assert scene.group.generation == before

    play(body, partitions)


def test_nothing_moves_in_the_first_looks(play):
    async def body(scene):
        await scene.join("a", "b")
        before = scene.group.generation
        await scene.produce(10_000, *[1] * 7, looks=LOOKS_SMOOTHED - 1)
        assert scene.group.generation == before
        await scene.produce(10_000, *[1] * 7)
        assert scene.group.generation == before + 1

    play(body)


def test_nothing_moves_while_members_are_still_on_their_way(play):
    async def body(scene):
        await scene.join("a", "b")
        await scene.produce(10_000, *[1] * 7, looks=LOOKS_SMOOTHED)
        began = scene.group.generation
        await scene.produce(*[1] * 7, 10_000, looks=20)
        assert scene.group.generation == began
        await scene.settle()
        await scene.produce(*[1] * 7, 10_000)
        assert scene.group.generation == began + 1

    play(body)


def test_members_that_join_are_given_weight_at_once(play):
    async def body(scene):
        await scene.produce(10_000, *[1] * 7, looks=5)
        await scene.join("a", "b")
        shares = await scene.settle()
        assert {HOT} in shares.values()

    play(body)


def test_restart_moves_nothing_and_who_comes_after_it_gets_a_fair_share(play):
    async def body(scene):
        await scene.produce(10_000, *[1] * 7, looks=LOOKS_SMOOTHED)
        await scene.join("a", "b")
        before = await scene.settle()
        generation = scene.group.generation
        await scene.groups.close()
        await scene.start()
        assert await scene.settle() == before
        await scene.produce(*[0] * 8)
        assert await scene.settle() == before
        assert scene.group.generation == generation
        await scene.join("c")
        shares = await scene.settle()
        assert sorted(map(len, shares.values())) == [1, 3, 4]
        assert {HOT} in shares.values()
        await scene.produce(10_000, *[1] * 7, looks=2 * LOOKS_SMOOTHED)
        assert scene.group.generation == generation + 1

    play(body)


def test_groups_of_other_assignors_are_left_alone(play):
    async def body(scene):
        await scene.join("a", "b", assignor="uniform")
        before = scene.group.generation
        await scene.produce(10_000, *[1] * 7, looks=2 * LOOKS_SMOOTHED)
        assert scene.group.generation == before

    play(body)


def test_backlog_weighs_as_what_it_takes_to_catch_up(play):
    async def body(scene):
        await scene.produce(50, *[0] * 7, looks=60)
        log = scene.topic.partitions[1].log
        log.end = BACKLOG_BYTES // 10 + 1 + 1000
        committed = {("t", 1): SimpleNamespace(offset=1000), ("t", 0): SimpleNamespace(offset=0)}
        weights = scene.loads.weights(["t", "gone"], committed)
        assert weights[HOT] == pytest.approx(50_000, rel=0.01)
        assert weights[T, 1] == pytest.approx(BACKLOG_BYTES / CATCH_UP_S, rel=0.01)
        assert set(weights) == {HOT, (T, 1)}
        committed["t", 1].offset += 1
        assert set(scene.loads.weights(["t"], committed)) == {HOT}, "between two commits"
        log.is_offline = True
        assert set(scene.loads.weights(["t"], committed)) == {HOT}

    play(body)
