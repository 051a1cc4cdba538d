"""What the streams of the service answer to clients that keep to the rules, and that do not."""

import asyncio
import threading

import grpc
import pytest

from headrace.doors.http2.call import Call
from headrace.doors.http2.zerobus.handler import IngestHandler
from headrace.testing import running_broker
from tests.doors.http2.zerobus.client import (
    AVRO,
    JSON,
    PROTO,
    ZerobusClient,
    batch,
    create,
    message,
    record,
    resume,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def running():
    with running_broker(grpc=True) as broker:
        yield broker


@pytest.fixture
def client(running):
    with ZerobusClient(running.grpc_target) as client:
        yield client


@pytest.fixture(scope="module")
def names():
    return iter(f"s{number}" for number in range(1000))


@pytest.fixture
def topic(names):
    return next(names)


def test_the_answer_to_a_half_close_is_ok_after_the_last_ack(client, topic):
    stream = client.open("EphemeralStream", create(topic, JSON))
    assert stream.created()
    stream.send(record(0, b"1"), batch(1, [b"2", b"3"]), batch(2, []), record(3, b"4"))
    stream.end()
    stream.acked(3)
    assert stream.status() == (grpc.StatusCode.OK, "")


def test_what_comes_with_the_opening_is_taken(client, topic):
    stream = client.open("EphemeralStream", create(topic, JSON), record(0, b"1"), record(1, b"2"))
    stream.created()
    stream.acked(1)


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([record(1, b"x")], "offset 1 came where 0 is next"),
        ([record(0, b"x"), record(0, b"x")], "offset 0 came where 1 is next"),
        ([record(0, b"x"), record(2, b"x")], "offset 2 came where 1 is next"),
        ([record(-1 & (1 << 64) - 1, b"x")], "offset -1 came where 0 is next"),
        ([batch(5, [b"x"])], "offset 5 came where 0 is next"),
        ([record(0, b"x", PROTO)], "PROTO records on a JSON stream"),
        ([batch(0, [b"x"], AVRO)], "AVRO records on a JSON stream"),
        ([create("s", JSON)], "open already"),
        ([b"\xff\xff\xff"], "cannot be read"),
        ([b""], "cannot be read"),
        ([message((2, message((1, 0))))], "has no record"),
    ],
)
def test_faults_of_messages_are_named(client, topic, messages, why):
    stream = client.open("EphemeralStream", create(topic, JSON))
    stream.created()
    stream.send(*messages)
    code, details = stream.status()
    assert code is INVALID
    assert why in details


def test_what_was_good_before_a_fault_is_acknowledged(client, topic):
    stream = client.open("EphemeralStream", create(topic, JSON))
    stream.created()
    stream.send(record(0, b"1"), record(1, b"2"), record(9, b"x"), record(2, b"3"))
    stream.acked(1)
    assert stream.status()[0] is INVALID


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([record(0, b"x")], INVALID),
        ([b"garbage"], INVALID),
        ([create("", JSON)], INVALID),
        ([create("a/b", JSON)], INVALID),
        ([create("__internal", JSON)], INVALID),
        ([create("t", 0)], INVALID),
        ([create("t", 3)], INVALID),
        ([create("t", PROTO)], INVALID),
        ([create("t", AVRO)], INVALID),
    ],
)
def test_what_cannot_be_opened_is_refused(client, messages, code):
    assert client.open("EphemeralStream", *messages).status()[0] is code


def test_an_end_before_the_beginning_is_refused(client):
    stream = client.open("EphemeralStream")
    stream.end()
    assert stream.status()[0] is INVALID


def test_header_and_message_must_name_one_table(client, topic):
    stream = client.open("EphemeralStream", create(topic, JSON), table="another")
    assert stream.status()[0] is INVALID
    stream = client.open("EphemeralStream", create("", JSON), table=topic)
    assert stream.created()


def test_a_record_that_no_batch_of_the_topic_can_hold_is_named(client, running, topic):
    running.create_topic(topic, 1, {"max.message.bytes": "2000"})
    stream = client.open("EphemeralStream", create(topic, JSON))
    stream.created()
    stream.send(record(0, b"x" * 3000))
    code, details = stream.status()
    assert code is INVALID
    assert "max.message.bytes" in details


