import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.broker.broker_configs import BrokerConfigs
from headrace.broker.group_configs import GroupConfigs
from headrace.broker.group_coordinator import GroupCoordinator
from headrace.broker.topics import Topics
from headrace.catalog.catalog import Catalog
from headrace.catalog.groups import GroupRow
from headrace.groups.requests import Commit, Join, OffsetToCommit, Sync
from headrace.groups.settings import GroupSettings
from headrace.log.contract import CorruptLogError, LogConfig, LogOffsets
from headrace.wire.errors import ErrorCode, RequestError


class FakeLog:
    """A log of no records that remembers what it was told."""

    def __init__(self, config: LogConfig) -> None:
        self.leader_epoch = 0
        self.config = config
        self.is_open = True

    def configure(self, config: LogConfig) -> None:
        self.config = config

    def offsets(self) -> LogOffsets:
        return LogOffsets(0, 0, 0, 0)

    async def close(self) -> None:
        self.is_open = False


class FakeStore:
    """Directories as a dictionary that outlives a `Topics`, like a disk."""

    def __init__(self) -> None:
        self.disk: dict[UUID, set[int]] = {}
        self.with_data: set[UUID] = set()
        self.corrupt: set[tuple[UUID, int]] = set()
        self.open_fails_at: int | None = None
        self.synced: list[UUID] = []
        self.opening = 0
        self.opening_most = 0
        self.logs: list[FakeLog] = []
        self.gate: asyncio.Event | None = None
        """Opening waits for it."""

    async def open_log(
        self, topic_id: UUID, partition: int, config: LogConfig, *, must_exist: bool = False
    ) -> FakeLog:
        self.opening += 1
        self.opening_most = max(self.opening_most, self.opening)
        try:
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.opening -= 1
        if must_exist and partition not in self.disk.get(topic_id, ()):
            raise CorruptLogError("the directory is missing")
        if partition == self.open_fails_at:
            raise OSError(28, "No space left on device")
        if (topic_id, partition) in self.corrupt:
            raise CorruptLogError("00000000000000000000.log at 4096: the checksum does not match")
        self.disk.setdefault(topic_id, set()).add(partition)
        self.logs.append(FakeLog(config))
        return self.logs[-1]

    async def sync_topic(self, topic_id: UUID) -> None:
        self.synced.append(topic_id)

    async def discard_topic(self, topic_id: UUID) -> None:
        """The files stay."""

    async def delete_topic(self, topic_id: UUID) -> None:
        self.disk.pop(topic_id, None)

    def topic_ids(self) -> set[UUID]:
        return set(self.disk)

    def holds_data(self, topic_id: UUID) -> bool:
        return topic_id in self.with_data


class World:
    """One start of the topics service on a directory and a disk that stay."""

    def __init__(self, catalog: Catalog, store: FakeStore, configs: BrokerConfigs) -> None:
        self.catalog = catalog
        self.store = store
        self.configs = configs
        self.topics: Topics
        self.clock = itertools.count(1_700_000_000_000)


Body = Callable[[World], Coroutine[Any, Any, Any]]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def with_topics(tmp_path: Path, store: FakeStore) -> Callable[..., Any]:
    """Run `body(world)` after a start of the topics service; each call is another start."""

    def run(
        body: Body, *, broker: dict[str, str] | None = None, topic: dict[str, str] | None = None
    ) -> Any:
        async def started() -> Any:
            catalog = await Catalog.open(str(tmp_path))
            try:
                configs = await BrokerConfigs.load(
                    catalog.configs, broker=broker or {}, topic=topic or {}, facts={}
                )
                world = World(catalog, store, configs)
                world.topics = await Topics.open(
                    catalog.topics, store, configs, lambda: next(world.clock)
                )
                result = await body(world)
                await world.topics.close()
                return result
            finally:
                await catalog.close()

        return asyncio.run(started())

    return run


