"""Many clients, hungry clients and too few descriptors: one process bears them within bounds."""

import contextlib
import os
import re
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.doors.http2 import frames
from headrace.testing.raw_client import RawClient, batch, fetch_request, produce_request
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse

Connect = Callable[..., RawClient]
Until = Callable[..., Any]

MEGABYTE = 1 << 20


def resident_bytes(process: Any) -> int:
    shown = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process.process.pid)], capture_output=True, check=True
    )
    return int(shown.stdout) * 1024


def topic_error(client: RawClient, name: str) -> int:
    """Ask for a topic, creating it if there is none, and return the error code."""
    topics = [MetadataRequestTopic(name=name)]
    request = MetadataRequest(topics=topics, allow_auto_topic_creation=True)
    return client.ask(request, MetadataResponse, 12).topics[0].error_code


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many descriptors for this process as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip(f"only {hard} file descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_connections_cost_little(
    many_files: None, broker_process: Any, connect: Connect
) -> None:
    process = broker_process()
    assert topic_error(connect(process), "t") == 0
    before = resident_bytes(process)
    crowd = [connect(process) for _ in range(1000)]
    for client in crowd:
        client.ask(ApiVersionsRequest("raw", "1"), ApiVersionsResponse, 3)
        assert client.fetch("t", 0, 0).error_code == 0
    assert resident_bytes(process) - before < 100 * MEGABYTE
    assert crowd[500].produce("t", 0, batch([b"still here"])).base_offset == 0


def test_a_thousand_unfinished_requests_and_parked_fetches_cost_little(
    many_files: None, broker_process: Any, connect: Connect
) -> None:
    process = broker_process()
    assert topic_error(connect(process), "t") == 0
    before = resident_bytes(process)
    for _ in range(500):
        client = connect(process)
        whole = client.framed(produce_request("t", 0, batch([bytes(1000)])), 12)
        client.send(whole[:500])
    parked = [connect(process) for _ in range(500)]
    for client in parked:
        client.send_request(fetch_request("t", 0, 0, max_wait_ms=60_000), 12)
    last = connect(process)
    assert topic_error(last, "t") == 0
    assert resident_bytes(process) - before < 100 * MEGABYTE
    assert last.produce("t", 0, batch([b"for all"])).base_offset == 0
    for client in parked:
        assert b"for all" in client.read_frame()


def test_readers_that_do_not_read_cost_no_memory(
    broker_process: Any, connect: Connect, until: Until
) -> None:
    """Each asks for 50 MB twenty times over and takes a kilobyte now and then."""
    process = broker_process("--durability", "os")
    filler = connect(process)
    assert topic_error(filler, "big") == 0
    for _ in range(60):
        assert filler.produce("big", 0, batch([os.urandom(1_000_000)])).error_code == 0
    before = resident_bytes(process)
    slow = [connect(process) for _ in range(20)]
    want = fetch_request("big", 0, 0, partition_max_bytes=50_000_000)
    for client in slow:
        client.send(b"".join(client.framed(want, 12) for _ in range(20)))
    for _ in range(10):
        for client in slow:
            assert len(client.read_exactly(1024)) == 1024
        data = filler.fetch("big", 0, 30, partition_max_bytes=1_000_000)
        assert len(data.records or b"") > 900_000
        assert resident_bytes(process) - before < 50 * MEGABYTE


def open_files(process: Any) -> int:
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no prlimit on this system")
def test_running_out_of_descriptors_is_survived(
    broker_process: Any, connect: Connect, until: Until
) -> None:
    process = broker_process()
    old = connect(process)
    assert topic_error(old, "t") == 0
    assert old.produce("t", 0, batch([b"before"])).base_offset == 0
    limit = open_files(process) + 10
    resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with contextlib.ExitStack() as crowd:
        for _ in range(40):  # more than it has descriptors for: the rest waits to be accepted
            crowd.enter_context(RawClient("127.0.0.1", process.port))
        until(lambda: "cannot accept connections" in process.log(), "the complaint")
        assert old.produce("t", 0, batch([b"meanwhile"])).base_offset == 1
        assert [r.value for r in old.read_all("t", 0)] == [b"before", b"meanwhile"]
        assert topic_error(old, "new") == ErrorCode.KAFKA_STORAGE_ERROR
    newcomer = connect(process)
    assert newcomer.produce("t", 0, batch([b"after"])).base_offset == 2
    until(lambda: topic_error(newcomer, "new") == 0, "the topic")
    assert newcomer.produce("new", 0, batch([b"first"])).base_offset == 0
    assert process.log().count("cannot accept connections") < 5
    assert process.stop() == 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no prlimit on this system")
def test_every_door_takes_connections_again_when_there_are_descriptors(
    broker_process: Any, until: Until
) -> None:
    process = broker_process("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
    told = "".join(process.lines)
    greetings = {
        "metrics": b"GET /healthz HTTP/1.1\r\n\r\n",
        "grpc": frames.PREFACE + frames.settings({}),
    }
    found = re.findall(r"(grpc|metrics) http://127.0.0.1:(\d+)", told)
    doors = {int(port): greetings[name] for name, port in found}
    assert len(doors) == 2
    soft, hard = resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
    for port, greeting in doors.items():
        limit = open_files(process) + 5
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
        with contextlib.ExitStack() as crowd:
            for _ in range(20):
                crowd.enter_context(socket.create_connection(("127.0.0.1", port)))
            until(lambda limit=limit: open_files(process) >= limit - 1, "all are in use")
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        until(lambda port=port, greeting=greeting: answers(port, greeting), "an answer")
    assert process.stop() == 0


def answers(port: int, greeting: bytes) -> bool:
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), timeout=2) as client,
    ):
        client.sendall(greeting)
        return bool(client.recv(100))
    return False
