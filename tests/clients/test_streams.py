"""Publisher and Subscriber against a broker: order, exactly once, settling, and Kafka clients."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from confluent_kafka import Consumer, Producer

from headrace.streams import (
    AsyncPublisher,
    AsyncSubscriber,
    Event,
    InvalidEventError,
    Publisher,
    Received,
    StreamError,
    Subscriber,
)
from headrace.testing import RunningBroker, running_broker


@pytest.fixture(scope="module")
def running() -> Iterator[RunningBroker]:
    with running_broker(grpc=True) as broker:
        yield broker


@pytest.fixture
def free_port() -> int:
    """For a broker that comes back on the port that it had."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def topic(running: RunningBroker, request: Any) -> str:
    name = request.node.name.replace("_", "-")[:100]
    running.create_topic(name, 2)
    return str(name)


def event(number: int, **attributes: Any) -> Event:
    return Event(id=str(number), source="/test", type="test.happened", data=b"%d" % number)


def ids(received: list[Received]) -> list[str]:
    return [each.event.id for each in received]


def send_and_flush(publisher: Publisher, *events: Event) -> None:
    publisher.send(*events)
    publisher.flush()


def take(subscriber: Subscriber, count: int) -> list[Received]:
    """So many events, each acknowledged."""
    got = []
    for _ in range(count):
        got.append(subscriber.receive(10))
        got[-1].ack()
    return got


def test_events_of_a_stream_arrive_in_order(running: RunningBroker, topic: str) -> None:
    with Publisher(running.grpc_target, topic) as publisher:
        assert publisher.send(*map(event, range(3000))) == 0
        publisher.flush()
        assert publisher.committed == 3000
    with Subscriber(running.grpc_target, topic, "g", start="earliest", credit=500) as subscriber:
        assert ids(take(subscriber, 3000)) == [str(at) for at in range(3000)]


