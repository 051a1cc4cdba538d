"""Processes from outside: processor time and memory of one and all it started, free ports, the
machine they run on. Linux's /proc; elsewhere the numbers are NaN."""

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["cpu_s", "drop_page_cache", "free_port", "machine", "resident_mb", "started"]

START_S_MAX = 120.0
STOP_S_MAX = 20.0
DROP_CACHES = "/proc/sys/vm/drop_caches"


def with_descendants(pids: Sequence[int]) -> list[int]:
    """These processes and all that live below them."""
    found: list[int] = []
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children") as children:
                    waiting += map(int, children.read().split())
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """Processor seconds used so far, with children that live and children that were waited for."""
    ticks = [parse_cpu_ticks(text) for text in _read_each(pids, "stat")]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else float("nan")


def parse_cpu_ticks(stat: str) -> int:
    """utime, stime, cutime and cstime of a /proc/PID/stat line (proc(5)); its second field, the
    command in parentheses, may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def resident_mb(pids: Sequence[int]) -> float:
    """Resident memory now, in MB; pages that processes share count for each."""
    sizes = [
        int(line.split()[1]) * 1024 / 1e6
        for text in _read_each(pids, "status")
        for line in text.splitlines()
        if line.startswith("VmRSS")
    ]
    return sum(sizes) if sizes else float("nan")


def _read_each(pids: Sequence[int], name: str) -> Iterator[str]:
    for pid in with_descendants(pids):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}") as file:
            yield file.read()


def free_port() -> int:
    """A port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(
    command: Sequence[str],
    *,
    log: str,
    is_ready: Callable[[], bool],
    environment: dict[str, str] | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A process and the seconds it took to be ready; its output goes to the file `log`.

    Raises RuntimeError with the end of that output when it ends before it is ready.
    """
    before = time.perf_counter()
    with open(log, "ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
    try:
        while not is_ready():
            if process.poll() is not None or time.perf_counter() - before > START_S_MAX:
                with open(log, errors="replace") as output:
                    raise RuntimeError(f"{command[0]} did not start:\n{output.read()[-2000:]}")
            time.sleep(0.005)
        yield process, time.perf_counter() - before
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def machine(directory: str) -> dict[str, Any]:
    """What numbers from here depend on: processor, memory, kernel, the disk under `directory`."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cpu": _first_field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory": _first_field("/proc/meminfo", "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()}",
        "disk": _mount_of(directory),
        "python": platform.python_version(),
        "load before": os.getloadavg()[0],
    }


def _first_field(path: str, name: str) -> str:
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def _mount_of(directory: str) -> str:
    """Device and file system that hold `directory`, as /proc/mounts has them."""
    best = ("", "")
    path = os.path.realpath(directory)
    with contextlib.suppress(OSError), open("/proc/mounts") as mounts:
        for line in mounts:
            device, point, kind, *_ = line.split()
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                best = (point, f"{device} {kind}")
    return best[1]


def drop_page_cache(directory: str) -> str:
    """Forget what the page cache has of the files below `directory`; how it was done, in words.

    As root all clean pages of the machine go (/proc/sys/vm/drop_caches), else those of these files
    one by one (posix_fadvise), which leaves pages that a process has mapped.
    """
    os.sync()
    try:
        with open(DROP_CACHES, "w") as drop:
            drop.write("1")
    except OSError:
        for folder, _, names in os.walk(directory):
            for name in names:
                _drop_pages_of(os.path.join(folder, name))
        return "posix_fadvise(DONTNEED) on its files"
    return "drop_caches"


def _drop_pages_of(path: str) -> None:
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)
