"""A share group whose members, partitions and worker are three processes' is still one group."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from headrace.broker.cluster.peers import Change
from headrace.broker.group_config_table import DEAD_LETTER_TOPIC
from headrace.broker.group_requests import ShareHeartbeat
from headrace.broker.share import elsewhere
from headrace.doors.kafka import (
    k42_delete_groups,
    k78_share_fetch,
    k90_describe_share_group_offsets,
    k91_alter_share_group_offsets,
    k92_delete_share_group_offsets,
)
from headrace.doors.kafka.api import RequestContext
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k42_delete_groups import DeleteGroupsRequest
from headrace.wire.messages.k78_share_fetch import (
    AcknowledgementBatch,
    ShareFetchPartition,
    ShareFetchRequest,
    ShareFetchTopic,
)
from headrace.wire.messages.k90_describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
)
from headrace.wire.messages.k91_alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from headrace.wire.messages.k92_delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsRequestTopic,
)

ACCEPT, REJECT = 1, 3
ALLOWED = "errors.deadletterqueue.group.enable"


class Shared:
    """A group of worker 0 with one member, and a topic with a partition at each of three."""

    def __init__(self, workers: Any) -> None:
        self.workers = workers
        self.home = workers.all[0]
        self.group = next(f"g{n}" for n in range(99) if self.home.ownership.is_my_group(f"g{n}"))
        self.member = "00000000-0000-4000-8000-000000000001"
        self.topic_id: UUID
        self.epochs: dict[int, int] = {}

    async def begin(self) -> None:
        await self.home.topics.create("t", 3)
        self.topic_id = self.home.topics.get("t").id
        await self.home.group_configs.alter(
            self.group, lambda old: {**old, "share.auto.offset.reset": "earliest"}, in_use=False
        )
        await self.home.peers.tell(Change.GROUP_CONFIGS)
        await self.join()
        for partition in range(3):
            await self.workers.write("t", partition, *[b"x"] * 10)

    async def heartbeat(self, epoch: int) -> int:
        asked = ShareHeartbeat(
            member_id=self.member,
            member_epoch=epoch,
            rack_id=None,
            names=frozenset({"t"}) if epoch == 0 else None,
            client_id="c",
            client_host="h",
        )
        return int((await self.home.groups.share_heartbeat(self.group, asked)).error)

    async def join(self) -> None:
        assert await self.heartbeat(0) == 0

    async def leave(self) -> None:
        assert await self.heartbeat(-1) == 0

    async def fetch(
        self, partition: int, accepted: tuple[int, int] | None = None, type_: int = ACCEPT
    ) -> Any:
        """The answer of the partition's worker."""
        epoch = self.epochs.get(partition, 0)
        self.epochs[partition] = epoch + 1
        batches = [AcknowledgementBatch(*accepted, [type_])] if accepted else []
        request = ShareFetchRequest(
            self.group,
            self.member,
            share_session_epoch=epoch,
            min_bytes=1,
            max_bytes=1 << 20,
            max_records=500,
            batch_size=500,
            topics=[ShareFetchTopic(self.topic_id, [ShareFetchPartition(partition, batches)])],
        )
        context = RequestContext(self.workers.owner("t", partition), 2, "c", "h", 100 + partition)
        answer = await k78_share_fetch.handle(context, request)
        for pieces in answer.records:
            for piece in pieces:
                piece.release()
        return answer.message

    async def acquired(self, partition: int, accepted: tuple[int, int] | None = None) -> Any:
        answer = await self.fetch(partition, accepted)
        assert answer.error_code == 0
        found = answer.responses[0].partitions[0] if answer.responses else None
        runs = found.acquired_records if found is not None else []
        return [(run.first_offset, run.last_offset) for run in runs]

    def at_home(self) -> RequestContext:
        return RequestContext(self.home, 0, "c", "h", 1)

    async def starts(self) -> dict[int, int]:
        asked = DescribeShareGroupOffsetsRequest(
            [DescribeShareGroupOffsetsRequestGroup(self.group, None)]
        )
        answer = await k90_describe_share_group_offsets.handle(self.at_home(), asked)
        (group,) = answer.groups
        assert group.error_code == 0
        return {one.partition_index: one.start_offset for t in group.topics for one in t.partitions}


@pytest.fixture
def shared(with_workers: Callable[..., None]) -> Callable[..., None]:
    def run(body: Callable[[Shared], Any]) -> None:
        async def begun(workers: Any) -> None:
            one = Shared(workers)
            await one.begin()
            await body(one)

        with_workers(begun)

    return run


def test_members_share_the_partitions_of_every_worker(shared: Any) -> None:
    async def body(one: Shared) -> None:
        for partition in range(3):
            assert await one.acquired(partition) == [(0, 9)]
            assert await one.acquired(partition, (0, partition)) == []
        assert await one.starts() == {0: 1, 1: 2, 2: 3}
        (lag,) = await one.home.lags.measure(one.group)
        assert [(part.partition, part.lag) for part in lag.partitions] == [(0, 9), (1, 8), (2, 7)]

    shared(body)


def test_what_was_accepted_stays_so_over_a_workers_death(shared: Any) -> None:
    async def body(one: Shared) -> None:
        at = next(n for n in range(3) if one.workers.owner("t", n) is not one.home)
        assert await one.acquired(at) == [(0, 9)]
        await one.acquired(at, (0, 3))
        index = one.workers.all.index(one.workers.owner("t", at))
        await one.workers.all[index].close()
        one.workers.all[index] = await one.workers.open(index)
        one.epochs.clear()
        assert await one.acquired(at) == [(4, 9)]

    shared(body)


