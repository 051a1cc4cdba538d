"""Redis Streams, from Debian's package.

`fsync` is `appendfsync always`: the append-only file is written and synced once for all commands
of a turn of its loop, before they are answered. `os` is `everysec`, its default: written before the
answer, synced every second. Snapshots (`save`) are off, since the append-only file is the log; its
rewriting is left as it is by default.
"""

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator

from bench.peers import debian
from bench.peers.installed import NotInstalled
from bench.processes import free_port, started
from bench.raw_redis import RedisDriver, ask
from bench.systems import Durability, Running

__all__ = ["Redis"]

POLICIES: dict[Durability, tuple[str, str]] = {
    "os": ("everysec", "appendfsync everysec: written before the answer, synced each second"),
    "fsync": ("always", "appendfsync always: written and synced before the answer"),
}
NOTES = [
    "everything is kept in memory too, so nothing that it reads is ever cold",
    "no batches: a batch of n records is n XADD, pipelined; a partition is a stream key",
]


class Redis:
    name = "Redis"
    port: int | None = None
    """A free one unless it is set."""

    def install(self) -> str:
        with contextlib.suppress(NotInstalled):
            return f"Redis: {debian.find('redis-server')[0]}"
        debian.unpack("redis-server", "redis-server", "redis-tools", "libjemalloc2", "liblzf1")
        return f"Redis: {debian.find('redis-server')[0]}"

    @contextlib.contextmanager
    def start(self, directory: str, durability: Durability) -> Iterator[Running]:
        program, environment = debian.find("redis-server")
        how, policy = POLICIES[durability]
        port = self.port or free_port()
        address = f"127.0.0.1:{port}"
        with tempfile.TemporaryDirectory(prefix="redis-", dir=directory) as data:
            command = [
                *(program, "--port", str(port), "--bind", "127.0.0.1", "--dir", data),
                *("--appendonly", "yes", "--appendfsync", how, "--save", ""),
            ]
            log = os.path.join(data, "log")
            with started(
                command,
                log=log,
                is_ready=lambda: answers(address),
                environment=environment,
            ) as (process, ready_s):
                driver = RedisDriver(address)
                yield Running(
                    name=self.name,
                    version=version(program, environment),
                    durability=durability,
                    policy=policy,
                    bootstrap=address,
                    pids=[process.pid],
                    driver=driver,
                    family="redis",
                    system=self,
                    ready_s=ready_s,
                    notes=NOTES,
                )
                driver.close()


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            return bool(ask(connection, "PING") == "PONG")
    except (OSError, RuntimeError):  # not there yet, or still loading
        return False


def version(program: str, environment: dict[str, str]) -> str:
    """As `redis-server --version` has it: `Redis server v=7.0.15 sha=...`."""
    text = subprocess.run(
        [program, "--version"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return text.partition("v=")[2].split()[0]
