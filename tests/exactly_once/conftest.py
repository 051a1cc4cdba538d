"""A consumer and a producer that do as they are told, in the places of confluent-kafka's."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from headrace.exactly_once import ExactlyOnce, Output

Place = tuple[str, int]


class ScriptedMessage:
    def __init__(self, topic: str, partition: int, offset: int, error: Any = None) -> None:
        self._at = topic, partition, offset
        self._error = error

    def topic(self) -> str:
        return self._at[0]

    def partition(self) -> int:
        return self._at[1]

    def offset(self) -> int:
        return self._at[2]

    def error(self) -> Any:
        return self._error


class ScriptedConsumer:
    """`feed` holds what `poll` gives: messages, or functions that are called instead, as callbacks
    of a rebalance are."""

    def __init__(self) -> None:
        self.feed: list[Any] = []
        self.seeks: list[tuple[str, int, int]] = []
        self.owned: set[Place] = set()
        self.ends: dict[Place, int | Exception] = {}
        self.on_assign: Callable[..., None]
        self.on_revoke: Callable[..., None]

    def subscribe(self, topics: Any, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.on_assign, self.on_revoke = on_assign, on_revoke

    def give(self, *places: Place) -> None:
        self.owned.update(places)
        self.on_assign(self, [TopicPartition(*place) for place in places])

    def take(self, *places: Place) -> None:
        self.owned.difference_update(places)
        self.on_revoke(self, [TopicPartition(*place) for place in places])

    def poll(self, timeout: float) -> Any:
        what = self.feed.pop(0) if self.feed else None
        return what() if callable(what) else what

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self.owned]

    def seek(self, place: TopicPartition) -> None:
        self.seeks.append((place.topic, place.partition, place.offset))

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        end = self.ends[place.topic, place.partition]
        if isinstance(end, Exception):
            raise end
        return 0, end

    def consumer_group_metadata(self) -> str:
        return "membership"

    def close(self) -> None:
        pass


class ScriptedProducer:
    """Notes its calls; `errors[name]` are raised one by one by the calls of that name."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sent: list[tuple[str, Any]] = []
        self.offsets: list[tuple[str, int, int]] = []
        self.errors: dict[str, list[Exception]] = {}
        self.refusal: KafkaError | None = None
        """Told of a record at the next flush."""
        self.config: dict[str, Any] = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def init_transactions(self, timeout: float) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(self, topic: str, value: Any, key: Any, **more: Any) -> None:
        self._call("produce")
        self.sent.append((topic, value))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        self._call("flush")
        if self.refusal is not None:
            self.config["on_delivery"](self.refusal, None)
        return 0

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], membership: Any, timeout: float
    ) -> None:
        self._call("offsets")
        self.offsets = sorted((one.topic, one.partition, one.offset) for one in offsets)

    def commit_transaction(self, timeout: float) -> None:
        self._call("commit")

    def abort_transaction(self, timeout: float) -> None:
        self._call("abort")


class Stage:
    """The loop under test between the two, and what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.consumer = ScriptedConsumer()
        self.producer = ScriptedProducer()
        self.batches: list[list[tuple[str, int, int]]] = []
        self.now = 1000.0
        monkeypatch.setattr("headrace.exactly_once.loop.Consumer", lambda _: self.consumer)
        monkeypatch.setattr("headrace.exactly_once.loop.Producer", self._configured)
        # Time passes by itself, 0.3 s with every look at the clock.
        monkeypatch.setattr("time.monotonic", self._tick)
        monkeypatch.setattr("time.sleep", lambda _: None)

    def open(self, **options: Any) -> ExactlyOnce:
        loop = ExactlyOnce({}, "g", ["t"], batch_s_max=5, **{"stall_s_max": 100, **options})
        loop.__enter__()
        self.consumer.give(("t", 0), ("t", 1))
        return loop

    def feed(self, *records: tuple[int, int]) -> None:
        """(partition, offset)"""
        self.consumer.feed += [ScriptedMessage("t", *record) for record in records]

    def feed_error(self, code: int, **kind: Any) -> None:
        error = failure(code, **kind).args[0]
        self.consumer.feed.append(ScriptedMessage("t", 0, 0, error))

    def feed_end(self, partition: int, offset: int) -> None:
        error = failure(KafkaError._PARTITION_EOF).args[0]
        self.consumer.feed.append(ScriptedMessage("t", partition, offset, error))

    def copy(self, records: Sequence[Any]) -> list[Output]:
        batch = [(one.topic(), one.partition(), one.offset()) for one in records]
        self.batches.append(batch)
        return [Output("out", b"%d" % offset) for _, _, offset in batch]

    def _configured(self, config: dict[str, Any]) -> ScriptedProducer:
        self.producer.config = config
        return self.producer

    def _tick(self) -> float:
        self.now += 0.3
        return self.now


def failure(
    code: int,
    *,
    text: str = "scripted",
    retriable: bool = False,
    abortable: bool = False,
    fatal: bool = False,
) -> KafkaException:
    return KafkaException(KafkaError(code, text, fatal, retriable, abortable))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


@pytest.fixture
def fail() -> Callable[..., KafkaException]:
    """`fail(code, retriable=..., abortable=..., fatal=...)`, as librdkafka's calls raise it."""
    return failure
