"""Share partitions between their automaton and the catalog."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.broker import Broker, BrokerOptions, OpenError
from headrace.broker.share import share_groups
from headrace.broker.share.rows import record_of, row_of
from headrace.broker.share.sessions import CLOSING, EPOCH_LAST, Sessions
from headrace.groups.share_requests import ShareHeartbeat
from headrace.groups.share_steps import Acknowledgement, Acquire, SharePartitionRecord
from headrace.groups.share_window import RecordState
from headrace.wire.errors import ErrorCode, RequestError

KEPT = st.sampled_from([RecordState.AVAILABLE, RecordState.ARCHIVING, RecordState.FINISHED])
RUNS = st.lists(st.tuples(st.integers(1, 9), KEPT, st.integers(0, 5)), max_size=9)


@pytest.fixture
def with_share(tmp_path):
    """Run `body(broker)` with topic `t` of three partitions and share group `g`."""

    def run(body, **options):
        async def opened():
            broker = await Broker.open(BrokerOptions(str(tmp_path / "data"), "os", **options))
            try:
                if "t" not in broker.topics.by_name:
                    await broker.topics.create("t", 3)
                await broker.groups.share_heartbeat(
                    "g", ShareHeartbeat("m", 0, names=frozenset({"t"}))
                )
                return await body(broker)
            finally:
                await broker.close()

        return asyncio.run(opened())

    return run


async def _begin(broker, index=0, group_id="g"):
    return await broker.share.begin(group_id, broker.topics.get("t").id, index)


def _acquire(broker, shared, session, last):
    """As if the log held as many records."""
    shared.automaton.acquire(Acquire(session.member_id, 0, last + 1, [(0, last)], 500), 0)
    broker.share.locked(session, shared)


@given(st.integers(0, 1 << 40), st.integers(0, 9), RUNS)
def test_a_row_holds_the_whole_record(start, epoch, lengths):
    runs, first = [], start
    for length, state, count in lengths:
        runs.append((first, first + length - 1, state, count))
        first += length
    record = SharePartitionRecord(start, epoch, tuple(runs))
    assert record_of(row_of("g", UUID(int=7), 1, record)) == record


@pytest.mark.parametrize(
    "runs", ["", "{}x", "[[0,0,0]]", "[[1,1,0]]", "[[1,0]]", "[1]", "[[1,9,0]]"]
)
def test_a_row_that_was_not_made_here_is_named(with_share, runs):
    async def damage(broker):
        shared = await _begin(broker)
        record = shared.automaton.record()
        row = replace(row_of("g", shared.partition.topic.id, 0, record), runs=runs)
        await broker.catalog.share_partitions.save(row)

    async def never(_):
        raise AssertionError

    with_share(damage)
    with pytest.raises(OpenError, match=r"share group 'g', topic id .*, partition 0"):
        with_share(never)


def test_steps_during_one_write_share_the_next(with_share):
    async def body(broker):
        shared = await _begin(broker)
        session = broker.share.session("g", "m", 0, 1)
        _acquire(broker, shared, session, 99)
        rows = broker.catalog.share_partitions
        saved, save = [], rows.save

        async def count(row):
            saved.append(row)
            await save(row)

        rows.save = count
        waiting = [
            broker.share.acknowledge(session, shared, [Acknowledgement(offset, offset, [1])])
            for offset in range(50)
        ]
        await asyncio.gather(*waiting)
        assert len(saved) == 1
        assert saved[0].start_offset == 50

    with_share(body)


def test_a_failed_write_is_told_and_the_next_takes_it_along(with_share):
    async def body(broker):
        shared = await _begin(broker)
        session = broker.share.session("g", "m", 0, 1)
        _acquire(broker, shared, session, 9)
        rows = broker.catalog.share_partitions
        save = rows.save

        async def fail(_):
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "the disk is full")

        rows.save = fail
        with pytest.raises(RequestError, match="disk is full"):
            await broker.share.acknowledge(session, shared, [Acknowledgement(0, 4, [1])])
        rows.save = save
        await broker.share.acknowledge(session, shared, [Acknowledgement(5, 5, [1])])
        (row,) = await rows.load_all()
        assert row.start_offset == 6

    with_share(body)


def test_a_group_that_cannot_be_kept_does_not_begin(with_share):
    async def body(broker):
        async def fail(_):
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "the disk is full")

        save, broker.catalog.share_partitions.save = broker.catalog.share_partitions.save, fail
        both = await asyncio.gather(_begin(broker), _begin(broker), return_exceptions=True)
        assert [error.code for error in both] == [ErrorCode.KAFKA_STORAGE_ERROR] * 2
        assert not list(broker.share.all())
        broker.catalog.share_partitions.save = save
        one, two = await asyncio.gather(_begin(broker), _begin(broker))
        assert one is two

    with_share(body)


def test_share_partitions_are_bounded(with_share, monkeypatch):
    monkeypatch.setattr(share_groups, "SHARE_PARTITIONS_MAX", 2)

    async def body(broker):
        await asyncio.gather(_begin(broker, 0), _begin(broker, 1))
        with pytest.raises(RequestError):
            await _begin(broker, 2)

    with_share(body)


def test_configurations_of_a_group_hold_from_the_next_request_on(with_share):
    async def body(broker):
        shared = await _begin(broker)
        assert shared.automaton.settings.delivery_count_max == 5
        change = {"share.delivery.count.limit": "7"}
        await broker.group_configs.alter("g", lambda _: change, in_use=True)
        assert (await _begin(broker)).automaton.settings.delivery_count_max == 7

    with_share(body)


def test_session_epochs_begin_again_after_the_last():
    sessions = Sessions(1)
    session = sessions.open("g", "m", 1)
    session.epoch = EPOCH_LAST
    assert sessions.find("g", "m", 1, 1) is session
    assert session.epoch == 1
    assert sessions.find("g", "m", CLOSING, 1) is session
    assert session.epoch == 1


def test_a_session_follows_its_member_to_another_connection():
    sessions = Sessions(1)
    session = sessions.open("g", "m", 1)
    sessions.find("g", "m", 1, 2)
    assert sessions.of_connection(1) == []
    assert sessions.of_connection(2) == [session]
    again = sessions.open("g", "m", 3)
    assert again.held is session.held
    assert sessions.of_connection(2) == []
    sessions.close(session)
    assert sessions.of_connection(3) == [again]
    sessions.close(again)
    assert len(sessions) == 0
