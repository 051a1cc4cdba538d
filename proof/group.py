"""One consumer group under churn: processes with members that are started, stopped and killed."""

import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proof.clients import Client
from proof.errors import Outage
from proof.journal import Event, Follower
from proof.judge import GroupHistory

__all__ = ["Group", "group_name"]

HOSTS = 2
MEMBERS_MAX = 5
KILL_ONE_IN = 20
"""Changes, on average: then a whole process goes with all its members, as when a pod dies."""
END_S_MAX = 40


def group_name(client: Client) -> str:
    return f"proof-{client.name}"


class Host:
    """A process with members. Commands go to its stdin, what happens comes from its journal."""

    def __init__(self, client: Client, common: Mapping[str, Any], path: Path) -> None:
        self.follower = Follower(path)
        self.members: list[str] = []
        self.all_members: list[str] = []
        with open(path.with_suffix(".log"), "ab") as log:
            self.process = subprocess.Popen(
                client.command({**common, "journal": str(path)}),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the driver alone, and it ends them
            )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            log = self.follower.path.with_suffix(".log").read_text(errors="replace")
            raise RuntimeError(f"a process of members is gone: {log[-2000:]}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def hang_up(self) -> None:
        """Its members stop, and it ends."""
        assert self.process.stdin is not None
        self.process.stdin.close()


class Group:
    """`change` grows or shrinks it by one member, or kills a process of it."""

    def __init__(
        self, client: Client, bootstrap: str, topic: str, directory: Path, seed: int
    ) -> None:
        self.client = client
        self.name = group_name(client)
        self.killed: dict[str, float] = {}
        self.told_to_stop: dict[str, float] = {}
        self.started: list[str] = []
        self._common = {"bootstrap": bootstrap, "topic": topic, "group": self.name}
        self._directory = directory
        self._random = random.Random(f"{seed}/{client.name}")
        self._hosts = 0
        self._all: list[Host] = []
        self.hosts = [self._new_host(number) for number in range(HOSTS)]
        for host in self.hosts:
            self._start(host)

    def change(self) -> None:
        count = sum(len(host.members) for host in self.hosts)
        if self._random.randrange(KILL_ONE_IN) == 0:
            self._kill(self._random.randrange(HOSTS))
        elif count < 2 or (count < MEMBERS_MAX and self._random.random() < 0.5):
            self._start(min(self.hosts, key=lambda host: len(host.members)))
        else:
            host = self._random.choice([host for host in self.hosts if host.members])
            self._stop(host, self._random.choice(host.members))

    def living(self) -> set[str]:
        return {member for host in self.hosts for member in host.members}

    def catch_up(self) -> list[Event]:
        """What is new in the journals."""
        return [event for host in self._all for event in host.follower.catch_up()]

    def finish(self) -> None:
        """All members stop and the processes end; what does not end is killed."""
        for host in self.hosts:
            host.hang_up()
        deadline = time.monotonic() + END_S_MAX
        for host in self.hosts:
            try:
                host.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                host.process.kill()
                host.process.wait()
        self.catch_up()

    def abandon(self) -> None:
        for host in self._all:
            if host.process.poll() is None:
                host.process.kill()
                host.process.wait()

    def history(self, settled: float, outages: Sequence[Outage]) -> GroupHistory:
        return GroupHistory(
            [host.follower.events for host in self._all],
            self.killed,
            self.told_to_stop,
            settled,
            self.client.is_share,
            outages,
            self.client.keeps_positions,
        )

    def _new_host(self, number: int) -> Host:
        path = self._directory / f"{self.client.name}-{self._hosts}.jsonl"
        self._hosts += 1
        host = Host(self.client.of_process(number), self._common, path)
        self._all.append(host)
        return host

    def _start(self, host: Host) -> None:
        member = f"{self.client.name}-{len(self.started)}"
        self.started.append(member)
        host.members.append(member)
        host.all_members.append(member)
        host.say(f"start {member}")

    def _stop(self, host: Host, member: str) -> None:
        host.members.remove(member)
        self.told_to_stop[member] = time.monotonic()
        host.say(f"stop {member}")

    def _kill(self, number: int) -> None:
        host = self.hosts[number]
        host.kill()
        now = time.monotonic()  # nothing that it did came later
        self.catch_up()
        # Those that were told to stop and had not yet are among the dead.
        ended = {e["member"] for e in host.follower.events if e["event"] == "stopped"}
        for member in host.all_members:
            if member not in ended:
                self.killed[member] = now
        self.hosts[number] = self._new_host(number)
        self._start(self.hosts[number])
