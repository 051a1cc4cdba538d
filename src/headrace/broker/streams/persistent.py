"""Persistent streams: an id that outlives connections and the broker, and is written exactly once.

A row makes one exist, before the first message is taken. Where it is, the log knows (`recovery`);
the row is brought up to date when a connection ends, now and then while one is open, and at every
start for whatever a crash left behind. Who resumes a stream takes it from whoever had it: the other
one is refused from that moment, and what it had appended is waited for, so that the last committed
offset that is answered is the last.
What must not enter: routing, limits of open streams (`ingest`).
"""

import logging
from collections.abc import Callable
from typing import Final

from headrace.broker.cluster.peers import Peers
from headrace.broker.cluster.remote_log import RemoteLog
from headrace.broker.streams.recovery import Known, recovered_position
from headrace.broker.streams.stream import IngestStream, Position
from headrace.broker.topics import Partition, Topics
from headrace.catalog.streams import PersistentStreamRow, StreamRows
from headrace.wire.errors import ErrorCode, RequestError

__all__ = ["PERSISTENT_STREAMS_MAX", "PersistentStreams"]

PERSISTENT_STREAMS_MAX: Final = 100_000
"""Rows, those of streams that were retired lately included."""
RETIRED_KEPT_MS: Final = 7 * 24 * 3600 * 1000
SAVE_INTERVAL_S: Final = 60.0
"""Between two savings of where open streams are; far less than a log remembers a producer."""
PAGE_ROWS: Final = 500

log = logging.getLogger("headrace.streams")


class PersistentStreams:
    """Those that are open, and the rows of all."""

    def __init__(
        self, rows: StreamRows, topics: Topics, peers: Peers, now_ms: Callable[[], int]
    ) -> None:
        self._rows = rows
        self._peers = peers
        self._topics = topics
        self._now_ms = now_ms
        self._live: dict[str, IngestStream] = {}
        """Open, or closed and not saved yet."""
        self._saved: dict[str, int] = {}
        """What the rows of live ones say, as far as it was written here: their next offsets."""

    async def insert(self, stream: IngestStream) -> None:
        """Make a stream that was just bound exist. Raises RequestError."""
        kind, partition = stream.kind, stream.lane.partition
        await self._rows.insert(
            PersistentStreamRow(
                *(kind.stream_id, partition.topic.id, partition.index, kind.producer_id),
                *(kind.record_type, 0, 0, kind.opened_ms),
            ),
            PERSISTENT_STREAMS_MAX,
            self._now_ms() - RETIRED_KEPT_MS,
        )
        self.add(stream)

    def add(self, stream: IngestStream) -> None:
        self._live[stream.id] = stream

    async def find(self, stream_id: str) -> PersistentStreamRow:
        """Raises RequestError RESOURCE_NOT_FOUND, also for one that was retired."""
        row = await self._rows.get(stream_id)
        if row is None or row.topic_id not in self._topics.by_id:
            raise RequestError(
                ErrorCode.RESOURCE_NOT_FOUND, f"there is no persistent stream {stream_id[:60]!r}"
            )
        if row.retired_ms is not None:
            raise RequestError(
                ErrorCode.RESOURCE_NOT_FOUND, f"the persistent stream {stream_id} was retired"
            )
        return row

    async def take(self, row: PersistentStreamRow) -> Position:
        """Where the stream goes on, taken from whoever has it now. Raises RequestError."""
        partition = self._topics.by_id[row.topic_id].partitions[row.partition]
        if partition.is_mine:
            partition.log.offsets()  # which raises if it is offline
        live = self._live.get(row.stream_id)
        if live is None:
            return await self._position(partition, row)
        live.fail(RequestError(ErrorCode.PRODUCER_FENCED, "the stream was resumed elsewhere"))
        await live.settled()
        live.close()
        if not partition.is_mine:  # what became of the last ones need not be known here
            return await self._position(partition, row)
        partition.log.offsets()
        return Position(live.durable_messages, live.durable_sequence)

    async def _position(self, partition: Partition, row: PersistentStreamRow) -> Position:
        """As the partition's log has it, whichever worker that is of. Raises RequestError."""
        known = Known.of(row)
        if not isinstance(partition.log, RemoteLog):
            return await recovered_position(partition.log, known)
        from headrace.wire.workers import PositionAsked  # needed only where there are others

        asked = PositionAsked(partition.topic.id, partition.index, *known)
        found = await self._peers.position(partition.log.owner, asked)
        return Position(found.next_offset, found.next_sequence)

    async def retire(self, row: PersistentStreamRow) -> None:
        """Durably end it. Raises RequestError."""
        await self._rows.retire(row.stream_id, self._now_ms())
        live = self._live.pop(row.stream_id, None)
        if live is not None:
            live.fail(RequestError(ErrorCode.PRODUCER_FENCED, "the stream was retired"))

    async def save_closed(self, stream: IngestStream) -> None:
        """Its connection has ended: write where it is, and forget it unless it was resumed."""
        await stream.settled()
        try:
            await self._save([stream])
        except RequestError as error:
            log.warning("persistent stream %s: %s; the log knows", stream.id, error.message)
        if self._live.get(stream.id) is stream:
            del self._live[stream.id]
            self._saved.pop(stream.id, None)

    async def save_open(self) -> None:
        """Write where those are that have moved."""
        moved = [
            stream
            for stream in self._live.values()
            if self._saved.get(stream.id) != stream.durable_messages
        ]
        for start in range(0, len(moved), PAGE_ROWS):
            await self._save([s for s in moved[start : start + PAGE_ROWS] if s.is_settled])

    async def load(self) -> list[PersistentStreamRow]:
        """The first of those that `catch_up` is for. Raises RequestError."""
        return await self._rows.page("", PAGE_ROWS)

    async def catch_up(self, rows: list[PersistentStreamRow]) -> None:
        """After a start: bring every row up to what its log knows, beginning with these."""
        while rows:
            behind = []
            for row in rows:
                position = await self._behind(row)
                if position is not None:
                    behind.append((row.stream_id, *position))
            if behind:
                await self._rows.save(behind)
            rows = await self._rows.page(rows[-1].stream_id, PAGE_ROWS)

    async def _behind(self, row: PersistentStreamRow) -> Position | None:
        topic = self._topics.by_id.get(row.topic_id)
        if topic is None or row.stream_id in self._live:
            return None
        try:
            position = await self._position(topic.partitions[row.partition], row)
        except RequestError as error:
            log.warning("persistent stream %s: %s", row.stream_id, error.message)
            return None
        is_same = position == (row.next_offset, row.next_sequence)
        return None if is_same or row.stream_id in self._live else position

    async def _save(self, streams: list[IngestStream]) -> None:
        if not streams:
            return
        positions = [
            (stream.id, stream.durable_messages, stream.durable_sequence) for stream in streams
        ]
        await self._rows.save(positions)
        for stream_id, offset, _ in positions:
            if stream_id in self._live:
                self._saved[stream_id] = offset
