import re
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.latency.kafka_wire import KafkaReceiving, KafkaSending
from bench.latency.nats_wire import READ_RECORDS, NatsReceiving, NatsSending
from bench.latency.redis_wire import RedisReceiving, RedisSending
from bench.latency.schedule import RECORDS_MAX
from bench.latency.wires import TIME_BYTES, VALUE_BYTES, Ends, Template, moments
from headrace.wire.batch import crc_matches, peek
from headrace.wire.records import read_records

COUNTS = (1, 2, 63, 64, 65, 200, RECORDS_MAX)
TIME = st.integers(-1, 2**62)


def times_of(count: int, start: int = 10**15) -> "array[int]":
    return array("q", range(start, start + 1000 * count, 1000))


def batch_in(frame: memoryview) -> bytes:
    """The records of a Produce request with one partition, without anything around them."""
    return bytes(frame[4 + 8 + 7 + 8 + 4 + 2 + len("log") + 4 + 4 + 4 :])


@pytest.mark.parametrize("count", COUNTS)
def test_a_kafka_send_is_one_valid_batch_of_records_with_their_moments(count):
    sending, times_ns = KafkaSending("log"), times_of(count)
    sending.encode(times_of(RECORDS_MAX, 1))
    frame = sending.encode(times_ns)
    assert struct.unpack_from(">i", frame)[0] == len(frame) - 4
    batch = batch_in(frame)
    assert crc_matches(batch, peek(batch))
    values = [record.value for record in read_records(batch)]
    assert [len(value) for value in values] == [VALUE_BYTES] * count
    assert moments(b"".join(value[:TIME_BYTES] for value in values)) == times_ns


def fetch_answer(records: bytes, error: int = 0) -> bytes:
    body = struct.pack(">iihii", 1, 0, 0, 0, 1) + struct.pack(">h", 3) + b"log"
    body += struct.pack(">iihqqq", 1, 0, error, 9, 9, 0) + struct.pack(">ii", -1, -1)
    body += struct.pack(">i", len(records)) + records
    return struct.pack(">i", len(body)) + body


@given(st.lists(st.tuples(st.integers(1, 130), TIME), max_size=4), st.integers(0, 40))
def test_a_kafka_answer_gives_back_the_moments_of_all_whole_batches(batches, cut):
    sending = KafkaSending("log")
    data, expected, records = b"", array("q"), 0
    for count, start in batches:
        times_ns = times_of(count, start)
        batch = bytearray(batch_in(sending.encode(times_ns)))
        struct.pack_into(">q", batch, 0, records)
        data += batch
        expected += times_ns
        records += count
    part = batch_in(sending.encode(times_of(1)))[:cut]
    answer = fetch_answer(data + part)
    receiving = KafkaReceiving("log")
    assert receiving.ask()
    assert receiving.ask() == b""
    assert receiving.parse(memoryview(answer[:-1])) == (0, array("q"))
    assert receiving.parse(memoryview(answer)) == (len(answer), expected)
    assert struct.pack(">q", records) in receiving.ask()


def test_kafka_acknowledgements_count_the_records_of_their_sends_and_refusals_raise():
    sending = KafkaSending("log")
    for count in (3, 1, 7):
        sending.encode(times_of(count))
    head = struct.pack(">iii", 0, 1, 1) + struct.pack(">h", 3) + b"log" + struct.pack(">ii", 1, 0)
    good = head + struct.pack(">hqqqi", 0, 5, -1, 0, 0)
    assert sending.acknowledged(good + good[:5]) == 3
    assert sending.acknowledged(good[5:]) == 1
    with pytest.raises(RuntimeError, match="error 6"):
        sending.acknowledged(head + struct.pack(">hqqqi", 6, -1, -1, 0, 0))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("count", [1, 3, 64])
