"""Persistent streams over kills of the server: every message is in the log exactly once."""

import socket

import grpc
import pytest

from tests.doors.http2.zerobus.client import JSON, ZerobusClient, batch, create, record, resume

TOPIC = "main.default.once"
PER_ROUND = 1_000


@pytest.fixture
def free_port():
    """A port that was free just now, for a server that is to come back on it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def all_values(bootstrap):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    place = TopicPartition(TOPIC, 0, 0)
    end = consumer.get_watermark_offsets(place, 10)[1]
    consumer.assign([place])
    found = []
    while len(found) < end:
        messages = consumer.consume(1000, 5)
        assert messages, f"{len(found)} of {end} records"
        found += [message.value() for message in messages]
    consumer.close()
    return found


def message_of(offset):
    """A record, or every third time a batch of three."""
    values = values_of(offset)
    if len(values) == 1:
        return record(offset, values[0], persistent=True)
    return batch(offset, values, persistent=True)


def values_of(offset):
    return [b"%d.%d" % (offset, place) for place in range(3 if offset % 3 == 0 else 1)]


def test_every_message_is_there_once_although_the_server_is_killed(broker_process, free_port):
    target = f"127.0.0.1:{free_port}"
    broker = broker_process("--grpc", target)
    stream_id, following, acked, last = "", 0, -1, -1
    for is_last in (False, False, True):
        with ZerobusClient(target) as client:  # another connection, as after a crash of its own
            if stream_id:
                stream = client.open("PersistentStream", resume(stream_id, JSON))
                committed = stream.resumed()
                assert acked <= committed <= last
                following = committed + 1
            else:
                stream = client.open("PersistentStream", create(TOPIC, JSON, persistent=True))
                stream_id = stream.created()
            last = following + PER_ROUND - 1
            stream.send(*(message_of(offset) for offset in range(following, last + 1)))
            acked = last if is_last else following + PER_ROUND // 10
            stream.acked(acked)
            if not is_last:
                broker.kill()
                assert stream.status()[0] is grpc.StatusCode.UNAVAILABLE
                broker.start()
    wanted = [value for offset in range(last + 1) for value in values_of(offset)]
    assert all_values(broker.bootstrap) == wanted
