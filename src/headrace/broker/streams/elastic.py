"""Elastic topics: carrying out what the router decides, durably, one change of a topic at a time.

- **retire**: no new stream from this moment, the row, then a close signal to the partition's
  streams. Persistent streams stay, since they are bound for longer than a connection.
- **relieve**: a close signal to some streams of a hot partition.
- **open**: retired partitions first (the row goes, then streams may come), then new ones.

A change that fails leaves things as they were; the next look decides again.
What must not enter: measuring, deciding.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headrace.broker.streams.decisions import Decisions
from headrace.broker.streams.lanes import Lanes
from headrace.broker.streams.router import Action, Decision, Watch, review
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker
    from headrace.broker.streams.stream import IngestStream

__all__ = ["Elastic"]

log = logging.getLogger("headrace.streams")


class Elastic:
    """`ask_to_close` sends a stream away, with the topic's grace."""

    def __init__(
        self,
        broker: "Broker",
        decisions: Decisions,
        ask_to_close: "Callable[[IngestStream], None]",
    ) -> None:
        self._broker = broker
        self._rows = broker.catalog.streams
        self._decisions = decisions
        self._ask_to_close = ask_to_close
        self._watches: dict[str, Watch] = {}

    def forget(self, topic: str) -> None:
        self._watches.pop(topic, None)

    async def review(self, lanes: Lanes, now_ms: int) -> None:
        """Look at a topic, and do what follows. `now_ms` is steady."""
        topic = lanes.topic
        rule = topic.config.elastic
        if rule is None:
            self.forget(topic.name)
            return
        loads = [lane.load() for lane in lanes.active()]
        watch = self._watches.get(topic.name, Watch())
        watch, decision = review(watch, loads, rule, now_ms)
        self._watches[topic.name] = watch
        if decision is None:
            return
        try:
            if decision.action is Action.OPEN:
                await self._open(lanes, decision)
            elif decision.action is Action.RELIEVE:
                self._relieve(lanes, decision)
            else:
                await self.retire(lanes, decision.partition, decision.why, _numbers(decision))
        except RequestError as error:
            log.warning("%s: %s failed: %s", topic.name, decision.action.value, error)

    async def retire(
        self,
        lanes: Lanes,
        partition: int,
        why: str,
        numbers: dict[str, Any],
        action: str = "retire",
    ) -> None:
        """Raises RequestError, and the partition is active as before."""
        topic = lanes.topic
        lanes.retired.add(partition)
        try:
            await self._rows.retire_partition(topic.id, partition, self._broker.now_ms())
        except BaseException:
            lanes.retired.discard(partition)
            raise
        streams = list(lanes.all()[partition].streams.values())
        self._decisions.tell(
            action, topic.name, partition=partition, why=why, streams=len(streams), **numbers
        )
        for stream in streams:
            if not stream.kind.persistent:
                self._ask_to_close(stream)

    def _relieve(self, lanes: Lanes, decision: Decision) -> None:
        """The slowest of its streams go: one that fills a partition alone would fill the next."""
        staying = [
            stream
            for stream in lanes.all()[decision.partition].streams.values()
            if not stream.kind.persistent and not stream.is_closing
        ]
        staying.sort(key=lambda stream: stream.bytes_per_s)
        asked = staying[: min(decision.number, len(staying) // 2)]
        if asked:
            self._decisions.tell(
                *("relieve", lanes.topic.name),
                partition=decision.partition,
                why=decision.why,
                streams=len(asked),
                **_numbers(decision),
            )
        for stream in asked:
            self._ask_to_close(stream)

    async def _open(self, lanes: Lanes, decision: Decision) -> None:
        topic = lanes.topic
        usable = [
            lane.partition.index
            for lane in lanes.all()
            if lane.partition.index in lanes.retired and lane.partition.is_usable()
        ]
        again = usable[: decision.number]
        if again:
            await self._rows.reopen_partitions(topic.id, again)
            lanes.retired.difference_update(again)
            self._decisions.tell(
                "reopen", topic.name, partitions=again, why=decision.why, **_numbers(decision)
            )
        missing = decision.number - len(again)
        if missing:
            count = len(topic.partitions)
            await self._broker.topics.add_partitions(topic.name, count + missing)
            made = [*range(count, len(topic.partitions))]
            self._decisions.tell(
                "open", topic.name, partitions=made, why=decision.why, **_numbers(decision)
            )


def _numbers(decision: Decision) -> dict[str, Any]:
    """What it was decided by."""
    return {
        "active_partitions": decision.active,
        "bytes_per_s": round(decision.bytes_per_s),
        "coldest_bytes_per_s": round(decision.coldest),
        "hottest_bytes_per_s": round(decision.hottest),
    }
