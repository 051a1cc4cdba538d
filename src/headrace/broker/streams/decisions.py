"""What the router decided: logged, counted, and written as events to a topic of its own.

DECISIONS_TOPIC, made when the first decision is, holds one JSON object a record:

    {"time_ms", "action", "topic", "partition" or "partitions", and the numbers it was decided by}

Actions: `bind` (a stream to a partition), `open`, `reopen`, `retire` (partitions),
`relieve` (a hot one, of some streams), `drain` (asked
for by an administrator). An event that cannot be written is lost, and counted: nobody waits for it.
What must not enter: deciding.
"""

import asyncio
import json
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headrace.broker.append import ACKS_LEADER, Appended, append
from headrace.broker.streams.flow import Flow
from headrace.wire.errors import RequestError
from headrace.wire.packing import pack_values
from headrace.wire.produce import PartitionBatch

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["DECISIONS_TOPIC", "Decisions"]

DECISIONS_TOPIC: Final = "__headrace_stream_decisions"
EVENTS_WAITING_MAX: Final = 10_000
BATCH_EVENTS_MAX: Final = 1_000

log = logging.getLogger("headrace.streams")


class Decisions:
    """Made with the broker; `close` writes what is waiting."""

    def __init__(self, broker: "Broker", flow: Flow) -> None:
        self._broker = broker
        self._flow = flow
        self._waiting: deque[bytes] = deque()
        self._writing: asyncio.Task[None] | None = None

    def tell(self, action: str, topic: str, **numbers: Any) -> None:
        """It was decided, and is carried out."""
        self._flow.decisions[action] += 1
        level = logging.DEBUG if action == "bind" else logging.INFO
        if log.isEnabledFor(level):
            told = ", ".join(f"{name} {value}" for name, value in numbers.items())
            log.log(level, "%s: %s: %s", topic, action, told)
        if len(self._waiting) >= EVENTS_WAITING_MAX:
            self._flow.events_lost += 1
            return
        event = {"time_ms": self._broker.now_ms(), "action": action, "topic": topic, **numbers}
        self._waiting.append(json.dumps(event).encode())
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def close(self) -> None:
        """Idempotent."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), BATCH_EVENTS_MAX)
            events = [self._waiting.popleft() for _ in range(count)]
            try:
                await self._append(events)
            except RequestError as error:
                self._flow.events_lost += count
                log.warning("%d decisions were not written: %s", count, error)

    async def _append(self, events: list[bytes]) -> None:
        if DECISIONS_TOPIC not in self._broker.topics.by_name:
            await self._broker.topics.create(DECISIONS_TOPIC, 1)
        batch = pack_values(events, [*map(len, events)], self._broker.now_ms(), (-1, -1, -1))
        place = PartitionBatch(DECISIONS_TOPIC, 0, memoryview(batch))
        done = partial(self._appended, len(events))
        append(self._broker, place, ACKS_LEADER, done, anywhere=True)

    def _appended(self, count: int, outcome: Appended | RequestError) -> None:
        if isinstance(outcome, RequestError):
            self._flow.events_lost += count
            log.warning("%d decisions may not be written: %s", count, outcome)
