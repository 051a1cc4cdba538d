"""The broker: where log, catalog and groups meet. Doors know this room and no other behind it.

Services are plain functions and small objects around it: `append`, `fetch`, `list_offsets`,
`topics`, `group_coordinator`, `transaction_coordinator`, `producer_ids`, `housekeeping`. All of
them run on one event loop; blocking work goes to the flusher's and the catalog's threads.
What must not enter: sockets, frames, API versions.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from headrace.broker.broker_configs import STUCK_CONFIG, TOKEN_CLIENTS, BrokerConfigs
from headrace.broker.changes import Changes
from headrace.broker.cluster.members import Member
from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Change, NoPeers, Peers
from headrace.broker.cluster.produced import mirror_produced
from headrace.broker.cluster.refresh import Refresh
from headrace.broker.compaction import keep_compacted
from headrace.broker.coordination_configs import BALANCE_CONFIG
from headrace.broker.dead_letters import DeadLetters
from headrace.broker.group_configs import GroupConfigs
from headrace.broker.group_coordinator import GroupCoordinator
from headrace.broker.group_lag import GroupLags
from headrace.broker.group_settings import broker_settings, settings_of
from headrace.broker.housekeeping import keep_house
from headrace.broker.load import PartitionLoads
from headrace.broker.load_watch import LoadWatch
from headrace.broker.orphans import check_catalog_is_there
from headrace.broker.parts import CloseError, Parts
from headrace.broker.producer_ids import ProducerIds
from headrace.broker.retention_clock import RetentionClock
from headrace.broker.share.share_groups import ShareGroups
from headrace.broker.share.subscriptions import ShareSubscriptions
from headrace.broker.stats import Stats
from headrace.broker.streams.ingest import IngestStreams
from headrace.broker.stuck_watch import StuckWatch
from headrace.broker.tokens import ClientsFileError, Tokens, read_clients
from headrace.broker.topics import Topic, Topics
from headrace.broker.transaction_coordinator import TransactionCoordinator
from headrace.broker.transaction_end import (
    abort_hanging,
    end_everywhere,
    forget_hanging_offsets,
)
from headrace.broker.transaction_entry import TransactionEntries
from headrace.broker.transaction_rows import record_of
from headrace.broker.transactional_append import TransactionalAppends
from headrace.catalog.catalog import Catalog
from headrace.catalog.schema import CatalogError
from headrace.groups.topics_image import NO_TOPICS, TopicFacts, TopicsImage
from headrace.log.store import DataDirectoryInUse, LogStore, Share
from headrace.transactions.record import TransactionRecord
from headrace.transactions.settings import TransactionSettings
from headrace.transactions.states import AT_REST
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.cluster.links import Links
    from headrace.broker.share.elsewhere import ShareElsewhere

__all__ = ["Broker", "BrokerOptions", "OpenError"]

log = logging.getLogger("headrace.broker")

_OBSTACLES = (DataDirectoryInUse, CatalogError, ClientsFileError, RequestError)


class OpenError(Exception):
    """The data directory cannot be opened: what stands in the way, for a person."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """What the broker is opened with. Config names and texts are Kafka's."""

    data_dir: str
    durability: Literal["fsync", "os"] = "fsync"
    node_id: int = 1
    broker_configs: Mapping[str, str] = field(default_factory=dict)
    topic_configs: Mapping[str, str] = field(default_factory=dict)
    ownership: Ownership | None = None
    """What is this process's part; None: everything. Its node id is then `node_id`."""
    links_dir: str = ""
    """Where the sockets are by which workers reach each other; a directory that nobody else may
    enter. Not looked at by a process that is alone."""
    share: Share | None = None
    """Of the data directory, where others have one, too."""


def wall_clock_ms() -> int:
    """Milliseconds since the epoch: record timestamps, retention, commit times."""
    return time.time_ns() // 1_000_000


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel a task that would go on for ever; raises what it failed with."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _obstacle(data_dir: str, error: OSError) -> str:
    what = "it is not a directory" if isinstance(error, FileExistsError) else error.strerror
    where = "" if error.filename in (None, data_dir) else f" ({error.filename})"
    return f"the data directory {data_dir} cannot be used: {what or error}{where}"


