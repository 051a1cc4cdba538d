"""`headrace serve --workers N` as processes: who starts, who is started again, how all end."""

import json
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from headrace.testing.raw_client import RawClient
from headrace.wire.messages.k03_metadata import MetadataRequest, MetadataResponse

pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")


def brokers(port: int) -> list[tuple[int, int]]:
    """(node id, port) of all, as whoever answers on `port` tells it."""
    with RawClient("127.0.0.1", port) as client:
        answer = client.ask(MetadataRequest(topics=[]), MetadataResponse, 9)
    return [(broker.node_id, broker.port) for broker in answer.brokers]


def test_a_killed_worker_comes_back_and_the_others_do_not_notice(
    workers_process: Any, until: Any
) -> None:
    process = workers_process(3, "--http", "127.0.0.1:0")
    port = process.port
    told = [(1 + index, port + 1 + index) for index in range(3)]
    assert [brokers(port + index) for index in range(4)] == [told] * 4
    assert re.search(rf", 3 workers on {port + 1}, {port + 2}, {port + 3}", process.lines[-1])
    assert process.lines[-1].count("/metrics") == 3
    before = process.pids()
    with RawClient("127.0.0.1", port + 1) as neighbour:
        os.kill(before[1], signal.SIGKILL)
        # Its port is open all the time: who connects now is answered when it is back.
        assert brokers(port + 2) == told
        assert neighbour.ask(MetadataRequest(topics=[]), MetadataResponse, 9).brokers
    until(lambda: len(process.pids()) == 3, "the worker's return")
    after = process.pids()
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    assert f"worker 1 (process {before[1]}) was ended by SIGKILL" in process.log()
    assert process.stop() == 0
    assert (process.data / "headrace.clean").exists()
    assert not (process.data / "workers").exists()


def test_when_the_supervisor_is_killed_the_workers_stop_and_all_can_begin_again(
    workers_process: Any, until: Any
) -> None:
    process = workers_process(2)
    pids = process.pids()
    process.kill_supervisor()
    until(lambda: not any(_lives(pid) for pid in pids), "the workers' end")
    process.start()
    assert [node_id for node_id, _ in brokers(process.port)] == [1, 2]
    assert "was not closed cleanly" not in process.log()
    assert process.stop() == 0


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_taken_port_is_named_and_nobody_is_started(workers_process: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AssertionError, match=f"cannot listen on {address}: .*set --http"):
            workers_process(2, "--http", address)
    assert not (tmp_path / "data0" / "workers").exists()


def test_a_worker_that_cannot_start_ends_the_start_with_the_reason(
    workers_process: Any, tmp_path: Path
) -> None:
    clients = tmp_path / "clients.json"
    clients.write_text(json.dumps("no clients"))
    with pytest.raises(AssertionError, match=r"(?s)headrace: worker \d: .*worker \d did not start"):
        workers_process(2, "--broker", f"headrace.token.clients={clients}")


def test_a_directory_is_used_by_one_supervisor(workers_process: Any) -> None:
    process = workers_process(2)
    pid = process.process.pid
    with pytest.raises(AssertionError, match=f"in use by process {pid}"):
        workers_process(2, data=process.data)
