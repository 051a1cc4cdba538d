"""A `headrace serve` to measure, started as a user starts it and gone afterwards."""

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bench.processes import cpu_s, resident_mb

__all__ = ["Serving", "serving"]

READY = re.compile(r"ready on kafka://(\S+)")
GRPC = re.compile(r"grpc https?://([^\s,)]+)")
START_S_MAX = 30


class Serving:
    """A running broker: where it listens, how long it took, what it uses."""

    def __init__(
        self,
        process: subprocess.Popen[str],
        bootstrap: str,
        ready_s: float,
        grpc_target: str = "",
    ) -> None:
        self.process = process
        self.bootstrap = bootstrap
        self.ready_s = ready_s
        self.grpc_target = grpc_target
        """HOST:PORT where it was asked for."""

    def resident_mb(self) -> float:
        """Resident memory now, in MB; NaN where the system does not tell."""
        return resident_mb([self.process.pid])

    def cpu_s(self) -> float:
        """Processor seconds used so far."""
        return cpu_s([self.process.pid])


@contextlib.contextmanager
def serving(directory: str, durability: str, *options: str) -> Iterator[Serving]:
    """A broker with a new data directory inside `directory`."""
    data = tempfile.mkdtemp(prefix="headrace-bench-", dir=directory)
    started = time.perf_counter()
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the broker
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "headrace", "serve", "--data", data),
            *("--kafka", "127.0.0.1:0", "--durability", durability),
            *("--http", "off", "--grpc", "off", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = READY.search(line)
        if found is None:
            log.seek(0)
            raise RuntimeError(f"the broker did not become ready: {line!r}\n{log.read()}")
        grpc = GRPC.search(line)
        target = grpc[1] if grpc else ""
        yield Serving(process, found[1], time.perf_counter() - started, target)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(START_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        log.close()
        shutil.rmtree(data, ignore_errors=True)
