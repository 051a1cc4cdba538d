"""The broker's process with its disk and the proxy before it: all that a fault can get hold of.

What must not enter: which faults there are, who the clients are.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from proof.broker import READY, SETTINGS, STOP_S_MAX
from proof.chaos.proxy import Proxy
from proof.chaos.volume import Volume, why_no_volume
from proof.errors import Outage

__all__ = ["BrokerDown", "Site"]

START_S_MAX = 45.0
STOPPED_S_MAX = 10.0
MORE_SETTINGS = {"log.retention.check.interval.ms": 1000}
TRACE = re.compile(r"Traceback \(most recent call last\)|never awaited|was never retrieved")


class BrokerDown(RuntimeError):
    """The broker does not start."""


class Site:
    """A context manager. Clients connect to `bootstrap`, by the proxy; who wants to know the truth
    asks `port`. One thread at a time."""

    def __init__(self, directory: Path, seed: str, durability: str = "fsync") -> None:
        self.directory = directory
        self.durability = durability
        self.why_no_volume = why_no_volume()
        self.volume: Volume | None = None
        if self.why_no_volume is None:
            try:
                self.volume = Volume(directory)
            except RuntimeError as error:
                self.why_no_volume = str(error)
        self.data = (self.volume.path if self.volume else directory) / "data"
        self.log_path = directory / "broker.log"
        self.proxy = Proxy(f"{seed}/proxy")
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.outages: list[Outage] = []
        self.problems: list[str] = []
        self._down_since = 0.0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.proxy.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> "Site":
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if self.process is not None:
                self._end(signal.SIGKILL)
        finally:
            self.proxy.close()
            if self.volume is not None:
                self.volume.close()

    def start(self, environment: Mapping[str, str] | None = None) -> float:
        """On the port it had before. Returns the seconds it took; raises BrokerDown."""
        began = time.monotonic()
        self._spawn(environment)
        for line in self._lines(began + START_S_MAX):
            found = READY.search(line)
            if found:
                # The ready line names what is advertised; the port itself is asked of the system.
                self.port = self.port or self._own_port()
                self.proxy.target = self.port
                if self._down_since:
                    self.outages.append((self._down_since, time.monotonic()))
                return time.monotonic() - began
        self._end(signal.SIGKILL)
        raise BrokerDown(f"the broker did not start: {self.log_tail()}")

    def begin_start(self, after_s: float) -> None:
        """Return so soon that it may still be recovering; it must be ended before another start."""
        self._spawn()
        time.sleep(after_s)

    def kill(self) -> None:
        """SIGKILL; a process that has ended by itself before is a problem."""
        self.look()
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait for the clean end."""
        self.look()
        code = self._end(signal.SIGTERM)
        if code:
            self.problems.append(f"the broker ended with {code} when it was asked to")

    def freeze(self) -> None:
        """SIGSTOP, and wait until it stands."""
        os.kill(self.pid, signal.SIGSTOP)
        deadline = time.monotonic() + STOPPED_S_MAX
        while self._state() not in "TtZX":
            if time.monotonic() > deadline:
                raise RuntimeError("the broker could not be stopped")
            time.sleep(0.001)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def look(self) -> None:
        """If the broker has ended by itself, say so and start it again."""
        if self.process is not None and self.process.poll() is not None:
            self.problems.append(
                f"the broker ended by itself ({self.process.returncode}): {self.log_tail()}"
            )
            self._end(signal.SIGKILL)
            self.start()

    def resident_bytes(self) -> int:
        return self._status("VmRSS:")

    def resident_bytes_max(self) -> int:
        return self._status("VmHWM:")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def log_tail(self) -> str:
        return self.log_path.read_text(errors="replace")[-1500:]

    def tracebacks(self) -> list[str]:
        """Errors that nobody expected, from the broker's log: each once, by its last line."""
        found: dict[str, None] = {}
        lines = self.log_path.read_text(errors="replace").splitlines()
        for at, line in enumerate(lines):
            if TRACE.search(line):
                last = next((x for x in lines[at + 1 :] if x and not x.startswith(" ")), line)
                found.setdefault(f"an unexpected error in the broker's log: {last[:300]}")
        return list(found)

    def _spawn(self, environment: Mapping[str, str] | None = None) -> None:
        settings = [
            f"--broker={name}={value}" for name, value in (SETTINGS | MORE_SETTINGS).items()
        ]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "headrace", "serve", "--data", str(self.data)),
                    *("--kafka", f"127.0.0.1:{self.port}"),
                    *("--advertise", f"127.0.0.1:{self.proxy.port}"),
                    *("--durability", self.durability, "--http", "off", "--grpc", "off", *settings),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches the driver alone, and it ends this
            )

    def _status(self, name: str) -> int:
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith(name):
                    return int(line.split()[1]) * 1024
        return 0

    def _state(self) -> str:
        with open(f"/proc/{self.pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]

    def _own_port(self) -> int:
        """Of the process's only listening socket."""
        inodes = set()
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            link = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            if link.startswith("socket:["):
                inodes.add(link[8:-1])
        with open(f"/proc/{self.pid}/net/tcp") as table:
            for line in table:
                fields = line.split()
                if len(fields) > 9 and fields[3] == "0A" and fields[9] in inodes:
                    return int(fields[1].rpartition(":")[2], 16)
        raise RuntimeError("the broker listens nowhere")

    def _lines(self, deadline: float) -> Iterator[str]:
        assert self.process is not None
        assert self.process.stdout is not None
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.process.stdout], [], [], left)
            line = self.process.stdout.readline() if readable else ""
            if not line:
                return
            yield line

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        assert process is not None
        self._down_since = time.monotonic()
        process.send_signal(number)
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.problems.append(f"the broker did not end within {STOP_S_MAX} s")
            return 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
