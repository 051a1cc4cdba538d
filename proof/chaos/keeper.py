"""A bookkeeper without a group's membership: commits greater and greater offsets, reads them back.

It speaks to the broker itself, one request after the other on one connection, so what it reads must
not be less than what was confirmed, nor more than what it asked for. Its group has no member: no
clock and no fault may make the broker forget it.
"""

import contextlib
import threading
from collections.abc import Mapping

from headrace.testing.raw_client import RawClient
from headrace.wire.messages.k08_offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
)
from proof.chaos.topics import PLAIN

__all__ = ["Book", "Keeper", "commit_offsets", "fetch_offsets"]

PAUSE_S = 0.05
ANSWER_S_MAX = 60.0
"""Longer than any fault: a request that is left alone could be carried out later."""
COMMIT_VERSION = 8
FETCH_VERSION = 7


def commit_offsets(client: RawClient, group: str, offsets: Mapping[int, int]) -> list[int]:
    """Of PLAIN, by nobody. The error codes; raises OSError."""
    wanted = [
        OffsetCommitRequestPartition(partition_index=partition, committed_offset=offset)
        for partition, offset in offsets.items()
    ]
    request = OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=-1,
        topics=[OffsetCommitRequestTopic(name=PLAIN, partitions=wanted)],
    )
    answer = client.ask(request, OffsetCommitResponse, COMMIT_VERSION)
    return [one.error_code for one in answer.topics[0].partitions]


def fetch_offsets(client: RawClient, group: str, partitions: list[int]) -> dict[int, int] | None:
    """Of PLAIN, -1 for none; None if the broker cannot tell now. Raises OSError."""
    topics = [OffsetFetchRequestTopic(name=PLAIN, partition_indexes=partitions)]
    request = OffsetFetchRequest(group_id=group, topics=topics, require_stable=True)
    answer = client.ask(request, OffsetFetchResponse, FETCH_VERSION)
    if answer.error_code or not answer.topics:
        return None
    found = answer.topics[0].partitions
    if any(one.error_code for one in found):
        return None
    return {one.partition_index: one.committed_offset for one in found}


class Book:
    """What was asked, confirmed and read; judged with each entry."""

    def __init__(self) -> None:
        self.asked = -1
        self.confirmed = -1
        self.problems: list[str] = []

    def ask(self) -> int:
        self.asked += 1
        return self.asked

    def confirm(self, offset: int) -> None:
        self.confirmed = max(self.confirmed, offset)

    def read(self, offset: int) -> None:
        if offset < self.confirmed:
            self.problems.append(
                f"a committed offset went back: {offset} was read, {self.confirmed} had been "
                "confirmed or read before"
            )
        elif offset > self.asked:
            self.problems.append(f"the offset {offset} was read, nobody committed it")
        # What was read once stays, also if its commit was never confirmed.
        self.confirmed = max(self.confirmed, min(offset, self.asked))


class Keeper:
    GROUP = "keeper"

    def __init__(self, port: int) -> None:
        """`port` is the broker's own."""
        self._port = port
        self.book = Book()
        self.failures: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                with (
                    contextlib.suppress(OSError),
                    RawClient("127.0.0.1", self._port, timeout_s=ANSWER_S_MAX) as client,
                ):
                    while not self.stopping.is_set():
                        self._turn(client)
                        self.stopping.wait(PAUSE_S)
                self.stopping.wait(PAUSE_S)
        except Exception as error:  # noqa: BLE001 - told in the report
            self.failures.append(f"keeper: {type(error).__name__}: {error}")

    def _turn(self, client: RawClient) -> None:
        offset = self.book.ask()
        if commit_offsets(client, self.GROUP, {0: offset}) == [0]:
            self.book.confirm(offset)
        found = fetch_offsets(client, self.GROUP, [0])
        if found is not None:
            self.book.read(found[0])
