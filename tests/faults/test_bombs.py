"""A few kilobytes that unfold to a hundred megabytes, and nesting without end, wherever the broker
opens what it is given: its memory stays within bounds, others are served, and it is said whose
fault it was."""

import re
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.testing.raw_client import RawClient, batch
from headrace.wire.batch import crc_of
from headrace.wire.cloudevents import Event
from headrace.wire.compression import Codec, compress
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k02_list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from headrace.wire.records import Record, build_batch
from tests.conftest import BrokerProcess

Connect = Callable[..., RawClient]

MEGABYTE = 1 << 20
BOMB_BYTES = 70 * MEGABYTE
GROWTH_BYTES_MAX = 300 * MEGABYTE
CODECS = (Codec.GZIP, Codec.LZ4, Codec.ZSTD)
OLD_MS, LATE_MS = 1_000, 2_000


@pytest.fixture(scope="module")
def bombs() -> list[bytes]:
    """One record of zeros, in each codec; its header says that it is young."""
    plain = build_batch([Record(timestamp_ms=OLD_MS, key=b"k", value=bytes(BOMB_BYTES))])
    made = []
    for codec in CODECS:
        bomb = bytearray(plain[:61]) + compress(codec, plain[61:])
        struct.pack_into(">i", bomb, 8, len(bomb) - 12)
        struct.pack_into(">h", bomb, 21, codec)
        struct.pack_into(">q", bomb, 35, LATE_MS)
        struct.pack_into(">I", bomb, 17, crc_of(bomb))
        made.append(bytes(bomb))
    return made


def peak_bytes(process: Any) -> int:
    with open(f"/proc/{process.process.pid}/status", encoding="ascii") as status:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    assert found is not None
    return int(found[1]) * 1024


TOPICS = {
    "keyed": {"cleanup.policy": "compact"},
    "sealed": {"max.message.bytes": "5000000"},
    "checked": {"headrace.ingest.validation": "true"},
    "live": {},
    "nested": {},
}


@pytest.fixture(scope="module")
def armed(bombs: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    data = tmp_path_factory.mktemp("bombs") / "data"
    process = BrokerProcess(data, "--durability", "os", "--grpc", "127.0.0.1:0").start()
    try:
        admin = AdminClient({"bootstrap.servers": process.bootstrap})
        wanted = [NewTopic(name, 1, 1, config=configs) for name, configs in TOPICS.items()]
        for made in admin.create_topics(wanted).values():
            made.result(20)
        with RawClient("127.0.0.1", process.port) as client:
            for bomb in bombs:
                assert client.produce("sealed", 0, bomb).error_code == 0
            assert client.produce("sealed", 0, batch([b"behind"])).error_code == 0
        yield process
    finally:
        process.kill()


def grpc_target(process: Any) -> str:
    found = re.search(r"grpc http://(\S+?)[,)]", "".join(process.lines))
    assert found is not None
    return found[1]


def test_bombs_for_a_compacted_topic_are_refused(
    armed: Any, connect: Connect, bombs: list[bytes]
) -> None:
    client, before = connect(armed), peak_bytes(armed)
    for bomb in bombs:
        assert client.produce("keyed", 0, bomb).error_code == ErrorCode.INVALID_RECORD
        assert client.produce("live", 0, batch([b"v"])).error_code == 0
    assert peak_bytes(armed) - before < GROWTH_BYTES_MAX


def test_many_searches_by_time_do_not_unfold_bombs_together(armed: Any, connect: Connect) -> None:
    before = peak_bytes(armed)
    question = ListOffsetsPartition(partition_index=0, timestamp=OLD_MS + 500)
    request = ListOffsetsRequest(topics=[ListOffsetsTopic("sealed", [question])])
    errors: list[Any] = []

    def ask() -> None:
        with connect(armed, timeout_s=40) as client:
            for _ in range(2):
                answer = client.ask(request, ListOffsetsResponse, 5)
                found = answer.topics[0].partitions[0]
                errors.append((found.error_code, found.offset))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [(0, 0)] * 16, "not too late: what cannot be opened is told by its header"
    assert peak_bytes(armed) - before < GROWTH_BYTES_MAX


def test_subscribers_get_what_is_behind_bombs(armed: Any) -> None:
    from headrace.streams import Subscriber

    before = peak_bytes(armed)
    with Subscriber(
        grpc_target(armed), "sealed", "g", start="earliest", timeout_s=40
    ) as subscriber:
        received = subscriber.receive()
        assert received.event.data == b"behind"
        received.ack()
    assert peak_bytes(armed) - before < GROWTH_BYTES_MAX


def test_nesting_without_end_is_refused_by_name(armed: Any, connect: Connect) -> None:
    from tests.doors.http2.zerobus.client import JSON, PROTO, ZerobusClient, create, message, record

    deep = b"[" * 500_000 + b"]" * 500_000
    inside = b""
    for _ in range(5_000):
        inside = message((1, inside))
    # A message M { M m = 1; }
    field = message((1, b"m"), (3, 1), (4, 1), (5, 11), (6, b".M"))
    shape = message((1, b"M"), (2, field))
    for opening, value in (
        (create("checked", JSON), deep),
        (create("checked", PROTO, shape), None),
    ):
        kind = JSON if value is not None else PROTO
        with ZerobusClient(grpc_target(armed)) as client:
            stream = client.open("EphemeralStream", opening)
            stream.created()
            stream.send(record(0, value if value is not None else inside, kind))
            stream.end()
            code, why = stream.status()
            assert code is grpc.StatusCode.INVALID_ARGUMENT, (code, why)
            assert "nested" in why or "deep" in why, why
    assert connect(armed).produce("live", 0, batch([b"v"])).error_code == 0
    assert "Traceback" not in armed.log()


def test_an_event_that_is_nested_without_end_is_delivered_as_it_is(
    armed: Any, connect: Connect
) -> None:
    """Structured, so the broker looks into it; what it cannot read is a record like any other."""
    from headrace.streams import Subscriber

    value = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":' + b"[" * 100_000
    header = (("content-type", b"application/cloudevents+json"),)
    record = Record(timestamp_ms=1, value=value, headers=header)
    assert connect(armed).produce("nested", 0, build_batch([record])).error_code == 0
    with Subscriber(
        grpc_target(armed), "nested", "g", start="earliest", timeout_s=20
    ) as subscriber:
        received = subscriber.receive()
        assert isinstance(received.event, Event)
        assert received.event.data == value
        received.ack()
    assert "Traceback" not in armed.log()
