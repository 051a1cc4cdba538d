"""Bytes that are no request end their own connection and nothing else."""

import contextlib
import logging
import random
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.doors.kafka.registry import advertised, apis
from headrace.testing import RunningBroker, running_broker
from headrace.testing.hot_messages import FetchRequest, ProduceRequest, ProduceResponse
from headrace.testing.raw_client import (
    RawClient,
    batch,
    fetch_request,
    frame,
    produce_request,
)
from headrace.wire import schema
from headrace.wire.apis import ApiKey
from headrace.wire.codegen import Wire
from headrace.wire.messages.k03_metadata import MetadataRequest, MetadataResponse
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse

Connect = Callable[..., RawClient]

MAY_PARK = {ApiKey.FETCH, ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP}
FRAME_BYTES_MAX = 1 << 20


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningBroker]:
    with running_broker(broker={"socket.request.max.bytes": str(FRAME_BYTES_MAX)}) as broker:
        broker.create_topic("t")
        broker.create_topic("good")
        yield broker


@pytest.fixture
def good(shared: RunningBroker, connect: Connect) -> Iterator[RawClient]:
    """A well-behaved client: connected before whatever happens, and still served after it."""
    client = connect(shared)
    before = client.produce("good", 0, batch([b"before"])).base_offset
    yield client
    answer = client.produce("good", 0, batch([b"after"]))
    assert (answer.error_code, answer.base_offset) == (0, before + 1)
    assert [record.value for record in client.read_all("good", 0, before)] == [b"before", b"after"]
    assert shared.node.kafka.pool.bytes_in_use <= 4 << 20


def closed_with_warning(client: RawClient, caplog: pytest.LogCaptureFixture, *words: str) -> bool:
    """Whether the broker hangs up, and said why in one warning that names the client."""
    assert client.is_hung_up()
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return len(said) == 1 and all(word in said[0] for word in ("127.0.0.1", *words))


@pytest.mark.parametrize(
    "size", [-1, 0, 1, 7, FRAME_BYTES_MAX + 1, 0x7FFFFFFF, -0x80000000, 0x16030100, 0x47455420]
)
def test_an_impossible_length_closes_the_connection(
    size: int, shared: RunningBroker, good: RawClient, connect: Connect, caplog: Any
) -> None:
    """The last two are what a TLS client and a web browser send first."""
    client = connect(shared)
    client.send(struct.pack(">i", size) + b"something")
    assert closed_with_warning(client, caplog, str(size), "socket.request.max.bytes")


def test_the_largest_request_is_still_served(
    shared: RunningBroker, good: RawClient, connect: Connect
) -> None:
    client = connect(shared)
    empty = len(client.framed(produce_request("t", 0, batch([b""])), 9)) - 4
    filling = FRAME_BYTES_MAX - empty - 10
    request = client.framed(produce_request("t", 0, batch([bytes(filling)])), 9)
    assert FRAME_BYTES_MAX - 10 <= len(request) - 4 <= FRAME_BYTES_MAX
    client.send(request)
    _, answer = client.read_answer(ProduceResponse, 9)
    assert answer.responses[0].partition_responses[0].error_code == 0


def whole_requests(client: RawClient) -> Iterator[tuple[str, bytes]]:
    yield "produce v3", client.framed(produce_request("t", 0, batch([b"x"])), 3)[4:]
    yield "produce v12", client.framed(produce_request("t", 0, batch([b"x"])), 12)[4:]
    yield "fetch v11", client.framed(fetch_request("t", 0, 0), 11)[4:]
    yield "fetch v12", client.framed(fetch_request("t", 0, 0), 12)[4:]
    yield "metadata v12", client.framed(MetadataRequest(), 12)[4:]
    yield "api versions v3", client.framed(ApiVersionsRequest("a", "1"), 3)[4:]


@pytest.mark.parametrize("what", range(6))
def test_a_request_cut_short_closes_the_connection(
    what: int, shared: RunningBroker, good: RawClient, connect: Connect, caplog: Any
) -> None:
    name, whole = list(whole_requests(connect(shared)))[what]
    for size in range(8, len(whole)):
        caplog.clear()
        client = connect(shared)
        client.send_frame(whole[:size])
        assert closed_with_warning(client, caplog, "malformed"), (name, size)
        client.close()


