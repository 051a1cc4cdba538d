"""NATS JetStream: Debian's package where that can sync before it acknowledges, else built with Go.

`fsync` is `sync_interval: always`, which servers have since 2.10; Debian 12 has 2.9. So there the
pinned version is built from the Go module proxy, whose checksum database `go install` asks. `os` is
its default: written before the acknowledgement, synced every two minutes.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

from bench.peers import debian
from bench.peers.installed import NotInstalled, cache
from bench.processes import free_port, started
from bench.raw_nats import NatsDriver
from bench.systems import Durability, Running

__all__ = ["Nats"]

MODULE = "github.com/nats-io/nats-server/v2@v2.15.2"
OLDEST = (2, 10)
POLICIES: dict[Durability, tuple[str, str]] = {
    "os": ("2m", "its default: written before the acknowledgement, synced every two minutes"),
    "fsync": ("always", "sync_interval: always: each record is synced before it is acknowledged"),
}
NOTES = [
    "no batches: a batch of n records is n PUB, all under way at once; a partition is a stream",
]
CONFIG = """
listen: 127.0.0.1:{port}
jetstream {{
    store_dir: "{data}"
    sync_interval: {sync}
}}
"""


class Nats:
    name = "NATS"
    port: int | None = None
    """A free one unless it is set."""

    def install(self) -> str:
        with contextlib.suppress(NotInstalled):
            return f"NATS: {program()}"
        with contextlib.suppress(NotInstalled):
            debian.unpack("nats-server", "nats-server")
            return f"NATS: {program()}"
        _build()
        return f"NATS: {program()}"

    @contextlib.contextmanager
    def start(self, directory: str, durability: Durability) -> Iterator[Running]:
        server = program()
        sync, policy = POLICIES[durability]
        port = self.port or free_port()
        address = f"127.0.0.1:{port}"
        with tempfile.TemporaryDirectory(prefix="nats-", dir=directory) as data:
            config = os.path.join(data, "nats.conf")
            with open(config, "w", encoding="utf-8") as file:
                file.write(CONFIG.format(port=port, data=data, sync=sync))
            with started(
                [server, "-c", config],
                log=os.path.join(data, "log"),
                is_ready=lambda: answers(address),
            ) as (process, ready_s):
                driver = NatsDriver(address)
                yield Running(
                    name=self.name,
                    version=".".join(map(str, version(server))),
                    durability=durability,
                    policy=policy,
                    bootstrap=address,
                    pids=[process.pid],
                    driver=driver,
                    family="nats",
                    system=self,
                    ready_s=ready_s,
                    notes=NOTES,
                )
                driver.close()


def program() -> str:
    """The server that is new enough. Raises NotInstalled."""
    candidates = [cache("go", "bin", "nats-server")]
    with contextlib.suppress(NotInstalled):
        candidates.insert(0, debian.find("nats-server")[0])
    for path in candidates:
        if os.path.exists(path) and version(path) >= OLDEST:
            return path
    raise NotInstalled(
        "no nats-server of 2.10 or newer, which can sync before it acknowledges: "
        "`scripts/bench --install-peers` fetches one"
    )


def _build() -> None:
    if not shutil.which("go"):
        raise NotInstalled("nats-server: Debian's is too old, and there is no `go` to build one")
    environment = {**os.environ, "GOBIN": cache("go", "bin"), "CGO_ENABLED": "0"}
    try:
        subprocess.run(["go", "install", "-trimpath", MODULE], env=environment, check=True)
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"nats-server could not be built: {error}") from error


def version(server: str) -> tuple[int, ...]:
    """As `nats-server --version` has it: `nats-server: v2.15.2`."""
    text = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def answers(address: str) -> bool:
    """It greets everyone who connects, when JetStream is ready."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            return connection.recv(1024).startswith(b"INFO")
    except OSError:
        return False
