import asyncio

import pytest

from headrace.broker import transaction_coordinator
from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.broker.transaction_requests import End
from headrace.doors.kafka import k09_offset_fetch
from headrace.doors.kafka.k28_txn_offset_commit import API
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k09_offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from headrace.wire.messages.k28_txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


async def commit(asker, version, fields, *offsets, **more):
    """Codes by partition of topic t."""
    partitions = [
        TxnOffsetCommitRequestPartition(index, offset, -1, "m") for index, offset in offsets
    ]
    topics = [TxnOffsetCommitRequestTopic("t", partitions)]
    request = TxnOffsetCommitRequest(**({"group_id": "g"} | fields | more), topics=topics)
    answer = await asker.ask(API, version, request)
    return [one.error_code for one in answer.topics[0].partitions]


async def fetch(asker, version, *partitions, stable=True):
    """(offset, code) by partition of topic t."""
    fetch_api = k09_offset_fetch.API
    if version < 8:
        topics = [OffsetFetchRequestTopic("t", list(partitions))]
        request = OffsetFetchRequest(group_id="g", topics=topics, require_stable=stable)
        answer = await asker.ask(fetch_api, version, request)
    else:
        topics = [OffsetFetchRequestTopics(name="t", partition_indexes=list(partitions))]
        groups = [OffsetFetchRequestGroup("g", topics=topics)]
        request = OffsetFetchRequest(groups=groups, require_stable=stable)
        (answer,) = (await asker.ask(fetch_api, version, request)).groups
    return [(one.committed_offset, one.error_code) for one in answer.topics[0].partitions]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("commits", [True, False])
def test_offsets_count_when_the_transaction_is_committed(with_transaction, version, commits):
    async def body(asker, transactor):
        assert await commit(asker, version, transactor.fields, (0, 5), (1, 6)) == [0, 0]
        unstable = (-1, ErrorCode.UNSTABLE_OFFSET_COMMIT)
        for fetch_version in (7, 8, 9):
            assert await fetch(asker, fetch_version, 0, 1, 2) == [unstable, unstable, (-1, 0)]
            assert await fetch(asker, fetch_version, 0, stable=False) == [(-1, 0)]
        await asker.broker.transactions.end("x", End(transactor.producer, commits))
        expected = [(5, 0), (6, 0)] if commits else [(-1, 0), (-1, 0)]
        assert await fetch(asker, 8, 0, 1) == expected
        assert await asker.broker.catalog.pending_offsets.load_all() == []
        durable = await asker.broker.catalog.offsets.load_all()
        assert [row.offset for row in durable] == ([5, 6] if commits else [])

    with_transaction(body)


def test_pending_offsets_outlive_a_restart(with_groups, with_transaction):
    async def first(asker, transactor):
        assert await commit(asker, 3, transactor.fields, (0, 5)) == [0]
        return transactor.producer

    producer = with_transaction(first)

    async def second(asker):
        unstable = (-1, ErrorCode.UNSTABLE_OFFSET_COMMIT)
        assert await fetch(asker, 8, 0) == [unstable]
        await asker.broker.groups.sweep()
        assert await fetch(asker, 8, 0) == [unstable]
        await asker.broker.transactions.end("x", End(producer, True))
        assert await fetch(asker, 8, 0) == [(5, 0)]

    with_groups(second)


def test_a_later_plain_commit_is_not_undone_by_the_transaction(with_transaction):
    async def body(asker, transactor):
        assert await commit(asker, 3, transactor.fields, (0, 5), (1, 6)) == [0, 0]
        later = Commit((OffsetToCommit("t", 0, 9, -1, ""),))
        assert await asker.broker.groups.commit("g", later) == [0]
        await asker.broker.transactions.end("x", End(transactor.producer, True))
        assert await fetch(asker, 8, 0, 1) == [(9, 0), (6, 0)]

    with_transaction(body)


