"""`headrace serve` as a process: what it says, how soon it is ready, how it ends."""

import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.testing.raw_client import RawClient, batch
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest, ApiVersionsResponse

READY_CPU_S_MAX = 1.0
STOP_S_MAX = 5.0


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_the_ready_line_names_version_address_data_and_durability(
    broker_process: Any, durability: str
) -> None:
    process = broker_process("--durability", durability)
    (line,) = process.lines
    assert line == (
        f"headrace {headrace.__version__} ready on kafka://127.0.0.1:{process.port} "
        f"(data {process.data}, durability {durability})\n"
    )
    assert process.port > 0
    with RawClient("127.0.0.1", process.port) as client:
        assert client.ask(ApiVersionsRequest("raw", "1"), ApiVersionsResponse, 3).error_code == 0


def test_two_processes_that_ask_for_any_port_get_their_own(broker_process: Any) -> None:
    assert broker_process().port != broker_process().port


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_it_is_ready_after_well_under_a_second_of_work(broker_process: Any) -> None:
    """Processor time, since this machine may be busy with something else."""
    process = broker_process()
    stat = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(stat[11]), int(stat[12])
    assert (user + system) / os.sysconf("SC_CLK_TCK") < READY_CPU_S_MAX


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    broker_process: Any, create_topic: Any, number: signal.Signals
) -> None:
    process = broker_process()
    create_topic(process, "t")
    with RawClient("127.0.0.1", process.port) as client:
        assert client.produce("t", 0, batch([b"kept"])).error_code == 0
        process.process.send_signal(number)
        assert client.is_hung_up()
    assert process.process.wait(20) == 0
    assert (process.data / "headrace.clean").exists()
    assert re.search(r"INFO headrace stopped cleanly\n$", process.log())


def test_the_http_door_is_named_in_the_ready_line_and_answers(broker_process: Any) -> None:
    process = broker_process("--http", "127.0.0.1:0")
    found = re.search(r", metrics (http://[^)]+/metrics)\)\n$", process.lines[0])
    assert found is not None
    with urllib.request.urlopen(found[1], timeout=10) as answer:  # noqa: S310
        assert b"\nheadrace_topics 0\n" in answer.read()


def test_the_grpc_door_is_named_in_the_ready_line(broker_process: Any) -> None:
    process = broker_process("--grpc", "127.0.0.1:0")
    assert re.search(r", grpc http://127\.0\.0\.1:[1-9]\d*\)\n$", process.lines[0])


def test_a_taken_grpc_port_is_named_with_what_to_do(broker_process: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AssertionError, match="did not start"):
            broker_process("--grpc", address, data=tmp_path / "data")
    assert "; set --grpc to another address, or to off\n" in (tmp_path / "data.log").read_text()


def test_a_taken_http_port_is_named_with_what_to_do(broker_process: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AssertionError, match="did not start"):
            broker_process("--http", address, data=tmp_path / "data")
    assert (
        (tmp_path / "data.log")
        .read_text()
        .endswith(
            f"headrace: cannot listen on {address}: Address already in use; "
            "set --http to another address, or to off\n"
        )
    )
    assert broker_process(data=tmp_path / "data").stop() == 0


def test_a_client_of_the_http_door_does_not_hold_up_the_end(broker_process: Any) -> None:
    process = broker_process("--http", "127.0.0.1:0")
    found = re.search(r"metrics http://127.0.0.1:(\d+)/", process.lines[0])
    assert found is not None
    with socket.create_connection(("127.0.0.1", int(found[1])), timeout=10) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert client.recv(100)
        began_s = time.monotonic()
        assert process.stop() == 0
        assert time.monotonic() - began_s < STOP_S_MAX