def steady_clock_ms() -> int:
    """Milliseconds that never jump: durations."""
    return time.monotonic_ns() // 1_000_000


def _links(directory: str, ownership: Ownership) -> "Links":
    """Imported where there are others: a start alone need not pay for it."""
    from headrace.broker.cluster.links import Links

    return Links(directory, ownership)


def _share_elsewhere(broker: "Broker") -> "ShareElsewhere":
    """The same."""
    from headrace.broker.share.elsewhere import ShareElsewhere

    return ShareElsewhere(broker)


def _transaction_settings(configs: BrokerConfigs) -> TransactionSettings:
    return TransactionSettings(
        timeout_ms_max=configs.integer("transaction.max.timeout.ms"),
        id_expiration_ms=configs.integer("transactional.id.expiration.ms"),
        timeout_check_ms=configs.integer(
            "transaction.abort.timed.out.transaction.cleanup.interval.ms"
        ),
    )


class Broker:
    """One open data directory and everything that serves it. Made by `open`, ended by `close`."""

    def __init__(
        self,
        options: BrokerOptions,
        store: LogStore,
        catalog: Catalog,
        configs: BrokerConfigs,
        topics: Topics,
        group_configs: GroupConfigs,
        parts: Parts,
        stats: Stats,
        ownership: Ownership,
        peers: Peers,
    ) -> None:
        self.stats = stats
        self.ownership = ownership
        self.peers = peers
        self.node_id = ownership.node_id
        self.durability = options.durability
        self.data_dir = options.data_dir
        self.cluster_id = catalog.cluster_id
        self.members: list[Member] = []
        """Every worker, by index, with where clients are told to connect to."""
        self.store = store
        self.catalog = catalog
        self.configs = configs
        self.topics = topics
        self.producer_ids = ProducerIds(catalog.producer_ids)
        self.group_configs = group_configs
        self._topics_image = -1, NO_TOPICS
        self.now_ms = wall_clock_ms
        self._retention_clock = RetentionClock(wall_clock_ms)
        self.loads = PartitionLoads(topics.by_name)
        self.groups = self._group_coordinator()
        self.transactions = self._transaction_coordinator()
        self.entries = TransactionEntries(self.transactions, ownership, peers)
        self.transactional_appends = TransactionalAppends(self.transactions, self.entries)
        self._reload_kept = Refresh(self._load_kept)
        patience_ms = configs.integer(STUCK_CONFIG)
        self.stuck = StuckWatch(self.groups, topics, patience_ms, steady_clock_ms, peers)
        balance_ms = configs.integer(BALANCE_CONFIG)
        refresh = partial(mirror_produced, self)
        self.load_watch = LoadWatch(self.loads, self.groups, balance_ms, steady_clock_ms, refresh)
        self.lags = GroupLags(self)
        self.dead_letters = DeadLetters(self, steady_clock_ms)
        self.steady_ms = steady_clock_ms
        self.share = ShareGroups(self)
        self.share_elsewhere = None if ownership.is_alone else _share_elsewhere(self)
        self.subscriptions = ShareSubscriptions(self)
        self.streams = IngestStreams(self)
        clients = configs.text(TOKEN_CLIENTS)
        self.tokens = Tokens(read_clients(clients) if clients else None, time.time)
        self._parts = parts
        self.changes = Changes()
        """Of configurations: they go on if who asked for them hangs up."""
        group_configs.when_changed(self.groups.settings_changed)
        topics.when_deleted(self._topic_deleted)

    @classmethod
    async def open(cls, options: BrokerOptions) -> "Broker":
        """Open or create the data directory. Raises OpenError."""
        parts = Parts()
        try:
            return await cls._open(options, parts)
        except BaseException as error:
            with contextlib.suppress(CloseError):  # which was logged, and is not why
                await parts.close()
            if isinstance(error, OSError):
                raise OpenError(_obstacle(options.data_dir, error)) from error
            if isinstance(error, _OBSTACLES):
                raise OpenError(str(error)) from error
            raise

    @classmethod
    async def _open(cls, options: BrokerOptions, parts: Parts) -> "Broker":
        stats = Stats()
        ownership = options.ownership or Ownership.alone(options.node_id)
        links = None if ownership.is_alone else _links(options.links_dir, ownership)
        peers: Peers = links or NoPeers()
        store = LogStore.open(
            options.data_dir,
            durability=options.durability,
            loop=asyncio.get_running_loop(),
            now_ms=wall_clock_ms,
            report=stats.sync_round,
            share=options.share,
        )
        parts.add("the logs", store.close)
        check_catalog_is_there(store, options.data_dir)
        is_shared = options.share is not None
        catalog = await Catalog.open(options.data_dir, stats.catalog_commit, is_shared=is_shared)
        parts.add("the catalog", catalog.close)
        configs = await BrokerConfigs.load(
            catalog.configs,
            broker=options.broker_configs,
            topic=options.topic_configs,
            facts={"node.id": str(ownership.node_id), "log.dirs": options.data_dir},
        )
        if links is not None:
            parts.add("the links", links.close)
        topics = await Topics.open(catalog.topics, store, configs, wall_clock_ms, ownership, peers)
        parts.add("the topics", topics.close)
        group_configs = await GroupConfigs.load(catalog.group_configs, configs)
        broker = cls(
            *(options, store, catalog, configs, topics, group_configs, parts, stats),
            *(ownership, peers),
        )
        parts.add("the changes", broker.changes.wait)
        parts.add("the groups", broker.groups.close)
        await broker.groups.start()
        parts.add("the share groups", broker.share.close)
        await broker.share.start()
        if broker.share_elsewhere is not None:
            parts.add("what others know of share groups", broker.share_elsewhere.close)
        parts.add("the subscriptions", broker.subscriptions.close)
        parts.add("the transactions", broker.transactions.close)
        if links is not None:
            links.start()
            await broker.take_up(Change.KEPT_TRANSACTIONS)
        await broker.transactions.start()
        await broker._abort_hanging()
        parts.add("the batches of transactions", broker.transactional_appends.close)
        parts.add("the ingest streams", broker.streams.close)
        if ownership.is_first:  # the only one with a gRPC door: streams need one router
            await broker.streams.start()
        broker.stuck.start()
        parts.add("the watch for stuck members", broker.stuck.close)
        broker.load_watch.start()
        parts.add("the watch for loads", broker.load_watch.close)
        interval_s = configs.integer("log.retention.check.interval.ms") / 1000
        housekeeping = asyncio.create_task(
            keep_house(topics, broker._retention_clock.now_ms, interval_s), name="housekeeping"
        )
        parts.add("the housekeeping", partial(_end, housekeeping))
        compaction = asyncio.create_task(
            keep_compacted(topics, configs, stats.compaction, broker._retention_clock.now_ms),
            name="compaction",
        )
        parts.add("the compaction", partial(_end, compaction))
        if links is not None:
            from headrace.broker.cluster.answering import Answering

            answering = Answering(broker, options.links_dir)
            parts.add("the answers to other workers", answering.close)
            parts.add("what is on its way to other workers", links.settle)
            parts.add("dead letters for other workers", broker.share.postpone_burials)
            parts.add("questions to other workers", broker.entries.close)
            await answering.open()
        return broker

    def advertise(self, *addresses: tuple[str, int]) -> None:
        """Where clients are told to connect to: host and port of every worker, by index."""
        self.members = [
            Member(self.ownership.node_id_of(worker), host, port)
            for worker, (host, port) in enumerate(addresses)
        ]
        _, host, port = self.members[self.ownership.index]
        self.configs.facts["advertised.listeners"] = f"PLAINTEXT://{host}:{port}"

    async def take_up(self, change: Change) -> None:
        """Another worker changed what is kept in memory here. Raises RequestError."""
        if change is Change.TOPICS:
            await self.topics.reload()
        elif change is Change.BROKER_CONFIGS:
            await self.configs.reload()
        elif change is Change.GROUP_CONFIGS:
            await self.group_configs.reload()
        else:
            await self._reload_kept()

    async def _load_kept(self) -> None:
        """Which transactions other workers keep. Raises RequestError."""
        is_mine = self.ownership.is_my_transaction
        self.transactional_appends.kept_elsewhere = {
            row.producer_id
            for row in await self.catalog.transactions.load_all()
            if not is_mine(row.transactional_id) and record_of(row).is_kept
        }

    async def can_write_catalog(self) -> bool:
        """After a commit that failed this tries again: nobody else may, while nobody is served."""
        if self.stats.catalog_is_failed:
            try:
                await self.catalog.probe()
            except RequestError:
                return False
        return True

    async def close(self) -> None:
        """Finish what is under way, sync every log, leave the clean-shutdown marker. Idempotent.

        Raises CloseError when a part of this failed; the rest is closed all the same.
        """
        await self._parts.close()

    def _group_coordinator(self) -> GroupCoordinator:
        configs = self.group_configs
        settings = broker_settings(self.configs)
        return GroupCoordinator(
            self.catalog,
            settings,
            wall_clock_ms,
            self.topics.has_partition,
            retention_ms=self._retention_clock.now_ms,
            is_durable=configs.is_durable,
            take_reset=lambda group_id: configs.take_reset(group_id, wall_clock_ms()),
            settings_of=lambda group_id: settings_of(group_id, configs, settings),
            topics=self._topics_for_groups,
            weights=self.loads.weights,
            is_mine=self.ownership.is_my_group,
            stats=self.stats,
        )

    def _transaction_coordinator(self) -> TransactionCoordinator:
        return TransactionCoordinator(
            self.catalog.transactions,
            _transaction_settings(self.configs),
            wall_clock_ms,
            self.producer_ids.next,
            partial(end_everywhere, self.topics, self.groups, self.ownership, self.peers),
            steady_ms=steady_clock_ms,
            retention_ms=self._retention_clock.now_ms,
            is_mine=self.ownership.is_my_transaction,
            kept_changed=partial(self.peers.tell, Change.KEPT_TRANSACTIONS),
            stats=self.stats.transactions,
        )

    async def _abort_hanging(self) -> None:
        known: set[tuple[int, object]] = {
            (record.producer_id, where)
            for record in await self._open_transactions()
            for where in (*record.partitions, *record.groups)
        }
        is_known = lambda producer_id, where: (producer_id, where) in known  # noqa: E731
        for producer_id, group_id in await forget_hanging_offsets(self.groups, is_known):
            log.warning(
                "group %r: offsets of a transaction of producer %d that nobody knew were forgotten",
                *(group_id, producer_id),
            )
        for topic, index, producer_id in await abort_hanging(self.topics, is_known):
            log.warning(
                "%s-%d: a transaction of producer %d that nobody knew was aborted",
                *(topic, index, producer_id),
            )

    async def _open_transactions(self) -> list[TransactionRecord]:
        """Also those that other workers coordinate, as the catalog has them: a partition is in
        its transaction's row before the first batch is in the log, and until its marker is."""
        if self.ownership.is_alone:
            return self.transactions.open_records()
        records = map(record_of, await self.catalog.transactions.load_all())
        return [record for record in records if record.state not in AT_REST]

    def _topics_for_groups(self) -> TopicsImage:
        """Made anew when topics have changed and somebody asks."""
        generation, image = self._topics_image
        if generation != self.topics.generation:
            image = TopicsImage(
                TopicFacts(topic.id, topic.name, len(topic.partitions))
                for topic in self.topics.by_name.values()
            )
            self._topics_image = self.topics.generation, image
        return image

    def _topic_deleted(self, topic: Topic) -> None:
        # What was committed here since another worker deleted its offsets is deleted once more.
        self.groups.forget_topic(topic.name, again=not self.ownership.is_alone)