class GroupDisk:
    """The catalog's part for groups, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, GroupRow] = {}
        self.committed: dict[tuple[str, str, int], tuple[int, int, str, int]] = {}
        self.writes: list[str] = []
        self.free = asyncio.Event()
        self.free.set()
        self.is_full = False
        self.groups = _Groups(self)
        self.offsets = _Offsets(self)
        self.pending: dict[tuple[str, int], list[Any]] = {}
        self.pending_offsets = _PendingOffsets(self)

    async def write(self, what: str) -> None:
        await self.free.wait()
        if self.is_full:
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")
        self.writes.append(what)


class _Groups:
    def __init__(self, disk: GroupDisk) -> None:
        self._disk = disk

    async def load_all(self) -> list[GroupRow]:
        return list(self._disk.rows.values())

    async def save(self, group: GroupRow) -> None:
        await self._disk.write("save")
        self._disk.rows[group.group_id] = group

    async def delete(self, group_id: str) -> None:
        await self._disk.write("delete group")
        self._disk.rows.pop(group_id, None)
        for key in [key for key in self._disk.committed if key[0] == group_id]:
            del self._disk.committed[key]
        for pending in [key for key in self._disk.pending if key[0] == group_id]:
            del self._disk.pending[pending]


class _Offsets:
    def __init__(self, disk: GroupDisk) -> None:
        self._disk = disk

    async def load_all(self) -> list[Any]:
        return [(*key, *value) for key, value in self._disk.committed.items()]

    async def commit(self, group_id: str, offsets: Iterable[Any], now_ms: int) -> None:
        await self._disk.write("commit")
        for topic, partition, *rest in offsets:
            self._disk.committed[group_id, topic, partition] = (*rest, now_ms)

    async def delete(self, group_id: str, pairs: Iterable[tuple[str, int]] | None = None) -> None:
        await self._disk.write("delete offsets")
        for pair in pairs or ():
            self._disk.committed.pop((group_id, *pair), None)


class _PendingOffsets:
    def __init__(self, disk: GroupDisk) -> None:
        self._disk = disk

    async def load_all(self) -> list[Any]:
        return [(*key, *one) for key, offsets in self._disk.pending.items() for one in offsets]

    async def replace(self, group_id: str, producer_id: int, offsets: Iterable[Any]) -> None:
        await self._disk.write("pending")
        self._disk.pending[group_id, producer_id] = list(offsets)


class GroupWorld:
    """One disk, one clock, and a coordinator that can be started again."""

    def __init__(self, **settings: Any) -> None:
        self.disk = GroupDisk()
        self.steady_ms = 0
        self.now_ms = 1_000 * 24 * 3600 * 1000
        self.topics = {"t", "u"}
        self.settings = GroupSettings(**{"initial_rebalance_delay_ms": 0} | settings)
        self.of_groups: dict[str, GroupSettings] = {}
        """What was set for single groups."""
        self.groups: GroupCoordinator = self._coordinator()

    def _coordinator(self) -> GroupCoordinator:
        return GroupCoordinator(
            self.disk,
            self.settings,
            lambda: self.now_ms,
            lambda topic, partition: topic in self.topics and 0 <= partition < 4,
            steady_ms=lambda: self.steady_ms,
            settings_of=lambda group_id: self.of_groups.get(group_id, self.settings),
        )

    async def restart(self) -> None:
        await self.groups.close()
        self.groups = self._coordinator()
        await self.groups.start()

    def wait(self, duration_ms: int) -> None:
        self.steady_ms += duration_ms
        self.now_ms += duration_ms
        self.groups._hosted._alarm.ring()

    async def settle(self) -> None:
        """Let everything run that can."""
        for _ in range(20):
            await asyncio.sleep(0)

    def join_request(self, member_id: str = "", **rest: Any) -> Join:
        return Join(
            member_id=member_id,
            protocol_type="consumer",
            protocols=(("range", b"m"),),
            session_timeout_ms=10_000,
            rebalance_timeout_ms=60_000,
            client_id="tester",
            **rest,
        )

    async def enter(self, group_id: str = "g", instance: str | None = None) -> str:
        """Join alone, as leader of a generation of its own, up to Stable; the member id."""
        member_id = ""
        if instance is None:
            member_id = (await self.groups.join(group_id, self.join_request())).member_id
        joined = await self.groups.join(
            group_id, self.join_request(member_id, instance_id=instance)
        )
        assert joined.error is ErrorCode.NONE
        sync = Sync(joined.member_id, joined.generation, ((joined.member_id, b"all"),))
        assert (await self.groups.sync(group_id, sync)).assignment == b"all"
        return joined.member_id

    async def commit(self, offset: int = 1, group_id: str = "g", **rest: Any) -> list[ErrorCode]:
        topic, partition = rest.pop("topic", "t"), rest.pop("partition", 0)
        metadata = rest.pop("metadata", "")
        offsets = (OffsetToCommit(topic, partition, offset, -1, metadata),)
        return await self.groups.commit(group_id, Commit(offsets, **rest))

    def offset(self, group_id: str = "g", topic: str = "t", partition: int = 0) -> int | None:
        committed = self.groups.offsets(group_id).get((topic, partition))
        return None if committed is None else committed.offset


@pytest.fixture
def group_world() -> type[GroupWorld]:
    """`group_world(**settings)` makes a world of groups; its coordinator is not started."""
    return GroupWorld


class ConfigRows:
    """The catalog's part for configurations, in memory."""

    def __init__(self) -> None:
        self.of_groups: dict[str, dict[str, str]] = {}

    async def start(self, **broker: str) -> GroupConfigs:
        """What a broker with these configurations (`_` for `.`) knows after a start."""
        named = {name.replace("_", "."): value for name, value in broker.items()}
        configs = await BrokerConfigs.load(_NoRows(), broker=named, topic={}, facts={})
        return await GroupConfigs.load(self, configs)

    async def load_all(self) -> dict[str, dict[str, str]]:
        return self.of_groups

    async def replace(
        self, group_id: str, configs: dict[str, str], *, before: dict[str, str]
    ) -> None:
        self.of_groups[group_id] = dict(configs)


class _NoRows:
    async def load_all(self) -> dict[str, str]:
        return {}


@pytest.fixture
def config_rows() -> ConfigRows:
    return ConfigRows()
