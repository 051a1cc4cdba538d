"""The topics service: what exists, and every change of it.

A row in the catalog is what makes a topic exist. From that follow the orders of work:

- **create**: the logs' directories first, durably, then the row, then the answer. A crash in
  between leaves directories without a row: orphans, removed at the next start. So a topic with a
  row always had its directories, and one whose directory is missing at a start has lost data: that
  partition goes offline with a message, it is never quietly begun anew.
- **delete**: the name disappears, then the row together with all offsets committed for it, then
  the files. A crash in between leaves orphans again, which the catalog knows to be deleted: records
  without a row and without that are never removed. A topic made anew has a new id.
- **add partitions**: directories, row, answer, like create.
- **configure**: the row, then the logs in use.

With several workers any of them may do it. All directories are made by who creates, each log is
opened by its owner. The others are told when the row is there, and before the answer or, at a
deletion, before files are removed; they look at the catalog (`reload`) and do what differs.

Changes of one topic happen one after the other; different topics do not wait for each other. A
change that has begun goes on even if who asked for it hangs up.

What must not enter: how a request or an answer looks, what a record is.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

from headrace.broker.broker_configs import PARTITIONS_PER_TOPIC_MAX, BrokerConfigs
from headrace.broker.changes import Changes
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Change, NoPeers, Peers
from headrace.broker.cluster.refresh import Refresh
from headrace.broker.named_locks import NamedLocks
from headrace.broker.topic import Partition, Topic, check_topic_name
from headrace.broker.topic_configs import TopicConfig
from headrace.broker.topic_logs import LogStore, TopicLogs
from headrace.catalog.topics import TopicRow, TopicRows
from headrace.catalog.writer import Outdated
from headrace.log.contract import PartitionLog
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["PARTITIONS_MAX", "Partition", "Topic", "Topics", "check_topic_name"]

PARTITIONS_MAX: Final = 100_000
"""Of all topics together; each has open files and some kilobytes of memory."""


T = TypeVar("T")


class Topics:
    """Read the dictionaries freely; change them only through the methods."""

    def __init__(
        self,
        rows: TopicRows,
        store: LogStore,
        configs: BrokerConfigs,
        now_ms: Callable[[], int],
        ownership: Ownership,
        peers: Peers,
    ) -> None:
        self.by_name: dict[str, Topic] = {}
        self.by_id: dict[UUID, Topic] = {}
        self.generation = 0
        """Rises with every change that Metadata shows."""
        self._rows = rows
        self._logs = TopicLogs(store, ownership, peers)
        self._configs = configs
        self._now_ms = now_ms
        self._names = NamedLocks()
        self._partition_count = 0
        self._deleted_watchers: list[Callable[[Topic], None]] = []
        self._changes = Changes()
        self._peers = peers
        self.reload = Refresh(self._reload)
        """Take up what other workers changed."""
        configs.when_changed(self._defaults_changed)

    @classmethod
    async def open(
        cls,
        rows: TopicRows,
        store: LogStore,
        configs: BrokerConfigs,
        now_ms: Callable[[], int],
        ownership: Ownership | None = None,
        peers: Peers | None = None,
    ) -> "Topics":
        """Load what the catalog knows, open the logs, remove what a crash left behind.

        A log that cannot be opened takes its partition offline, and nothing else. Without
        `ownership` every log is opened here.
        """
        ownership = ownership or Ownership.alone(0)
        topics = cls(rows, store, configs, now_ms, ownership, peers or NoPeers())
        known = await rows.load_all()
        ids = {row.id for row in known}
        if ownership.is_alone:
            deleted = await rows.deleted()
            on_disk = await topics._logs.remove_orphans(ids, deleted)
            await rows.files_are_gone(topics._logs.gone(deleted))
        else:  # what has no row may be a topic that another worker is just making
            on_disk = ids & store.topic_ids()
        opened = await asyncio.gather(*(topics._load(row, row.id in on_disk) for row in known))
        for topic in opened:
            topics._partition_count += len(topic.partitions)
            topics._add(topic)
        return topics

    async def close(self) -> None:
        """Wait for the changes that are under way. The logs are the store's to close."""
        await self._changes.wait()

    def get(self, name: str) -> Topic:
        """Raises RequestError UNKNOWN_TOPIC_OR_PARTITION."""
        topic = self.by_name.get(name)
        if topic is None:
            raise RequestError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic {name[:60]!r} does not exist"
            )
        return topic

    def get_by_id(self, topic_id: UUID | None) -> Topic:
        """Raises RequestError UNKNOWN_TOPIC_ID."""
        topic = self.by_id.get(topic_id) if topic_id is not None else None
        if topic is None:
            raise RequestError(ErrorCode.UNKNOWN_TOPIC_ID, f"no topic has the id {topic_id}")
        return topic

    def partition(self, name: str, index: int) -> Partition:
        """Raises RequestError UNKNOWN_TOPIC_OR_PARTITION."""
        topic = self.by_name.get(name) or self.get(name)
        if not 0 <= index < len(topic.partitions):
            raise RequestError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                f"topic {name!r} has partitions 0 to {len(topic.partitions) - 1}, not {index}",
            )
        return topic.partitions[index]

    def has_partition(self, name: str, index: int) -> bool:
        found = self.by_name.get(name)
        return found is not None and 0 <= index < len(found.partitions)

    def offline_partitions(self) -> list[tuple[str, int]]:
        """(topic, partition) of those whose log cannot be used, whether since the start or since
        a sync failed."""
        return [
            (topic.name, partition.index)
            for topic in self.by_name.values()
            for partition in topic.partitions
            if partition.is_mine and not partition.is_usable()
        ]

    def when_deleted(self, watcher: Callable[[Topic], None]) -> None:
        """Call `watcher` once a topic is durably gone; it must not raise."""
        self._deleted_watchers.append(watcher)

    def check_new(
        self, name: str, partition_count: int, overrides: Mapping[str, str]
    ) -> TopicConfig:
        """Whether such a topic may be created now; returns its configuration.

        Raises RequestError: INVALID_TOPIC_EXCEPTION, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS,
        INVALID_CONFIG, POLICY_VIOLATION.
        """
        check_topic_name(name)
        if name in self.by_name:
            raise RequestError(ErrorCode.TOPIC_ALREADY_EXISTS, f"topic {name!r} already exists")
        self._check_partition_count(partition_count, added=partition_count)
        return TopicConfig.of(overrides, self._configs.topic_defaults())

    async def create(
        self, name: str, partition_count: int, overrides: Mapping[str, str] | None = None
    ) -> Topic:
        """Create a topic, durably. Of several that create one name at a time one wins.

        Raises RequestError: what check_new raises, KAFKA_STORAGE_ERROR.
        """
        self.check_new(name, partition_count, overrides or {})
        create = self._create(name, partition_count, overrides or {})
        return await self._changes.run(self._told(create))

    async def ensure(self, name: str) -> Topic:
        """The topic of this name, created with the defaults if there is none.

        Raises RequestError: what create raises except TOPIC_ALREADY_EXISTS.
        """
        topic = self.by_name.get(name)
        if topic is None:
            try:
                topic = await self.create(name, self._configs.integer("num.partitions"))
            except RequestError as error:
                if error.code != ErrorCode.TOPIC_ALREADY_EXISTS:
                    raise
                await self.reload()  # it may be another worker who was quicker
                topic = self.get(name)
        return topic

    async def delete(self, name: str, topic_id: UUID | None = None) -> None:
        """Delete a topic, its records and the offsets committed for it; with `topic_id` only if
        it is this one, not another that was made under its name since.

        Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, KAFKA_STORAGE_ERROR.
        """
        self.get(name)
        await self._changes.run(self._delete_and_remove(name, topic_id))

    def check_growth(self, name: str, total: int) -> Topic:
        """Whether the topic may have `total` partitions.

        Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS, POLICY_VIOLATION.
        """
        topic = self.get(name)
        count = len(topic.partitions)
        if total <= count:
            raise RequestError(
                ErrorCode.INVALID_PARTITIONS,
                f"topic {name!r} has {count} partitions and can only get more, not {total}",
            )
        self._check_partition_count(total, added=total - count)
        return topic

    async def add_partitions(self, name: str, total: int) -> None:
        """Grow the topic to `total` partitions. Keys may change their partition from here on.

        Raises RequestError: what check_growth raises, KAFKA_STORAGE_ERROR.
        """
        self.check_growth(name, total)
        await self._changes.run(self._told(self._add_partitions(name, total)))

    def check_configs(self, name: str, overrides: Mapping[str, str]) -> TopicConfig:
        """Whether the topic may have these overrides; returns what they would mean.

        Raises RequestError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_CONFIG.
        """
        self.get(name)
        return TopicConfig.of(overrides, self._configs.topic_defaults())

    async def alter_configs(
        self, name: str, change: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        """Replace the topic's overrides by what `change` makes of them, durably, then use them.

        Raises RequestError: what check_configs and `change` raise, KAFKA_STORAGE_ERROR.
        """
        self.get(name)
        await self._changes.run(self._told(self._alter_configs(name, change)))

    # The changes themselves. Each runs as a task of its own and under its topic's name; the other
    # workers are told when that is let go, since they may be changing a topic of this name, too.

    async def _told(self, change: Coroutine[Any, Any, T]) -> T:
        result = await change
        await self._peers.tell(Change.TOPICS)
        return result

    async def _delete_and_remove(self, name: str, topic_id: UUID | None) -> None:
        topic = await self._told(self._delete(name, topic_id))
        await self._logs.remove(topic.id, name)
        with suppress(RequestError):  # the next start asks again
            await self._rows.files_are_gone(self._logs.gone({topic.id}))

    async def _create(self, name: str, count: int, overrides: Mapping[str, str]) -> Topic:
        async with self._names.hold(name):
            config = self.check_new(name, count, overrides)
            row = TopicRow(uuid4(), name, count, self._now_ms(), dict(overrides))
            self._partition_count += count
            try:
                logs = await self._logs.make(row.id, range(count), config.log)
                await self._rows.insert(row)
            except BaseException:
                self._partition_count -= count
                if self._rows.is_in_doubt:  # the next start has the row, or removes the files
                    await self._logs.let_go(row.id, name)
                else:
                    await self._logs.remove(row.id, name)
                raise
            topic = Topic(row, config, logs)
            self._add(topic)
            # The broker's defaults may have changed while the logs were made.
            self._use(topic, overrides)
            return topic

    async def _delete(self, name: str, topic_id: UUID | None) -> Topic:
        async with self._names.hold(name):
            topic = self.get(name) if topic_id is None else self.get_by_id(topic_id)
            # The name goes first: whoever finds the topic from here on, such as an offset commit,
            # would hand its change to the catalog behind the deletion and outlive it.
            del self.by_name[name], self.by_id[topic.id]
            self.generation += 1
            try:
                is_ours = await self._rows.delete(topic.id, name)
            except BaseException:
                self._add(topic)
                raise
            self._forget(topic)
            if not is_ours:
                await self._logs.let_go(topic.id, name)
                self.get(name)
            return topic

    async def _add_partitions(self, name: str, total: int) -> None:
        async with self._names.hold(name):
            topic = self.check_growth(name, total)
            count = len(topic.partitions)
            self._partition_count += total - count
            logs: list[PartitionLog] = []
            try:
                logs = await self._logs.make(topic.id, range(count, total), topic.config.log)
                await self._rows.set_partition_count(topic.id, total, before=count)
            except BaseException as error:
                self._partition_count -= total - count
                for log in logs:
                    await log.close()
                if isinstance(error, Outdated):
                    raise _outdated(name) from error
                raise
            self._grow(topic, logs)

    async def _alter_configs(
        self, name: str, change: Callable[[dict[str, str]], dict[str, str]]
    ) -> None:
        async with self._names.hold(name):
            topic = self.get(name)
            before = topic.config.overrides
            overrides = change(dict(before))
            self.check_configs(name, overrides)
            try:
                await self._rows.replace_configs(topic.id, overrides, before=before)
            except Outdated as error:
                raise _outdated(name) from error
            self._use(topic, overrides)

    # What others changed

    async def _reload(self) -> None:
        """Raises RequestError."""
        rows = await self._rows.load_all()
        known = {row.id for row in rows}
        changed = [(row.name, row.id) for row in rows if self._is_news(row)]
        changed += [(topic.name, id_) for id_, topic in self.by_id.items() if id_ not in known]
        await asyncio.gather(*(self._take_up(name, topic_id) for name, topic_id in changed))

    def _is_news(self, row: TopicRow) -> bool:
        topic = self.by_id.get(row.id)
        if topic is None or len(topic.partitions) != row.partition_count:
            return True
        return topic.config.overrides != row.configs

    async def _take_up(self, name: str, topic_id: UUID) -> None:
        """Look again, now that nobody here changes a topic of this name, and do as the row says."""
        async with self._names.hold(name):
            row = await self._rows.load(topic_id)
            topic = self.by_id.get(topic_id)
            if row is None:
                await self._drop(topic)
            elif topic is None:
                await self._drop(self.by_name.get(name))  # of this name, and not deleted by us
                topic = await self._load(row, has_files=True)
                self._partition_count += len(topic.partitions)
                self._add(topic)
            elif self._is_news(row):
                logs = await self._logs.open(row, topic.config.log, first=len(topic.partitions))
                self._partition_count += len(logs)
                self._grow(topic, logs)
                with suppress(RequestError):  # of a topic that is offline for its configuration
                    self._use(topic, row.configs)

    async def _drop(self, topic: Topic | None) -> None:
        """Another worker deleted it, and removes its files when we let go of them."""
        if topic is None:
            return
        del self.by_name[topic.name], self.by_id[topic.id]
        self.generation += 1
        self._forget(topic)
        await self._logs.let_go(topic.id, topic.name)

    # What the changes are made of.

    def _forget(self, topic: Topic) -> None:
        self._partition_count -= len(topic.partitions)
        for watcher in self._deleted_watchers:
            watcher(topic)

    def _grow(self, topic: Topic, logs: Iterable[PartitionLog]) -> None:
        for index, log in enumerate(logs, start=len(topic.partitions)):
            log.configure(topic.config.log)
            topic.partitions.append(Partition(topic, index, log))
        self.generation += 1

    async def _load(self, row: TopicRow, has_files: bool) -> Topic:
        defaults = self._configs.topic_defaults()
        try:
            config = TopicConfig.of(row.configs, defaults)
        except RequestError as error:
            # Going on with another retention could delete what was to be kept.
            config = replace(TopicConfig.of({}, defaults), overrides=row.configs)
            return Topic(row, config, self._logs.offline(row, error.message))
        if not has_files:
            return Topic(row, config, self._logs.offline(row, "its files are missing"))
        return Topic(row, config, await self._logs.open(row, config.log))

    def _check_partition_count(self, total: int, *, added: int) -> None:
        if not 1 <= total <= PARTITIONS_PER_TOPIC_MAX:
            raise RequestError(
                ErrorCode.INVALID_PARTITIONS,
                f"a topic has 1 to {PARTITIONS_PER_TOPIC_MAX} partitions, not {total}",
            )
        if self._partition_count + added > PARTITIONS_MAX:
            raise RequestError(
                ErrorCode.POLICY_VIOLATION,
                f"the broker has {self._partition_count} partitions and takes {PARTITIONS_MAX}",
            )

    def _add(self, topic: Topic) -> None:
        self.by_name[topic.name] = topic
        self.by_id[topic.id] = topic
        self.generation += 1

    def _use(self, topic: Topic, overrides: Mapping[str, str]) -> None:
        topic.config = TopicConfig.of(overrides, self._configs.topic_defaults())
        for partition in topic.partitions:
            partition.log.configure(topic.config.log)

    def _defaults_changed(self) -> None:
        for topic in self.by_name.values():
            with suppress(RequestError):  # of a topic that is offline for its configuration
                self._use(topic, topic.config.overrides)


def _outdated(name: str) -> RequestError:
    """The other worker's notice is on its way; who asks again meets what it changed."""
    return RequestError(
        ErrorCode.KAFKA_STORAGE_ERROR,
        f"topic {name!r} is just being changed by another worker, try again",
    )
