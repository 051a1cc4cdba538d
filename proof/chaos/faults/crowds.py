"""Too many clients, clients that do not read, and too few descriptors."""

import contextlib
import errno
import random
import resource
import socket

from headrace.testing.raw_client import RawClient, fetch_request
from proof.chaos.faults.fault import Fault
from proof.chaos.site import Site

__all__ = ["Crowd", "FewDescriptors", "SlowReaders"]

SPARE_DESCRIPTORS = 500
SOURCES = 4
"""Addresses from which connections come: one has ports for some 28,000."""
ASKS = 20


class Crowd(Fault):
    """Ten thousand connections at once that say nothing; as many as descriptors allow."""

    name = "crowd"
    is_aside = True
    hold_s = (2.0, 5.0)

    def start(self, site: Site, chance: random.Random) -> str:
        self._sockets: list[socket.socket] = []
        wanted = chance.choice([1_000, 10_000])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = wanted + SPARE_DESCRIPTORS
        if soft < room:
            more = room if hard == resource.RLIM_INFINITY else min(room, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            wanted = min(wanted, more - SPARE_DESCRIPTORS)
        for number in range(wanted):
            one = socket.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.bind((f"127.0.1.{number % SOURCES + 1}", 0))
                code = one.connect_ex(("127.0.0.1", site.port))
                if code not in (0, errno.EINPROGRESS):
                    one.close()
                    continue
            self._sockets.append(one)
        return f"{len(self._sockets)} connections"

    def heal(self, site: Site) -> None:
        for one in self._sockets:
            one.close()
        self._sockets.clear()


class SlowReaders(Fault):
    """They ask for much and take nothing."""

    name = "slow-readers"
    is_aside = True
    hold_s = (2.0, 8.0)

    def start(self, site: Site, chance: random.Random) -> str:
        self._clients: list[RawClient] = []
        with contextlib.suppress(OSError):
            for _ in range(20):
                client = RawClient("127.0.0.1", site.port, timeout_s=2)
                self._clients.append(client)
                want = fetch_request("plain", chance.randrange(4), 0, partition_max_bytes=50 << 20)
                client.send(b"".join(client.framed(want, 12) for _ in range(ASKS)))
        return f"{len(self._clients)} that read nothing"

    def heal(self, site: Site) -> None:
        for client in self._clients:
            client.close()


class FewDescriptors(Fault):
    """The running process may open few files and connections more."""

    name = "few-descriptors"
    hold_s = (2.0, 6.0)

    def lacks(self, site: Site) -> str | None:
        return None if hasattr(resource, "prlimit") else "there is no prlimit"

    def start(self, site: Site, chance: random.Random) -> str:
        self._limits = resource.prlimit(site.pid, resource.RLIMIT_NOFILE)
        spare = chance.choice([0, 3, 10])
        limit = site.open_files() + spare
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, (limit, self._limits[1]))
        self._kills_connections = chance.random() < 0.5
        if self._kills_connections:
            site.proxy.reset_all()
        return f"{spare} more than are open" + (", all reset" if self._kills_connections else "")

    def heal(self, site: Site) -> None:
        site.look()
        resource.prlimit(site.pid, resource.RLIMIT_NOFILE, self._limits)
