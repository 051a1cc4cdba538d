"""The ingest service: opens streams, binds each to a partition, and sees them to their end.

`contract` says what a door may expect. What must not enter: protocols; what a message holds; how a
partition is chosen (`router`), how elastic topics change (`elastic`), how persistent streams are
found again (`persistent`).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from headrace.broker.broker_configs import STREAMS_MAX
from headrace.broker.changes import Changes
from headrace.broker.cluster.produced import mirror_produced
from headrace.broker.named_locks import NamedLocks
from headrace.broker.streams.contract import StreamOwner, StreamView
from headrace.broker.streams.decisions import Decisions
from headrace.broker.streams.elastic import Elastic
from headrace.broker.streams.flow import Flow
from headrace.broker.streams.lanes import Lane, Lanes
from headrace.broker.streams.persistent import SAVE_INTERVAL_S, PersistentStreams
from headrace.broker.streams.router import choose
from headrace.broker.streams.stream import IngestStream, Position, StreamKind
from headrace.broker.topic import Topic
from headrace.catalog.streams import PersistentStreamRow
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["IngestStreams"]

LOOK_INTERVAL_S: Final = 0.5
"""Between two looks at what partitions carry."""
MESSAGE_BYTES_MAX: Final = 11 << 20
"""max.message.bytes of a topic that is created for a stream: the largest message of the Zerobus
protocol, 10 MiB, with room for what a record batch puts around it."""
_INTERNAL: Final = "__"

log = logging.getLogger("headrace.streams")


class IngestStreams:
    """Made with the broker. Everything on the loop's thread."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.flow = Flow()
        self.by_id: dict[str, IngestStream] = {}
        self._opening = 0
        self._topics: dict[UUID, Lanes] = {}
        self._retired: dict[UUID, set[int]] = {}
        self._decisions = Decisions(broker, self.flow)
        self._elastic = Elastic(broker, self._decisions, self._send_away)
        self._persistent = PersistentStreams(
            broker.catalog.streams, broker.topics, broker.peers, broker.now_ms
        )
        self._names = NamedLocks()
        self._changes = Changes()
        self._saving: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closing = False
        broker.topics.when_deleted(self._topic_deleted)

    async def start(self) -> None:
        """Raises RequestError."""
        for topic_id, index in await self._broker.catalog.streams.retired_partitions():
            self._retired.setdefault(topic_id, set()).add(index)
        create = asyncio.get_running_loop().create_task
        self._tasks = [
            create(self._look_for_ever(), name="streams: loads"),
            create(self._save_for_ever(await self._persistent.load()), name="streams: positions"),
        ]

    async def close(self) -> None:
        """Take no streams any more, save where persistent ones are. Idempotent."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        gone = RequestError(ErrorCode.NOT_LEADER_OR_FOLLOWER, "the broker is closing")
        for stream in list(self.by_id.values()):
            stream.fail(gone)
            stream.close()
        await self._changes.wait()
        while self._saving:
            await asyncio.wait(self._saving)
        await self._decisions.close()

    # What doors use

    async def open(
        self, topic: str, owner: StreamOwner, *, client: str = "", record_type: str = ""
    ) -> IngestStream:
        """A stream that ends with its connection. `client` and `record_type` are for people.

        Raises RequestError, as `contract` says.
        """
        return await self._new(topic, owner, client, record_type, persistent=False)

    async def create(
        self, topic: str, owner: StreamOwner, *, client: str = "", record_type: str = ""
    ) -> IngestStream:
        """A persistent stream, durably; resumed by its `id`. Raises RequestError."""
        return await self._new(topic, owner, client, record_type, persistent=True)

    async def resume(
        self, stream_id: str, owner: StreamOwner, *, client: str = "", record_type: str = ""
    ) -> IngestStream:
        """Go on with a persistent stream at its `next_offset`: every message before it is durable,
        none from it on was ever written. Whoever had it open is refused from now on.

        Raises RequestError: RESOURCE_NOT_FOUND, INVALID_REQUEST for another `record_type` than it
        was created with.
        """
        async with self._names.hold(stream_id):
            row = await self._persistent.find(stream_id)
            if row.record_type != record_type:
                raise RequestError(
                    ErrorCode.INVALID_REQUEST,
                    f"stream {stream_id} takes {row.record_type!r}, not {record_type!r}",
                )
            position = await self._persistent.take(row)
            with self._admitted():
                topic = self._broker.topics.get_by_id(row.topic_id)
                kind = StreamKind(
                    *(stream_id, row.producer_id, client, record_type, True), self._broker.now_ms()
                )
                lane = self._lanes(topic).all()[row.partition]
                stream = self._bind(kind, lane, owner, position)
                self._persistent.add(stream)
        self.flow.opened["resume"] += 1
        return stream

    async def retire(self, stream_id: str, topic: str | None = None) -> None:
        """End a persistent stream for good; `topic` must be its own if it is given.

        Raises RequestError: RESOURCE_NOT_FOUND, also if it was retired before, INVALID_REQUEST.
        """
        await self._changes.run(self._retire(stream_id, topic))

    async def _retire(self, stream_id: str, topic: str | None) -> None:
        async with self._names.hold(stream_id):
            row = await self._persistent.find(stream_id)
            if topic is not None and self._broker.topics.by_id[row.topic_id].name != topic:
                raise RequestError(
                    ErrorCode.INVALID_REQUEST, f"stream {stream_id} is not of topic {topic!r}"
                )
            await self._persistent.retire(row)

    # What administrators use

    def views(self, topic: str | None = None) -> list[StreamView]:
        return [s.view() for s in self.by_id.values() if topic is None or s.topic == topic]

    def topics(self) -> Iterator[Lanes]:
        """Those that streams were opened to since the start."""
        yield from self._topics.values()

    async def drain(
        self, *, topic: str | None = None, partition: int | None = None, stream: str | None = None
    ) -> int:
        """Ask streams to close and open anew: one, those of a topic, or of one of its partitions,
        which is retired with it if the topic is elastic; returns how many.

        Raises RequestError: RESOURCE_NOT_FOUND, UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST,
        POLICY_VIOLATION if no active partition would be left, NOT_CONTROLLER by any worker but the
        first.
        """
        self._check_first()
        if stream is not None:
            found = self.by_id.get(stream)
            if found is None:
                raise RequestError(ErrorCode.RESOURCE_NOT_FOUND, f"stream {stream!r} is not open")
            self._decisions.tell("drain", found.topic, stream_id=stream, streams=1)
            self._send_away(found)
            return 1
        if topic is None:
            raise RequestError(ErrorCode.INVALID_REQUEST, "say which stream or topic")
        lanes = self._lanes(self._broker.topics.get(topic))
        if partition is None:
            streams = [stream for lane in lanes.all() for stream in lane.streams.values()]
            self._decisions.tell("drain", topic, streams=len(streams))
        else:
            self._broker.topics.partition(topic, partition)
            streams = list(lanes.all()[partition].streams.values())
            if lanes.topic.config.elastic is not None and partition not in lanes.retired:
                self._check_one_left(lanes)
                await self._elastic.retire(lanes, partition, "asked for", {}, "drain")
                return sum(not stream.kind.persistent for stream in streams)
            self._decisions.tell("drain", topic, partition=partition, streams=len(streams))
        for each in streams:
            self._send_away(each)
        return len(streams)

    def ask_all_to_close(self, grace_ms: int) -> None:
        """Before the doors close: every stream should go on elsewhere."""
        for stream in list(self.by_id.values()):
            stream.ask_to_close(grace_ms)

    # Opening

    async def _new(
        self, name: str, owner: StreamOwner, client: str, record_type: str, *, persistent: bool
    ) -> IngestStream:
        with self._admitted():
            topic = await self._topic(name)
            producer_id = await self._broker.producer_ids.next()
            kind = StreamKind(
                *(str(uuid4()), producer_id, client, record_type, persistent),
                self._broker.now_ms(),
            )
            lanes = self._lanes(topic)
            loads = [lane.load() for lane in lanes.active() if lane.partition.is_usable()]
            if not loads:
                raise RequestError(
                    ErrorCode.KAFKA_STORAGE_ERROR, f"every partition of {name!r} is offline"
                )
            choice = choose(loads)
            lane = lanes.all()[choice.partition]
            stream = self._bind(kind, lane, owner, Position())
        if persistent:
            try:
                await self._persistent.insert(stream)
            except BaseException:
                stream.close()
                raise
        self.flow.opened["create" if persistent else "open"] += 1
        self._decisions.tell(
            *("bind", name),
            partition=choice.partition,
            stream_id=stream.id,
            expected_bytes_per_s=round(choice.weight),
            heaviest_bytes_per_s=round(choice.heaviest),
            active_partitions=len(loads),
        )
        return stream

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """Whether one more stream may be opened; counted while it is on its way."""
        self._check_first()
        if self._is_closing:
            raise RequestError(ErrorCode.LEADER_NOT_AVAILABLE, "the broker is closing")
        most = self._broker.configs.integer(STREAMS_MAX)
        if len(self.by_id) + self._opening >= most:
            self.flow.refused += 1
            raise RequestError(
                ErrorCode.POLICY_VIOLATION, f"{most} streams are open ({STREAMS_MAX})"
            )
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    async def _topic(self, name: str) -> Topic:
        topics = self._broker.topics
        if name.startswith(_INTERNAL):
            raise RequestError(
                ErrorCode.INVALID_TOPIC_EXCEPTION, f"{name[:60]!r} is one of the broker's own"
            )
        if name not in topics.by_name and self._broker.configs.boolean("auto.create.topics.enable"):
            count = self._broker.configs.integer("num.partitions")
            try:
                return await topics.create(
                    name, count, {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
                )
            except RequestError as error:
                if error.code != ErrorCode.TOPIC_ALREADY_EXISTS:
                    raise
                await topics.reload()  # it may be another worker who was quicker
        return topics.get(name)

    def _lanes(self, topic: Topic) -> Lanes:
        lanes = self._topics.get(topic.id)
        if lanes is None:
            lanes = Lanes(topic, self._retired.pop(topic.id, set()))
            self._topics[topic.id] = lanes
        return lanes

    def _bind(
        self, kind: StreamKind, lane: Lane, owner: StreamOwner, position: Position
    ) -> IngestStream:
        stream = IngestStream(
            *(kind, lane, owner, position, self.flow, self._broker.now_ms), self._closed
        )
        self.by_id[stream.id] = stream
        lane.bind(stream, time.monotonic())
        return stream

    # Ending

    def _closed(self, stream: IngestStream) -> None:
        if self.by_id.get(stream.id) is stream:
            del self.by_id[stream.id]
        if stream.lane.streams.get(stream.id) is stream:
            del stream.lane.streams[stream.id]
        if stream.kind.persistent:
            task = asyncio.get_running_loop().create_task(self._persistent.save_closed(stream))
            self._saving.add(task)
            task.add_done_callback(self._saving.discard)

    def _send_away(self, stream: IngestStream) -> None:
        grace_ms = stream.lane.partition.topic.config.close_grace_ms
        if not stream.is_closing:
            stream.ask_to_close(grace_ms)
            late = RequestError(
                ErrorCode.NOT_LEADER_OR_FOLLOWER, f"the grace of {grace_ms} ms is over"
            )
            asyncio.get_running_loop().call_later(grace_ms / 1000, partial(stream.fail, late))

    def _topic_deleted(self, topic: Topic) -> None:
        self._retired.pop(topic.id, None)
        lanes = self._topics.pop(topic.id, None)
        self._elastic.forget(topic.name)
        gone = RequestError(
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic {topic.name!r} was deleted"
        )
        for lane in lanes.all() if lanes is not None else ():
            for stream in list(lane.streams.values()):
                stream.fail(gone)

    def _check_first(self) -> None:
        """One router sees all streams. Raises RequestError NOT_CONTROLLER."""
        if not self._broker.ownership.is_first:
            raise RequestError(
                ErrorCode.NOT_CONTROLLER, "ingest streams are the first worker's: ask that one"
            )

    def _check_one_left(self, lanes: Lanes) -> None:
        if len(lanes.active()) < 2:
            raise RequestError(
                ErrorCode.POLICY_VIOLATION,
                f"topic {lanes.topic.name!r} has no other active partition",
            )

    # Now and then

    async def look(self, now_s: float) -> None:
        """One look at what the partitions carry, and what follows for elastic topics."""
        await mirror_produced(self._broker, list(self._topics))
        for lanes in list(self._topics.values()):
            lanes.look(now_s)
            await self._elastic.review(lanes, round(now_s * 1000))

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                await self.look(time.monotonic())
            except Exception:  # one look that fails must not be the last
                log.exception("looking at what streams' partitions carry failed")

    async def _save_for_ever(self, loaded: list[PersistentStreamRow]) -> None:
        step = partial(self._persistent.catch_up, loaded)
        while True:
            try:
                await step()
            except RequestError as error:
                log.warning("positions of persistent streams were not saved: %s", error.message)
            await asyncio.sleep(SAVE_INTERVAL_S)
            step = partial(self._persistent.save_open)