def test_dead_letters_for_a_worker_that_stopped_first_are_written_later(shared: Any) -> None:
    async def body(one: Shared) -> None:
        all_ = one.workers.all
        found: list[int] = []
        while not found:  # which worker has which partition is the topics' ids to say
            await one.home.topics.create("dlq.t", 3, {ALLOWED: "true"})
            owner = one.workers.owner
            found = [n for n in range(3) if owner("dlq.t", n) is not owner("t", n)]
            if not found:
                await one.home.topics.delete("dlq.t")
        at = found[0]
        await one.home.group_configs.alter(
            one.group, lambda old: {**old, DEAD_LETTER_TOPIC: "dlq.t"}, in_use=False
        )
        await one.home.peers.tell(Change.GROUP_CONFIGS)
        source = all_.index(one.workers.owner("t", at))
        grave = all_.index(one.workers.owner("dlq.t", at))
        assert await one.acquired(at) == [(0, 9)]
        await all_[grave].close()
        await one.fetch(at, (0, 9), REJECT)
        await asyncio.sleep(0.01)  # they are on their way
        await all_[source].close()
        assert all_[source].dead_letters.counts.lost_of == {}
        for index in {source, grave}:
            all_[index] = await one.workers.open(index)
        log = all_[grave].topics.partition("dlq.t", at).log
        async with asyncio.timeout(10):
            while log.offsets().high_watermark < 10:
                await asyncio.sleep(0.01)

    shared(body)


def test_a_group_that_does_not_exist_has_no_session_anywhere(shared: Any) -> None:
    async def body(one: Shared) -> None:
        one.group = next(
            name for name in (f"no{n}" for n in range(99)) if one.home.ownership.is_my_group(name)
        )
        for partition in range(3):
            answer = await one.fetch(partition)
            assert answer.error_code == ErrorCode.GROUP_ID_NOT_FOUND

    shared(body)


def test_a_member_that_was_given_up_holds_nothing_anywhere(shared: Any) -> None:
    async def body(one: Shared) -> None:
        for partition in range(3):
            assert await one.acquired(partition) == [(0, 9)]
        for watcher in one.home.groups._hosted.lapsed:
            watcher(one.group, one.member)
        await one.home.share_elsewhere.close()
        one.epochs.clear()
        one.member = one.member[:-1] + "2"
        for partition in range(3):
            assert await one.acquired(partition) == [(0, 9)]

    shared(body)


def test_a_deleted_group_begins_anew_everywhere(shared: Any) -> None:
    async def body(one: Shared) -> None:
        for partition in range(3):
            await one.acquired(partition)
            await one.acquired(partition, (0, 4))
        await one.leave()
        asked = DeleteGroupsRequest([one.group])
        answer = await k42_delete_groups.handle(one.at_home(), asked)
        assert [result.error_code for result in answer.results] == [0]
        for partition in range(3):
            answer = await one.fetch(partition)
            assert answer.error_code in (
                ErrorCode.GROUP_ID_NOT_FOUND,
                ErrorCode.SHARE_SESSION_NOT_FOUND,
            )
        one.epochs.clear()
        await one.join()
        for partition in range(3):
            assert await one.acquired(partition) == [(0, 9)]

    shared(body)


def test_administrators_move_and_forget_offsets_of_every_worker(shared: Any) -> None:
    async def body(one: Shared) -> None:
        for partition in range(3):
            await one.acquired(partition)
        await one.leave()
        for partition in range(3):
            one.workers.owner("t", partition).share.connection_closed(100 + partition)
        parts = [AlterShareGroupOffsetsRequestPartition(n, 5 + n) for n in range(3)]
        topics = [AlterShareGroupOffsetsRequestTopic("t", parts)]
        asked = AlterShareGroupOffsetsRequest(one.group, topics)
        answer = await k91_alter_share_group_offsets.handle(one.at_home(), asked)
        told = answer.responses[0].partitions
        assert [part.error_code for part in told] == [0, 0, 0]
        assert await one.starts() == {0: 5, 1: 6, 2: 7}
        forget = DeleteShareGroupOffsetsRequest(
            one.group, [DeleteShareGroupOffsetsRequestTopic("t")]
        )
        forgotten = await k92_delete_share_group_offsets.handle(one.at_home(), forget)
        assert forgotten.error_code == 0
        assert await one.starts() == {}

    shared(body)


def test_nothing_is_said_of_a_worker_that_cannot_be_asked(
    shared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elsewhere, "PATIENCE_S", 0.1)

    async def body(one: Shared) -> None:
        for partition in range(3):
            await one.acquired(partition)
        await one.workers.all[1].close()
        asked = DescribeShareGroupOffsetsRequest(
            [DescribeShareGroupOffsetsRequestGroup(one.group, None)]
        )
        answer = await k90_describe_share_group_offsets.handle(one.at_home(), asked)
        assert answer.groups[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        await one.leave()
        forget = DeleteShareGroupOffsetsRequest(
            one.group, [DeleteShareGroupOffsetsRequestTopic("t")]
        )
        forgotten = await k92_delete_share_group_offsets.handle(one.at_home(), forget)
        assert forgotten.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE

    shared(body)
