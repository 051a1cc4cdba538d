from collections.abc import Callable
from uuid import UUID

import pytest

from headrace.broker.cluster.peers import NoPeers
from headrace.broker.cluster.remote_log import RemoteLog
from headrace.log.contract import ACKS_ALL, AppendDone, Appended
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.markers import Marker

TOPIC_ID = UUID(int=7)


class KeptPeers(NoPeers):
    """Remembers what was to be appended where, and says at once that it was."""

    def __init__(self) -> None:
        self.appended: list[tuple[int, UUID, int, bytes, int]] = []

    def append(
        self,
        owner: int,
        topic_id: UUID,
        partition: int,
        batch: memoryview,
        acks: int,
        done: AppendDone | None,
    ) -> None:
        self.appended.append((owner, topic_id, partition, bytes(batch), acks))
        if done is not None:
            done(Appended(5, 6, -1, 0, False))


def test_writes_go_to_the_owner() -> None:
    peers, heard = KeptPeers(), list[object]()
    RemoteLog(peers, 2, TOPIC_ID, 4).append(memoryview(b"batch"), ACKS_ALL, heard.append)
    assert peers.appended == [(2, TOPIC_ID, 4, b"batch", ACKS_ALL)]
    assert heard == [Appended(5, 6, -1, 0, False)]


async def _nothing_to_do(log: RemoteLog) -> None:
    assert await log.tidy(0) == 0
    assert log.cleaning(0) is None
    assert log.producers() == []
    assert log.size_bytes() == 0
    assert not log.is_in_transaction(1, 0)
    log.notify(lambda: None)()
    await log.close()


def test_loops_over_partitions_find_nothing_to_do() -> None:
    coroutine = _nothing_to_do(RemoteLog(NoPeers(), 2, TOPIC_ID, 4))
    with pytest.raises(StopIteration):
        coroutine.send(None)


def _ignore(_: object) -> None:
    """Of a call that is refused before anything is done."""


@pytest.mark.parametrize(
    "ask",
    [
        RemoteLog.offsets,
        RemoteLog.committed_end,
        lambda log: log.readable_bytes_after(0),
        lambda log: log.last_batch(1),
        lambda log: log.aborted_between(0, 1),
        lambda log: log.delete_before(0).send(None),
        lambda log: log.offset_for_time(0).send(None),
        lambda log: log.read(0, 1, at_least_one=True).send(None),
        lambda log: log.append(memoryview(b""), ACKS_ALL, None),
        lambda log: log.append_marker(Marker(1, 0, 0, commit=True), _ignore),
    ],
)
def test_who_looks_into_it_is_sent_to_the_leader(ask: Callable[[RemoteLog], object]) -> None:
    with pytest.raises(RequestError) as refused:
        ask(RemoteLog(NoPeers(), 2, TOPIC_ID, 4))
    assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