def test_bytes_behind_a_request_for_records_close_the_connection(
    shared: RunningBroker, good: RawClient, connect: Connect, caplog: Any
) -> None:
    """For other requests they are overlooked: clients in use leave some there."""
    for _, whole in list(whole_requests(connect(shared)))[:4]:
        caplog.clear()
        client = connect(shared)
        client.send_frame(whole + b"\0")
        assert closed_with_warning(client, caplog, "malformed")
    client = connect(shared)
    client.send_frame(client.framed(MetadataRequest(topics=[]), 12)[4:] + b"\0\0\0")
    assert client.read_answer(MetadataResponse, 12)[1].topics == []


@pytest.mark.parametrize(
    ("key", "version", "body"),
    [
        pytest.param(3, 4, b"\x7f\xff\xff\xff", id="an array of 2^31-1"),
        pytest.param(3, 4, b"\xff\xff\xff\xfe", id="an array of -2"),
        pytest.param(3, 12, b"\xff\xff\xff\xff\x0f", id="a compact array of 2^32-1"),
        pytest.param(3, 12, b"\xff\xff\xff\xff\xff\xff", id="an endless varint"),
        pytest.param(0, 3, b"\xff\xff\xff\xff\0\0\0\0\x7f\xff\xff\xff", id="2^31-1 topics"),
        pytest.param(0, 9, b"\0\xff\xff\0\0\0\0\xff\xff\xff\xff\x07", id="2^31-2 topics"),
        pytest.param(0, 3, b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\xff\xfe", id="a name of -2 bytes"),
        pytest.param(
            0,
            3,
            b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\x7f\xff\xff\xff",
            id="records of 2^31-1 bytes",
        ),
        pytest.param(
            0,
            3,
            b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x01\0\x01\xff\0\0\0\0",
            id="a name that is not UTF-8",
        ),
        pytest.param(1, 4, bytes(17) + b"\x7f\xff\xff\xff", id="a fetch of 2^31-1 topics"),
        pytest.param(1, 12, bytes(21) + b"\xff\xff\xff\xff\x07", id="a fetch of 2^31-2 topics"),
    ],
)
def test_lengths_inside_a_request_are_not_believed(
    key: int,
    version: int,
    body: bytes,
    shared: RunningBroker,
    good: RawClient,
    connect: Connect,
    caplog: Any,
) -> None:
    client = connect(shared)
    client.send_frame(client.head(key, version) + body)
    assert closed_with_warning(client, caplog, "malformed")


@pytest.mark.parametrize("length", [-2, -32768, 2000, 32767])
def test_a_client_id_of_nonsense_length_closes_the_connection(
    length: int, shared: RunningBroker, good: RawClient, connect: Connect, caplog: Any
) -> None:
    client = connect(shared)
    client.send_frame(struct.pack(">hhih", 3, 4, 1, length) + bytes(100))
    assert closed_with_warning(client, caplog, "client id")


@pytest.mark.parametrize(
    ("request_head", "topic_head", "partition"),
    [
        pytest.param(
            struct.pack(">hhih", 0, 3, 1, -1) + struct.pack(">hhii", -1, -1, 1000, 4),
            b"\0\x01t",
            struct.pack(">ii", 0, -1),
            id="produce",
        ),
        pytest.param(
            struct.pack(">hhih", 1, 4, 1, -1) + struct.pack(">iiiibi", -1, 0, 1, 1000, 0, 4),
            b"\0\x01t",
            struct.pack(">iqi", 0, 0, 1000),
            id="fetch",
        ),
    ],
)
def test_a_request_for_too_many_partitions_closes_the_connection(
    request_head: bytes,
    topic_head: bytes,
    partition: bytes,
    broker: RunningBroker,
    connect: Connect,
    caplog: Any,
) -> None:
    """However they are spread over topics: a partition costs far more than its few bytes."""
    broker.create_topic("t")
    topic = topic_head + struct.pack(">i", 90_000) + partition * 90_000
    client = connect(broker)
    client.send_frame(request_head + topic * 4)
    assert closed_with_warning(client, caplog, "an array of 90000 entries")


def finish(client: RawClient) -> None:
    """Send no more, and read until the broker has closed the connection."""
    client.socket.shutdown(socket.SHUT_WR)
    try:
        while client.socket.recv(1 << 16):
            continue
    except ConnectionError:
        return


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.binary(max_size=300), max_size=20), cut=st.integers(0, 50))
def test_random_frames_disturb_nobody(
    frames: list[bytes], cut: int, shared: RunningBroker, good: RawClient, caplog: Any
) -> None:
    caplog.clear()
    data = b"".join(map(frame, frames))
    with RawClient(shared.host, shared.port) as client, contextlib.suppress(OSError):
        client.send(data[: len(data) - cut])  # fails if the broker hangs up while more is sent
        finish(client)
    assert not [r for r in caplog.records if r.levelno > logging.WARNING]
    assert good.ask(MetadataRequest(topics=[]), MetadataResponse, 12).topics == []


