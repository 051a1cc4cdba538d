"""A group of librdkafka's consumers that gets and loses members: of three kinds.

`classic` and `consumer` (KIP-848) give partitions to members, `share` (KIP-932) gives records.
"""

import random
import time
from pathlib import Path

from proof.chaos.producers import CLIENT
from proof.chaos.topics import PLAIN
from proof.journal import Follower, Journal
from proof.judge import GroupHistory
from proof.members.confluent import ConfluentMember
from proof.members.confluent_share import ShareMember
from proof.members.member import Member, Work

__all__ = ["KINDS", "SHARE", "Crew", "group_of"]

SHARE = "share"
KINDS: dict[str, tuple[type[Member], dict[str, str]]] = {
    "classic": (ConfluentMember, {"partition.assignment.strategy": "range"}),
    "consumer": (ConfluentMember, {"group.protocol": "consumer"}),
    SHARE: (ShareMember, {}),
}
MEMBERS_MAX = 3
END_S_MAX = 40.0


def group_of(kind: str) -> str:
    return f"crew-{kind}"


class Crew:
    """Members are threads of this process; what happens to them is in the journal at `path`."""

    def __init__(self, kind: str, bootstrap: str, directory: Path, seed: str) -> None:
        self.name = group_of(kind)
        self.is_share = kind == SHARE
        path = directory / f"{self.name}.jsonl"
        self._chance = random.Random(f"{seed}/{self.name}")
        self._follower = Follower(path)
        self._make, more = KINDS[kind]
        options = {**CLIENT, **more}
        self._work = Work(bootstrap, PLAIN, self.name, Journal(str(path)), options)
        self._members: list[Member] = []
        self._alive: list[Member] = []
        self._told_to_stop: dict[str, float] = {}
        for _ in range(2):
            self._start()

    def change(self) -> None:
        """One member more or one less."""
        if len(self._alive) < 2 or (len(self._alive) < MEMBERS_MAX and self._chance.random() < 0.5):
            self._start()
        else:
            self._stop(self._chance.randrange(len(self._alive)))

    def finish(self) -> GroupHistory:
        """All stop; what happened to them."""
        while self._alive:
            self._stop(0)
        deadline = time.monotonic() + END_S_MAX
        for member in self._members:
            member.thread.join(max(0.0, deadline - time.monotonic()))
        self._follower.catch_up()
        return GroupHistory([self._follower.events], {}, self._told_to_stop, is_share=self.is_share)

    def _start(self) -> None:
        member = self._make(f"{self.name}-{len(self._members)}", self._work)
        self._members.append(member)
        self._alive.append(member)
        member.start()

    def _stop(self, at: int) -> None:
        member = self._alive.pop(at)
        self._told_to_stop[member.name] = time.monotonic()
        member.stop()