def test_redis_entries_are_read_however_they_are_cut(count, size):
    times_ns = times_of(count)
    sent = bytes(RedisSending("log").encode(times_ns))
    values = re.findall(rb"\$1\r\nv\r\n\$1000\r\n(.{1000})\r\n", sent, re.DOTALL)
    assert len(values) == count
    answer = b"*1\r\n*2\r\n$5\r\nlog-0\r\n*%d\r\n" % count
    for number, value in enumerate(values):
        entry = b"%d-%d" % (1700000000000, number)
        answer += b"*2\r\n$%d\r\n%s\r\n*2\r\n$1\r\nv\r\n$1000\r\n%s\r\n" % (
            (len(entry), entry, value)
        )
    receiving = RedisReceiving("log")
    assert b"0-0" in receiving.ask()
    assert received(receiving, answer, size) == times_ns
    assert b"1700000000000-%d" % (count - 1) in receiving.ask()


def received(receiving, data: bytes, size: int) -> "array[int]":
    found, left = array("q"), b""
    for piece in pieces(data, size):
        left += piece
        used, times_ns = receiving.parse(memoryview(left))
        found += times_ns
        left = left[used:]
    assert left == b""
    return found


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_redis_replies_are_counted_however_they_are_cut(size):
    sending = RedisSending("log")
    replies = b"".join(b"$15\r\n1700000000000-%d\r\n" % number for number in range(9))
    assert sum(sending.acknowledged(piece) for piece in pieces(replies, size)) == 9


def test_what_redis_refuses_raises():
    with pytest.raises(RuntimeError, match="OOM"):
        RedisSending("log").acknowledged(b"$3\r\n1-1\r\n-OOM command not allowed\r\n")
    with pytest.raises(RuntimeError, match="WRONGTYPE"):
        RedisReceiving("log").parse(memoryview(b"-WRONGTYPE\r\n"))


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_nats_messages_are_read_however_they_are_cut_and_pings_answered(size):
    times_ns = times_of(20)
    sent = bytes(NatsSending("log").encode(times_ns))
    payloads = re.findall(rb"PUB log-0 _INBOX.acks 1000\r\n(.{1000})\r\n", sent, re.DOTALL)
    data = b"PING\r\n".join(
        b"MSG log-0 2 $JS.ACK.log.latency.1.2.3.4.5 1000\r\n" + payload + b"\r\n"
        for payload in payloads
    )
    receiving = NatsReceiving("log")
    assert receiving.ask().count(b"MSG.NEXT") == 1
    assert receiving.ask().count(b"MSG.NEXT") == 1
    assert receiving.ask() == b""
    assert received(receiving, data, size) == times_ns
    assert receiving.ask() == 19 * b"PONG\r\n"
    for _ in range(READ_RECORDS // 20):
        receiving.parse(memoryview(data))
    assert receiving.ask().count(b"MSG.NEXT") == 1


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_nats_acknowledgements_are_counted_however_they_are_cut(size):
    sending = NatsSending("log")
    ack = b'{"stream":"log-0", "seq":7}'
    acks = (b"MSG _INBOX.acks 1 %d\r\n%s\r\n" % (len(ack), ack)) * 9 + b"PING\r\n"
    counted, replies = 0, b""
    for piece in pieces(acks, size):
        counted += sending.acknowledged(piece)
        replies += sending.reply()
    assert (counted, replies) == (9, b"PONG\r\n")
    with pytest.raises(RuntimeError, match="insufficient"):
        sending.acknowledged(b'{"error":{"code":503,"description":"insufficient resources"}}\r\n')


@given(st.lists(st.sampled_from([b"}", b"\r", b"\n", b"x"]), max_size=40), st.integers(1, 5))
def test_ends_are_counted_as_in_one_piece(characters, size):
    data = b"".join(characters)
    ends = Ends(b"}\r\n")
    assert sum(ends.count(piece) for piece in pieces(data, size)) == data.count(b"}\r\n")


def test_a_template_without_a_moment_in_each_record_is_refused():
    with pytest.raises(ValueError, match="0 marks"):
        Template(b"abc", [3])