def test_a_deleted_group_or_topic_takes_its_pending_offsets_along(with_transaction):
    async def body(asker, transactor):
        assert await commit(asker, 3, transactor.fields, (0, 5)) == [0]
        await asker.broker.groups.delete("g")
        assert await commit(asker, 3, transactor.fields, (1, 6)) == [0]
        await asker.broker.topics.delete("t")
        assert await asker.broker.catalog.pending_offsets.load_all() == []
        await asker.broker.transactions.end("x", End(transactor.producer, True))
        assert await asker.broker.catalog.offsets.load_all() == []

    with_transaction(body)


def test_a_group_whose_deletion_fails_gets_its_offsets_all_the_same(with_transaction, monkeypatch):
    async def body(asker, transactor):
        assert await commit(asker, 3, transactor.fields, (0, 5)) == [0]
        broker = asker.broker
        ended = asyncio.Event()

        async def fail(_: str) -> None:
            await ended.wait()
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")

        monkeypatch.setattr(broker.catalog.groups, "delete", fail)
        monkeypatch.setattr(transaction_coordinator, "RETRY_S", 0.01)
        deleting = asyncio.ensure_future(broker.groups.delete("g"))
        while "g" in [group.group_id for group in broker.groups.list()]:
            await asyncio.sleep(0)
        ending = asyncio.ensure_future(broker.transactions.end("x", End(transactor.producer, True)))
        while not broker.stats.transactions.end_retries and not ending.done():
            await asyncio.sleep(0.001)
        ended.set()
        with pytest.raises(RequestError):
            await deleting
        await ending
        assert await fetch(asker, 8, 0) == [(5, 0)]

    with_transaction(body)


def test_offsets_of_a_transaction_that_nobody_knows_are_forgotten_at_the_start(
    with_groups, with_transaction
):
    async def first(asker, transactor):
        assert await commit(asker, 3, transactor.fields, (0, 5)) == [0]
        stray = [("t", 1, 6, -1, "")]
        await asker.broker.catalog.pending_offsets.replace("g", 4711, stray)
        await asker.broker.catalog.pending_offsets.replace("g2", 4711, stray)

    with_transaction(first)

    async def second(asker):
        assert await fetch(asker, 8, 0, 1) == [(-1, ErrorCode.UNSTABLE_OFFSET_COMMIT), (-1, 0)]
        pending = await asker.broker.catalog.pending_offsets.load_all()
        assert [row.offset for row in pending] == [5]

    with_groups(second)


@pytest.mark.parametrize("version", [4, 5])
def test_the_group_is_added_first_or_by_committing(with_transaction, version):
    async def body(asker, transactor):
        codes = await commit(asker, version, transactor.fields, (0, 5), group_id="another")
        assert codes == [0 if version == 5 else ErrorCode.INVALID_TXN_STATE]

    with_transaction(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"producer_epoch": 9}, ErrorCode.INVALID_PRODUCER_EPOCH),
        ({"producer_id": 9}, ErrorCode.INVALID_PRODUCER_ID_MAPPING),
        ({"generation_id": 1, "member_id": "m"}, ErrorCode.ILLEGAL_GENERATION),
        ({"group_id": ""}, ErrorCode.INVALID_GROUP_ID),
    ],
)
def test_refusals(with_transaction, change, code):
    async def body(asker, transactor):
        assert await commit(asker, 3, transactor.fields | change, (0, 5)) == [code]

    with_transaction(body)


def test_only_the_member_it_is_for_or_nobody_in_particular(with_transaction, enter):
    async def body(asker, transactor):
        member_id = await enter(asker)
        mine = {"member_id": member_id, "group_instance_id": "i"}
        assert await commit(asker, 3, transactor.fields, (0, 5), generation_id=1, **mine) == [0]
        old = await commit(asker, 3, transactor.fields, (0, 5), generation_id=0, **mine)
        assert old == [ErrorCode.ILLEGAL_GENERATION]
        other = await commit(asker, 3, transactor.fields, (0, 5), generation_id=1, member_id="o")
        assert other == [ErrorCode.UNKNOWN_MEMBER_ID]
        assert await commit(asker, 2, transactor.fields, (0, 5)) == [0]

    with_transaction(body)
