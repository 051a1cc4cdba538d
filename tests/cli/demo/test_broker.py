import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.cli.demo import leash
from headrace.cli.demo.broker import BrokerProcess, ready_line
from headrace.cli.demo.children import ChildFailed, Children

FAKE = """\
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), reuse_port=False)
port = listener.getsockname()[1]
print("something else first")
print(f"headrace 9.9 ready on kafka://127.0.0.1:{port} (data /x, durability os)", flush=True)
time.sleep(60)
"""


def fake(port: int) -> list[str]:
    return [sys.executable, "-c", FAKE, str(port)]


def test_the_ready_line_names_the_port() -> None:
    line = b"headrace 0.1.0 ready on kafka://127.0.0.1:9092 (data /path, durability fsync)"
    assert ready_line(line) == {"type": "ready", "port": 9092}


@pytest.mark.parametrize("line", [b"", b"warning: x", b"headrace 0.1.0 stops"])
def test_any_other_line_is_ignored(line: bytes) -> None:
    assert ready_line(line) is None


def test_a_killed_broker_comes_back_on_its_port(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        broker = BrokerProcess(children, fake)
        broker.start()
        port = broker.port
        broker.kill()
        child = broker.spawn()
        assert children.wait_for(child, "ready", 20)["port"] == port != 0


def test_a_broker_that_does_not_start_is_an_error_with_its_words(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        broker = BrokerProcess(children, lambda _port: [sys.executable, "-c", "exit('in use')"])
        with pytest.raises(ChildFailed, match="in use"):
            broker.start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl(2)")
def test_on_the_leash_a_program_does_not_outlive_its_parent() -> None:
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-I', '-S', sys.argv[1], 'sleep', '60'],\n"
        "                         stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", parent, str(leash.__file__)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        comm = Path(f"/proc/{pid}/comm")
        deadline = time.monotonic() + 20
        while comm.read_text().strip() != "sleep":
            assert time.monotonic() < deadline
            os.sched_yield()
        process.kill()
    deadline = time.monotonic() + 20
    while comm.exists() and _state(pid) not in "ZX":
        assert time.monotonic() < deadline


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"