# Requests that are well-formed and make no sense


def odd_value(rng: random.Random, wire: Wire, version: int) -> Any:
    if wire.nullable is not None and version >= wire.nullable and rng.random() < 0.2:
        return None
    match wire.kind:
        case "boolean":
            return rng.random() < 0.5
        case "int8":
            return rng.choice((0, 1, 2, 3, 16, -1, -128, 127))
        case "int16" | "uint16":
            return rng.choice((0, 1, 2, -1, 32767, -32768) if wire.kind == "int16" else (0, 65535))
        case "int32":
            return rng.choice((0, 1, 2, 5, -1, -2, 100, 30_000, 0x7FFFFFFF, -0x80000000))
        case "int64":
            return rng.choice((0, 1, 2, -1, -2, -3, -5, 10**12, 2**63 - 1, -(2**63)))
        case "string":
            names = ("", "t", "team", "other", "1", "cleanup.policy", "no such", "é" * 300, "\0")
            return rng.choice(names)
        case "blob":
            return rng.choice((b"", b"\0" * 50, rng.randbytes(30)))
        case "uuid":
            return None
        case "struct":
            return odd_message(rng, wire.element, version)
        case "array":
            count = rng.choice((0, 1, 1, 2, 4))
            one = Wire("struct", wire.element)
            if not isinstance(wire.element, type):
                one = Wire(wire.element.__name__)
            return [odd_value(rng, one, version) for _ in range(count)]
    raise AssertionError(f"no values for {wire.kind}")


def odd_message(rng: random.Random, cls: type, version: int) -> Any:
    made = cls()
    for name, wire, *_ in schema.fields_of(cls):
        if wire.since <= version <= wire.until and rng.random() < 0.9:
            setattr(made, name, odd_value(rng, wire, version))
    return made


REQUESTS = {
    **{key: api.request for key, api in apis().items()},
    ApiKey.PRODUCE: ProduceRequest,
    ApiKey.FETCH: FetchRequest,
}


@pytest.mark.parametrize("key", [pytest.param(k, id=ApiKey(k).name) for k in sorted(REQUESTS)])
def test_well_formed_nonsense_is_answered(
    key: int, shared: RunningBroker, good: RawClient, caplog: Any
) -> None:
    """Every handler answers whatever a version can say; none of them fails."""
    request = REQUESTS[key]
    first, last = advertised()[key]
    for version in range(max(first, schema.versions_of(request)[0]), last + 1):
        rng = random.Random(f"{key} {version}")
        for _ in range(40):
            asked = odd_message(rng, request, version)
            with RawClient(shared.host, shared.port) as client:
                client.send_request(asked, version)
                client.send(client.framed(ApiVersionsRequest("a", "1"), 3))
                if key in MAY_PARK:
                    finish(client)
                elif key != ApiKey.PRODUCE or asked.acks != 0:
                    assert client.read_frame()[:4] == b"\0\0\0\1", asked
                    assert client.read_answer(ApiVersionsResponse, 3)[0] == 2
            failed = [r.getMessage() for r in caplog.records if r.levelno > logging.WARNING]
            assert not failed, (version, asked)
