"""What the process takes from its machine, under the names that every Prometheus library uses.

Memory, descriptors and start time come from /proc and are left out where there is none (macOS).
"""

import os
import resource
from collections.abc import Iterator
from functools import cache

from headrace.doors.http.exposition import family

__all__ = ["process_families"]


def process_families() -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield from family(
        "process_cpu_seconds_total",
        "counter",
        "CPU time, user and system.",
        [({}, usage.ru_utime + usage.ru_stime)],
    )
    yield from family(
        "process_resident_memory_bytes", "gauge", "Resident memory.", [({}, _resident_bytes())]
    )
    yield from family("process_open_fds", "gauge", "Open descriptors.", [({}, _open_files())])
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield from family("process_max_fds", "gauge", "Descriptors allowed.", [({}, limit)])
    yield from family(
        "process_start_time_seconds",
        "gauge",
        "When the process started, in seconds since the epoch.",
        [({}, _started_s())],
    )


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return None


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None


@cache
def _started_s() -> float | None:
    """The process's start in ticks since boot, and when that was."""
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/stat", encoding="ascii") as file:
            booted_s = next(int(line.split()[1]) for line in file if line.startswith("btime"))
    except (OSError, StopIteration):
        return None
    return booted_s + ticks / os.sysconf("SC_CLK_TCK")
