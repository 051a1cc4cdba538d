"""The broker that is killed: `headrace serve` on one data directory and one port, or any other."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from proof.errors import Outage
from proof.workers import kill_worker, worker_pids

__all__ = ["ExternalBroker", "HeadraceBroker"]

READY = re.compile(r"ready on kafka://(?P<host>\S+):(?P<port>\d+)")
WORKERS = re.compile(r"workers on (?P<ports>[\d, ]+\d)")
GRPC = re.compile(r"grpc http://[^\s,)]+:(?P<port>\d+)")
DOWN_S = 0.5
STOP_S_MAX = 20

SETTINGS = {
    # Members hear within this what they are to give up; it bounds how fast a group can change.
    "group.consumer.heartbeat.interval.ms": 500,
    "group.consumer.session.timeout.ms": 6000,
    "group.share.heartbeat.interval.ms": 500,
    "group.share.session.timeout.ms": 6000,
    "group.initial.rebalance.delay.ms": 0,
}


class HeadraceBroker:
    """A context manager. `crash` kills it (SIGKILL), starts it again and notes the outage. With
    `workers` it kills one of them, in turn, and its supervisor starts it again."""

    def __init__(
        self,
        directory: Path,
        durability: str = "fsync",
        *,
        with_grpc: bool = False,
        workers: int = 1,
    ) -> None:
        self.data = directory / "data"
        self.log_path = directory / "broker.log"
        self.durability = durability
        self.port = 0
        self.grpc_port = 0
        """Of the gRPC door, if there is one."""
        self.workers = workers
        self.worker_ports: list[int] = []
        """Of each worker, if there are several."""
        self._grpc = "127.0.0.1:0" if with_grpc else "off"
        self.outages: list[Outage] = []

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> "HeadraceBroker":
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self._kill()
        self._stdout().close()

    def crash(self) -> None:
        if self.workers > 1:
            self.crash_worker(len(self.outages) % self.workers)
            return
        down = time.monotonic()
        self._kill()
        self._stdout().close()
        time.sleep(DOWN_S)
        self._start()
        self.outages.append((down, time.monotonic()))

    def crash_worker(self, victim: int) -> None:
        down = time.monotonic()
        kill_worker(self.process.pid, victim, self.worker_ports[victim], DOWN_S)
        self.outages.append((down, time.monotonic()))

    def streams_pid(self) -> int:
        """Of the process that serves gRPC."""
        return worker_pids(self.process.pid)[0] if self.workers > 1 else self.process.pid

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _stdout(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _start(self) -> None:
        settings = [f"--broker={name}={value}" for name, value in SETTINGS.items()]
        if self.workers > 1:
            settings += ["--workers", str(self.workers)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "headrace", "serve", "--data", str(self.data)),
                    *("--kafka", f"127.0.0.1:{self.port}", "--durability", self.durability),
                    *("--http", "off", "--grpc", self._grpc, *settings),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        for line in self._stdout():
            found = READY.search(line)
            if found:
                self.port = int(found["port"])
                grpc = GRPC.search(line)
                self.grpc_port = int(grpc["port"]) if grpc else 0
                workers = WORKERS.search(line)
                self.worker_ports = [*map(int, workers["ports"].split(","))] if workers else []
                return
        raise RuntimeError(f"the broker did not start: {self.log_path.read_text()[-2000:]}")


class ExternalBroker:
    """Any broker that already runs, to compare with. `restart` is a command that kills and starts
    it and returns when it is ready; without one it is left alone."""

    def __init__(self, bootstrap: str, restart: str | None) -> None:
        self.bootstrap = bootstrap
        self.restart = restart
        self.outages: list[Outage] = []

    def __enter__(self) -> "ExternalBroker":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def crash(self) -> None:
        if self.restart is None:
            return
        down = time.monotonic()
        subprocess.run(shlex.split(self.restart), check=True, stdout=subprocess.DEVNULL)
        self.outages.append((down, time.monotonic()))