def test_a_message_over_the_limit_ends_its_stream_only(client, topic):
    other = client.open("EphemeralStream", create(topic, JSON))
    other.created()
    stream = client.open("EphemeralStream", create(topic, JSON))
    stream.created()
    stream.send(record(0, b"x" * (11 << 20)))
    assert stream.status()[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    other.send(record(0, b"1"))
    other.acked(0)


def test_a_cancelled_call_gives_its_stream_back(client, running, topic):
    stream = client.open("EphemeralStream", create(topic, JSON))
    stream_id = stream.created()
    stream.cancel()

    async def is_closed(node):
        async with asyncio.timeout(10):
            while stream_id in node.broker.streams.by_id:
                await asyncio.sleep(0.01)

    running.call(is_closed)


def test_arrow_needs_a_schema_and_a_table(client, topic):
    flight = "arrow.flight.protocol.FlightService"
    assert client.open("DoPut", b"", service=flight).status()[0] is INVALID
    stream = client.open("DoPut", b"garbage", service=flight, table=topic)
    assert stream.status()[0] is INVALID


def persistent(client, topic):
    stream = client.open("PersistentStream", create(topic, JSON, persistent=True))
    return stream, stream.created()


def test_a_persistent_stream_goes_on_where_it_was(client, running, topic):
    stream, stream_id = persistent(client, topic)
    stream.send(record(0, b"0", persistent=True), batch(1, [b"1", b"2"], persistent=True))
    stream.acked(1)
    stream.end()
    assert stream.status()[0] is grpc.StatusCode.OK
    again = client.open("PersistentStream", resume(stream_id, JSON))
    assert again.resumed() == 1
    again.send(record(2, b"3", persistent=True))
    again.acked(2)


def test_a_persistent_stream_without_anything_begins_at_0(client, topic):
    stream, stream_id = persistent(client, topic)
    stream.cancel()
    assert client.open("PersistentStream", resume(stream_id, JSON)).resumed() == -1


def test_who_resumes_a_stream_takes_it(client, topic):
    first, stream_id = persistent(client, topic)
    second = client.open("PersistentStream", resume(stream_id, JSON))
    assert second.resumed() == -1
    code, _ = first.status()
    assert code is grpc.StatusCode.OUT_OF_RANGE
    second.send(record(0, b"0", persistent=True))
    second.acked(0)


def test_what_cannot_be_resumed_is_refused(client, topic):
    assert client.open("PersistentStream", resume("nobody", JSON)).status()[0] is (
        grpc.StatusCode.NOT_FOUND
    )
    assert client.open("PersistentStream", resume("", JSON)).status()[0] is INVALID
    _, stream_id = persistent(client, topic)
    other = resume(stream_id, PROTO)
    assert client.open("PersistentStream", other).status()[0] is INVALID
    away = client.open("PersistentStream", resume(stream_id, JSON), table="another")
    assert away.status()[0] is INVALID


def test_a_retired_stream_is_gone(client, topic):
    stream, stream_id = persistent(client, topic)
    stream.end()
    stream.status()
    client.retire(topic, stream_id)
    client.retire(topic, stream_id)
    code, _ = client.open("PersistentStream", resume(stream_id, JSON)).status()
    assert code is grpc.StatusCode.NOT_FOUND


def test_a_server_that_stops_asks_streams_to_go_first(topic):
    with running_broker(grpc=True) as broker, ZerobusClient(broker.grpc_target) as client:
        stream = client.open("EphemeralStream", create(topic, JSON))
        stream.created()
        stream.send(record(0, b"1"))
        stream.acked(0)
        stopping = threading.Thread(target=broker.call, args=(lambda node: node.stop(),))
        stopping.start()
        signal, fields = next(stream.answers())
        assert signal == 3
        assert 1 in fields
        stream.send(record(1, b"2"))
        stream.acked(1)
        stream.end()
        assert stream.status()[0] is grpc.StatusCode.OK
        stopping.join(20)
        assert not stopping.is_alive()


def test_a_client_hears_of_a_server_that_is_slow(client, topic, monkeypatch):
    monkeypatch.setattr("headrace.doors.http2.zerobus.intake.HEARTBEAT_S", 0.1)
    monkeypatch.setattr(IngestHandler, "durable", lambda self, messages: None)
    stream = client.open("EphemeralStream", create(topic, JSON))
    stream.created()
    stream.send(record(0, b"1"))
    answers = stream.answers()
    for _ in range(3):
        number, fields = next(answers)
        assert number == 2
        assert fields == {1: (1 << 64) - 1}


def test_a_stream_that_is_behind_waits_and_goes_on(topic, monkeypatch):
    monkeypatch.setattr("headrace.broker.streams.stream.STREAM_IN_FLIGHT_BYTES_MAX", 1000)
    paused = []
    pause = Call.pause
    monkeypatch.setattr(Call, "pause", lambda call: (paused.append(call), pause(call))[1])
    with (
        running_broker(grpc=True, durability="fsync") as broker,
        ZerobusClient(broker.grpc_target) as client,
    ):
        stream = client.open("EphemeralStream", create(topic, JSON))
        stream.created()
        before = len(paused)
        stream.send(*(record(offset, b"x" * 600) for offset in range(2000)))
        stream.acked(1999)
        assert len(paused) > before