def test_a_kafka_consumer_reads_ordinary_records(running: RunningBroker, topic: str) -> None:
    sent = Event(
        id="1",
        source="/s",
        type="t",
        subject="anna",
        time="2026-11-20T10:00:00Z",
        datacontenttype="text/plain",
        extensions={"traceparent": "00-1"},
        data=b"hi",
    )
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(sent)
    consumer = Consumer(
        {
            "bootstrap.servers": running.bootstrap,
            "group.id": "kafka",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        record = consumer.poll(20)
        assert record is not None
        assert (record.key(), record.value()) == (b"anna", b"hi")
        assert dict(record.headers()) == {
            "ce_specversion": b"1.0",
            "ce_id": b"1",
            "ce_source": b"/s",
            "ce_type": b"t",
            "ce_subject": b"anna",
            "ce_time": b"2026-11-20T10:00:00Z",
            "ce_traceparent": b"00-1",
            "content-type": b"text/plain",
        }
    finally:
        consumer.close()
    with Subscriber(running.grpc_target, topic, "g", start="earliest") as subscriber:
        (received,) = take(subscriber, 1)
        assert received.event == sent


def test_records_of_a_kafka_producer_come_out_as_events(running: Any, topic: str) -> None:
    producer = Producer({"bootstrap.servers": running.bootstrap, "compression.type": "gzip"})
    producer.produce(topic, b"plain", key=b"k", partition=0, headers=[("x", b"\xff")])
    named = {"ce_specversion": "1.0", "ce_id": "7", "ce_source": "/k", "ce_type": "t"}
    producer.produce(topic, b"{}", partition=1, headers=list(named.items()))
    assert producer.flush(20) == 0
    with Subscriber(running.grpc_target, topic, "g", start="earliest") as subscriber:
        plain, whole = sorted(take(subscriber, 2), key=lambda each: each.partition)
    assert (plain.event.id, plain.event.source) == ("0", f"/{topic}/0")
    assert (plain.event.subject, plain.event.data) == ("k", b"plain")
    assert plain.headers == (("x", b"\xff"),)
    assert whole.event == Event(id="7", source="/k", type="t", data=b"{}")


def test_what_was_not_accepted_comes_again(running: RunningBroker, topic: str) -> None:
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(*map(event, range(3)))
    with Subscriber(running.grpc_target, topic, "g", start="earliest") as subscriber:
        first, second, third = (subscriber.receive(10) for _ in range(3))
        began_s = time.monotonic()
        first.nack()
        second.nack(delay_s=0.7)
        third.reject()
        again = subscriber.receive(10)
        assert (again.event.id, again.delivery_count) == ("0", 2)
        again.ack()
        late = subscriber.receive(10)
        assert (late.event.id, late.delivery_count) == ("1", 2)
        assert time.monotonic() - began_s >= 0.69
        late.ack()
        with pytest.raises(TimeoutError):
            subscriber.receive(0.3)


def test_no_more_than_the_credit_is_under_way(running: RunningBroker, topic: str) -> None:
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(*map(event, range(20)))
    with Subscriber(running.grpc_target, topic, "g", start="earliest", credit=3) as subscriber:
        held = [subscriber.receive(10) for _ in range(3)]
        with pytest.raises(TimeoutError):
            subscriber.receive(0.5)
        held[1].ack()
        assert subscriber.receive(10).event.id == "3"


def test_locks_end_and_delays_outlast_them() -> None:
    locks = {f"group.share.{kind}record.lock.duration.ms": "1000" for kind in ("", "min.")}
    with running_broker(grpc=True, broker=locks) as broker:
        broker.create_topic("t")
        with Publisher(broker.grpc_target, "t") as publisher:
            publisher.send(event(0))
        with Subscriber(broker.grpc_target, "t", "g", start="earliest", credit=1) as subscriber:
            subscriber.receive(10)  # and forgotten
            again = subscriber.receive(10)
            assert again.delivery_count == 2
            began_s = time.monotonic()
            again.nack(delay_s=1.8)
            late = subscriber.receive(10)
            assert time.monotonic() - began_s >= 1.79
            assert late.delivery_count == 3
            late.extend()
            late.ack()


def test_records_given_up_go_to_the_dead_letter_topic(running: Any, topic: str) -> None:
    dead = f"dlq.{topic}"
    running.create_topic(dead, 1, {"errors.deadletterqueue.group.enable": "true"})

    async def configure(node: Any) -> None:
        wanted = {
            "errors.deadletterqueue.topic.name": dead,
            "errors.deadletterqueue.copy.record.enable": "true",
            "share.delivery.count.limit": "2",
        }
        await node.broker.group_configs.alter(
            f"{topic}-g", lambda values: {**values, **wanted}, in_use=False
        )

    running.call(configure)
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(event(0), event(1))
    with Subscriber(running.grpc_target, topic, f"{topic}-g", start="earliest") as subscriber:
        first, second = subscriber.receive(10), subscriber.receive(10)
        first.reject()
        second.nack()
        subscriber.receive(10).nack()
        with Subscriber(running.grpc_target, dead, "undertaker", start="earliest") as undertaker:
            assert {each.event.data for each in take(undertaker, 2)} == {b"0", b"1"}


def test_a_group_begins_where_its_first_subscription_says(running: Any, topic: str) -> None:
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(event(0))
        publisher.flush()
        time.sleep(0.05)  # between two times of records
        since = datetime.now(UTC)
        time.sleep(0.05)
        publisher.send(event(1))
        publisher.flush()
        with (
            Subscriber(running.grpc_target, topic, "by-time", start=since) as by_time,
            Subscriber(running.grpc_target, topic, "late") as late,
        ):
            publisher.send(event(2))
            assert ids(take(by_time, 2)) == ["1", "2"]
            assert ids(take(late, 1)) == ["2"]


def test_an_ephemeral_group_leaves_nothing_behind(running: Any, topic: str, until: Any) -> None:
    group = f"{topic}-g"
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(event(0))

    async def trace(node: Any) -> tuple[bool, dict[str, str]]:
        broker = node.broker
        return broker.groups.exists(group), broker.group_configs.overrides(group)

    for _ in range(2):
        with Subscriber(
            running.grpc_target, topic, group, durable=False, start="earliest"
        ) as subscriber:
            assert ids(take(subscriber, 1)) == ["0"]
            with pytest.raises(StreamError) as refused:
                Subscriber(running.grpc_target, topic, group, durable=True)
            assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
        until(lambda: running.call(trace) == (False, {}), "the group to be forgotten")


def test_a_persistent_stream_goes_on_where_it_was(running: RunningBroker, topic: str) -> None:
    with Publisher(running.grpc_target, topic, persistent=True) as publisher:
        publisher.send(*map(event, range(5)))
    with Publisher(running.grpc_target, topic, stream_id=publisher.stream_id) as resumed:
        assert resumed.next_offset == 5
        resumed.send(event(5))
        with Publisher(running.grpc_target, topic, stream_id=publisher.stream_id) as usurper:
            usurper.send(event(6))
            usurper.flush()
            with pytest.raises(StreamError) as fenced:
                send_and_flush(resumed, event(7))
            assert fenced.value.code is grpc.StatusCode.ABORTED
            usurper.flush()
        resumed._stream._failure = None  # what it was told, it need not raise once more
    with Subscriber(running.grpc_target, topic, "g", start="earliest") as subscriber:
        assert ids(take(subscriber, 7)) == [str(at) for at in range(7)]
        with pytest.raises(TimeoutError):
            subscriber.receive(0.3)


def test_what_cannot_be_is_refused(running: RunningBroker, topic: str) -> None:
    def refused(stream: Any, *args: Any, **options: Any) -> grpc.StatusCode:
        with pytest.raises(StreamError) as failed:
            stream(running.grpc_target, *args, **options)
        return failed.value.code

    assert refused(Publisher, "no topic!") is grpc.StatusCode.INVALID_ARGUMENT
    assert refused(Publisher, topic, stream_id="nobody") is grpc.StatusCode.NOT_FOUND
    assert refused(Subscriber, "nowhere", "g") is grpc.StatusCode.NOT_FOUND
    assert refused(Subscriber, topic, "") is grpc.StatusCode.INVALID_ARGUMENT
    with Publisher(running.grpc_target, topic) as publisher, pytest.raises(InvalidEventError):
        publisher.send(Event(id="", source="s", type="t"))


def test_a_broker_that_asks_for_tokens_is_given_one(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    clients.write_text("me:secret\n")
    clients.chmod(0o600)
    with running_broker(grpc=True, broker={"headrace.token.clients": str(clients)}) as broker:
        broker.create_topic("t")

        async def issue(node: Any) -> str | None:
            return str(node.broker.tokens.issue("me", "secret"))

        token = broker.call(issue)
        for stream, names in ((Publisher, ("t",)), (Subscriber, ("t", "g"))):
            with pytest.raises(StreamError) as refused:
                stream(broker.grpc_target, *names, token="guessed")
            assert refused.value.code is grpc.StatusCode.UNAUTHENTICATED
            with stream(broker.grpc_target, *names, token=token):
                pass


def test_both_work_with_asyncio(running: RunningBroker, topic: str) -> None:
    async def work() -> list[str]:
        async with AsyncSubscriber(running.grpc_target, topic, "g") as subscriber:
            async with AsyncPublisher(running.grpc_target, topic) as publisher:
                await publisher.send(event(0), event(1))
            got = []
            async for received in subscriber:
                received.ack()
                got.append(received.event.id)
                if len(got) == 2:
                    break
            return got

    assert asyncio.run(work()) == ["0", "1"]


def test_nobody_waits_for_ever_for_a_broker_that_is_away() -> None:
    began_s = time.monotonic()
    with pytest.raises((StreamError, TimeoutError)):
        Publisher("127.0.0.1:1", "t", timeout_s=1)
    assert time.monotonic() - began_s < 10


CONSUMER = """
import sys, time
from headrace.streams import Subscriber
subscriber = Subscriber(sys.argv[1], sys.argv[2], "g", start="earliest")
subscriber.receive(10)
print("has it", flush=True)
time.sleep(60)
"""


def test_what_a_killed_consumer_held_comes_to_others_at_once(running: Any, topic: str) -> None:
    with Publisher(running.grpc_target, topic) as publisher:
        publisher.send(event(0))
    consumer = subprocess.Popen(
        [sys.executable, "-c", CONSUMER, running.grpc_target, topic], stdout=subprocess.PIPE
    )
    try:
        assert consumer.stdout is not None
        assert consumer.stdout.readline() == b"has it\n"
        with Subscriber(running.grpc_target, topic, "g") as other:
            with pytest.raises(TimeoutError):
                other.receive(0.3)
            os.kill(consumer.pid, signal.SIGKILL)
            began_s = time.monotonic()
            received = other.receive(10)
            assert time.monotonic() - began_s < 2
            assert (received.event.id, received.delivery_count) == ("0", 2)
            received.ack()
    finally:
        consumer.kill()
        consumer.wait()
        consumer.stdout.close()


def test_each_event_is_once_in_the_log_however_the_broker_ends(
    broker_process: Any, create_topic: Any, free_port: int
) -> None:
    target = f"127.0.0.1:{free_port}"
    broker = broker_process("--grpc", target)
    create_topic(broker, "t")
    number = 0
    with Publisher(target, "t", persistent=True, timeout_s=20) as publisher:
        for end in (broker.kill, broker.stop, broker.kill):
            for _ in range(40):
                publisher.send(*(event(at) for at in range(number, number + 50)))
                number += 50
            end()
            broker.start()
        publisher.flush()
    with Subscriber(target, "t", "g", start="earliest", credit=1000) as subscriber:
        broker.kill()
        broker.start()
        got: dict[int, str] = {}
        while len(got) < number:
            received = subscriber.receive(20)
            got[received.offset] = received.event.id
            received.ack()
        assert [got[at] for at in sorted(got)] == [str(at) for at in range(number)]


def test_why_a_call_ended_is_asked_again_when_grpcio_has_lost_it(
    monkeypatch: pytest.MonkeyPatch, running: RunningBroker, topic: str
) -> None:
    """It loses it when the broker's refusal crosses the first message."""
    ends = [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAUTHENTICATED]

    async def end(_: object) -> bool:
        nothing = grpc.aio.Metadata()
        code = ends.pop(0)
        why = "Internal error from Core" if ends else "no such token"
        raise grpc.aio.AioRpcError(code, nothing, nothing, why)

    monkeypatch.setattr(AsyncPublisher, "_call_once", end)
    with pytest.raises(StreamError, match="UNAUTHENTICATED: no such token"):
        Publisher(running.grpc_target, topic)
