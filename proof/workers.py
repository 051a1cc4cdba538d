"""The workers of a broker of several processes: which there are, killing one, seeing it back.

What must not enter: who is killed when.
"""

import contextlib
import os
import signal
import socket
import struct
import time
from pathlib import Path

__all__ = ["is_serving", "kill_worker", "worker_pids"]

SERVING_S_MAX = 30
_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)


def worker_pids(supervisor: int) -> dict[int, int]:
    """Process ids by the worker's index: its command line says `2/3` for index 1."""
    found = {}
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii")
    for pid in map(int, children.split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            place = line[-2] if len(line) > 1 else b""
            if b"/" in place and place.replace(b"/", b"").isdigit():
                found[int(place.split(b"/")[0]) - 1] = pid
    return found


def kill_worker(supervisor: int, index: int, port: int, down_s: float) -> None:
    """SIGKILL, and return when the worker's successor answers at `port`. With `down_s` the
    supervisor is stopped meanwhile, so that it stays away for that long. Raises TimeoutError."""
    pid = worker_pids(supervisor)[index]
    if down_s:
        os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        time.sleep(down_s)
    finally:
        if down_s:
            os.kill(supervisor, signal.SIGCONT)
    deadline = time.monotonic() + SERVING_S_MAX
    while worker_pids(supervisor).get(index, pid) == pid or not is_serving(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"worker {index} did not come back")
        time.sleep(0.02)


def is_serving(port: int) -> bool:
    """Whether somebody answers a request; that it connects says only that the port is bound."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connected:
            connected.settimeout(SERVING_S_MAX)
            connected.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            return len(connected.recv(4)) == 4
    except OSError:
        return False
