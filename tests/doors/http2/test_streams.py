"""Publish and Subscribe against clients that say what they should not: the right status, and
nothing of others is touched."""

import queue
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from headrace.testing import RunningBroker, running_broker
from headrace.wire.cloudevents import Event
from headrace.wire.headrace_v1 import (
    SERVICE,
    Committed,
    Opened,
    OpenPublish,
    OpenSubscription,
    Outcome,
    Settlement,
    SubscribeRequest,
    read_publish_response,
    read_subscribe_response,
    write_event,
    write_event_batch,
    write_publish_request,
    write_retire,
    write_subscribe_request,
)

CODE = grpc.StatusCode
EVENT = Event(id="1", source="s", type="t", data=b"x")


@pytest.fixture(scope="module")
def running() -> Iterator[RunningBroker]:
    with running_broker(grpc=True) as broker:
        broker.create_topic("t")
        broker.create_topic("other")
        yield broker


@pytest.fixture
def channel(running: RunningBroker) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(running.grpc_target) as made:
        yield made


class Stream:
    """One call; what is said leaves at once, None ends the client's half."""

    def __init__(self, channel: grpc.Channel, method: str, *messages: bytes) -> None:
        self._said: queue.Queue[bytes | None] = queue.Queue()
        call = channel.stream_stream(f"/{SERVICE}/{method}")
        self.answers: Any = call(iter(self._said.get, None), timeout=20)
        for message in messages:
            self.say(message)

    def say(self, message: bytes | None) -> None:
        self._said.put(message)

    def hear(self) -> memoryview:
        return memoryview(next(self.answers))

    def status(self) -> grpc.StatusCode:
        """How it ended, with what came before it passed over."""
        try:
            for _ in self.answers:
                pass
        except grpc.RpcError as error:
            self.say(None)
            return error.code()
        self.say(None)
        return CODE.OK


def publish(channel: grpc.Channel, **opening: Any) -> Stream:
    stream = Stream(channel, "Publish", write_publish_request(OpenPublish("t", **opening)))
    assert isinstance(read_publish_response(stream.hear()), Opened)
    return stream


def subscribe(channel: grpc.Channel, group: str, credit: int = 10) -> Stream:
    opening = OpenSubscription("t", group, None, -2, credit)
    stream = Stream(channel, "Subscribe", write_subscribe_request(SubscribeRequest(opening)))
    assert read_subscribe_response(stream.hear()).subscribed is not None
    return stream


def batch(first: int, *events: Event) -> bytes:
    return write_event_batch(first, [write_event(event) for event in events])


def settle(*settlement: Any) -> bytes:
    return write_subscribe_request(SubscribeRequest(None, [Settlement(*settlement)]))


@pytest.mark.parametrize("method", ["Publish", "Subscribe"])
def test_a_stream_begins_with_open(channel: grpc.Channel, method: str) -> None:
    for first in (b"\xff", b"", None, batch(0, EVENT), settle(0, 0, 0)):
        assert Stream(channel, method, first).status() is CODE.INVALID_ARGUMENT  # type: ignore[arg-type]


def test_offsets_do_not_skip_or_repeat(channel: grpc.Channel) -> None:
    for wrong in (2, 0):
        stream = publish(channel)
        stream.say(batch(0, EVENT))
        assert read_publish_response(stream.hear()) == Committed(1)
        stream.say(batch(wrong, EVENT))
        assert stream.status() is CODE.OUT_OF_RANGE


def test_a_half_close_is_answered_when_all_is_durable(channel: grpc.Channel) -> None:
    stream = publish(channel)
    for at in range(100):
        stream.say(batch(at, EVENT))
    stream.say(None)
    answers = [read_publish_response(memoryview(answer)) for answer in stream.answers]
    assert answers[-1] == Committed(100)
    assert stream.answers.code() is CODE.OK


def test_events_must_be_events(channel: grpc.Channel) -> None:
    stream = publish(channel)
    stream.say(batch(0, EVENT, Event(id="", source="s", type="t")))
    assert stream.status() is CODE.INVALID_ARGUMENT


def test_a_stream_belongs_to_its_topic_until_it_is_retired(channel: grpc.Channel) -> None:
    opening = write_publish_request(OpenPublish("t", True))
    stream = Stream(channel, "Publish", opening)
    opened = read_publish_response(stream.hear())
    assert isinstance(opened, Opened)
    stream.say(None)
    assert stream.status() is CODE.OK
    elsewhere = write_publish_request(OpenPublish("other", True, opened.stream_id))
    assert Stream(channel, "Publish", elsewhere).status() is CODE.INVALID_ARGUMENT
    retire = channel.unary_unary(f"/{SERVICE}/Retire")
    for _ in range(2):
        assert retire(write_retire(opened.stream_id), timeout=10) == b""
    again = write_publish_request(OpenPublish("t", True, opened.stream_id))
    assert Stream(channel, "Publish", again).status() is CODE.NOT_FOUND


@pytest.mark.parametrize(
    ("opening", "code"),
    [
        (OpenSubscription("", "g"), CODE.INVALID_ARGUMENT),
        (OpenSubscription("t", ""), CODE.INVALID_ARGUMENT),
        (OpenSubscription("t", "g" * 1000), CODE.INVALID_ARGUMENT),
        (OpenSubscription("nowhere", "g"), CODE.NOT_FOUND),
        (OpenSubscription("t", "g", credit=10_001), CODE.INVALID_ARGUMENT),
        (OpenSubscription("t", "g", start_ms=-3), CODE.INVALID_ARGUMENT),
    ],
)
def test_a_subscription_that_makes_no_sense(channel: Any, opening: Any, code: Any) -> None:
    request = write_subscribe_request(SubscribeRequest(opening))
    assert Stream(channel, "Subscribe", request).status() is code


def test_settling_what_is_not_held_has_no_effect(channel: grpc.Channel) -> None:
    writing = publish(channel)
    writing.say(batch(0, EVENT))
    reading = subscribe(channel, "settling")
    delivery = read_subscribe_response(reading.hear()).deliveries[0]
    for outcome in Outcome:
        reading.say(settle(99, 0, 5, outcome))
        reading.say(settle(0, 2**62, 2**63 - 1, outcome))
    reading.say(settle(0, 0, delivery.offset))
    reading.say(settle(0, 0, delivery.offset, Outcome.RELEASE))
    writing.say(None)
    reading.say(None)
    assert (writing.status(), reading.status()) == (CODE.OK, CODE.OK)


def test_a_delay_beyond_the_bound_ends_the_call(channel: grpc.Channel) -> None:
    writing = publish(channel)
    writing.say(batch(0, EVENT))
    reading = subscribe(channel, "delaying")
    delivery = read_subscribe_response(reading.hear()).deliveries[0]
    reading.say(settle(0, delivery.offset, delivery.offset, Outcome.RELEASE, 15 * 60 * 1000 + 1))
    assert reading.status() is CODE.INVALID_ARGUMENT
    writing.say(None)
