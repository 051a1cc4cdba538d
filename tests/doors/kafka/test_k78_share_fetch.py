"""ShareFetch and ShareAcknowledge over sockets: who gets what, when, and what survives."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.testing import RunningBroker, running_broker
from headrace.testing.raw_client import RawClient, batch, records_of
from headrace.testing.share_member import ShareMember
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k78_share_fetch import (
    AcknowledgeType,
    AcquireMode,
    ShareFetchResponse,
)

ACCEPT, RELEASE, REJECT, RENEW = (
    [int(kind)]
    for kind in (
        AcknowledgeType.ACCEPT,
        AcknowledgeType.RELEASE,
        AcknowledgeType.REJECT,
        AcknowledgeType.RENEW,
    )
)
BROKER = {
    "group.share.min.record.lock.duration.ms": "1000",
    "group.share.record.lock.duration.ms": "1500",
    "group.share.delivery.count.limit": "3",
}
Join = Callable[..., ShareMember]


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with running_broker(broker=BROKER) as running:
        running.create_topic("t", 2)
        configure(running, **{"share.auto.offset.reset": "earliest"})
        yield running


def configure(broker: RunningBroker, group_id: str = "g", **values: str) -> None:
    async def alter(node: Any) -> None:
        await node.broker.group_configs.alter(group_id, lambda old: old | values, in_use=False)

    broker.call(alter)


@pytest.fixture
def join() -> Iterator[Join]:
    with contextlib.ExitStack() as stack:

        def make(broker: RunningBroker, group_id: str = "g", topic: str = "t") -> ShareMember:
            topic_id = broker.node.broker.topics.get(topic).id
            member = ShareMember(broker.host, broker.port, topic_id, group_id, topic=topic)
            stack.callback(member.client.close)
            return member

        yield make


def write(broker: RunningBroker, *sizes: int, partition: int = 0, topic: str = "t") -> None:
    """Batches of so many records each."""
    with RawClient(broker.host, broker.port) as client:
        for size in sizes:
            answer = client.produce(topic, partition, batch([b"v"] * size))
            assert answer.error_code == 0


def shared_of(broker: RunningBroker, index: int = 0, group_id: str = "g") -> Any:
    topic = broker.node.broker.topics.get("t")
    return broker.node.broker.share._partitions[group_id, topic.id.hex, index]


def test_members_share_a_partition_and_nobody_has_what_another_holds(
    broker: RunningBroker, join: Join
) -> None:
    one, two = join(broker), join(broker)
    write(broker, *[10] * 10)
    assert one.acquire(max_records=30) == [(0, 29, 1)]
    assert two.acquire() == [(30, 99, 1)]
    assert one.acquire((0, 29, ACCEPT)) == []
    assert shared_of(broker).automaton.start_offset == 30
    write(broker, 5)
    assert one.acquire() == [(100, 104, 1)]


def test_only_batches_that_hold_something_for_the_member_are_sent(
    broker: RunningBroker, join: Join
) -> None:
    one, two = join(broker), join(broker)
    write(broker, *[10] * 5)
    one.acquire()
    assert one.acknowledge((5, 12, RELEASE), (33, 33, RELEASE)) == 0
    found = two.fetch()
    assert [record.offset for record in records_of(found.records)] == [*range(20), *range(30, 40)]
    acquired = [(run.first_offset, run.last_offset) for run in found.acquired_records]
    assert acquired == [(5, 12), (33, 33)]
    assert found.current_leader.leader_id == 1


def test_record_limit_is_exact_and_batches_are_not(broker: RunningBroker, join: Join) -> None:
    one, two = join(broker), join(broker)
    write(broker, 10, 10)
    assert one.acquire(max_records=3, share_acquire_mode=AcquireMode.RECORD_LIMIT) == [(0, 2, 1)]
    assert two.acquire(max_records=3) == [(3, 9, 1)]


def test_records_of_a_member_whose_connection_dies_come_to_who_waits(
    broker: RunningBroker, join: Join
) -> None:
    one, two = join(broker), join(broker)
    write(broker, 10)
    assert one.acquire() == [(0, 9, 1)]
    assert two.acquire() == []
    began = time.monotonic()
    timer = threading.Timer(0.1, one.die)
    timer.start()
    assert two.acquire(max_wait_ms=10_000) == [(0, 9, 2)]
    assert time.monotonic() - began < 1.0, "long before the lock's time is up"
    timer.join()


def test_records_of_a_member_that_the_group_gave_up_come_to_others(join: Join) -> None:
    """Its host may be gone, and its connection not know."""
    quick = {
        "group.share.min.session.timeout.ms": "1000",
        "group.share.session.timeout.ms": "1000",
    }
    with running_broker(broker=quick) as running:
        running.create_topic("t")
        configure(running, **{"share.auto.offset.reset": "earliest"})
        silent = join(running)
        write(running, 10)
        assert silent.acquire() == [(0, 9, 1)]
        silent.client.send_request(silent.request([], 0, max_wait_ms=20_000), 2)
        assert join(running).acquire(max_wait_ms=10_000) == [(0, 9, 2)]
        _, answer = silent.client.read_answer(ShareFetchResponse, 2)
        assert answer.responses == [], "it waited before the other, and has no session any more"
        assert silent.acknowledge((0, 9, ACCEPT)) == ErrorCode.SHARE_SESSION_NOT_FOUND


def test_locks_end_and_can_be_renewed(broker: RunningBroker, join: Join) -> None:
    one, two = join(broker), join(broker)
    write(broker, 2)
    assert one.acquire() == [(0, 1, 1)]
    assert one.acknowledge((1, 1, RENEW)) == ErrorCode.INVALID_REQUEST, "it must say so"
    answer = one.ask((1, 1, RENEW), is_renew_ack=True, share_session_epoch=3)
    assert answer.error_code == ErrorCode.INVALID_REQUEST, "it asks for records as well"
    began = time.monotonic()
    while time.monotonic() - began < 1.0:
        assert one.acknowledge((1, 1, RENEW), renew=True) == 0
        time.sleep(0.05)
    assert two.acquire(max_wait_ms=10_000) == [(0, 0, 2)]
    assert 1.4 <= time.monotonic() - began < 2.4
    assert one.acknowledge((0, 0, ACCEPT)) == ErrorCode.INVALID_RECORD_STATE
    assert one.acknowledge((1, 1, ACCEPT)) == 0


def test_released_records_come_until_the_limit_and_rejected_ones_never(
    broker: RunningBroker, join: Join
) -> None:
    member = join(broker)
    write(broker, 2)
    assert member.acquire() == [(0, 1, 1)]
    assert member.acquire((0, 0, REJECT), (1, 1, RELEASE)) == [(1, 1, 2)]
    assert member.acquire((1, 1, RELEASE)) == [(1, 1, 3)]
    assert member.acquire((1, 1, RELEASE)) == []
    assert shared_of(broker).automaton.start_offset == 2


def test_a_group_begins_where_its_configuration_says(broker: RunningBroker, join: Join) -> None:
    write(broker, 3)
    late = join(broker, "latest")
    assert late.acquire() == []
    write(broker, 1)
    assert late.acquire() == [(3, 3, 1)]
    configure(broker, "young", **{"share.auto.offset.reset": "by_duration:PT0S"})
    configure(broker, "old", **{"share.auto.offset.reset": "by_duration:PT1H"})
    assert join(broker, "old").acquire() == [(0, 3, 1)]
    assert join(broker, "young").acquire() == []


def test_a_busy_partition_does_not_keep_others_from_their_turn(
    broker: RunningBroker, join: Join
) -> None:
    member = join(broker)
    write(broker, *[10] * 20, partition=0)
    write(broker, 5, partition=1)
    member.acquire(max_records=0)
    found = [member.acquire(max_records=10, partition=1) for _ in range(2)]
    assert [(0, 4, 1)] in found


def test_epochs_of_sessions_are_counted(broker: RunningBroker, join: Join) -> None:
    member = join(broker)
    write(broker, 1)
    answer = member.ask(share_session_epoch=1)
    assert answer.error_code == ErrorCode.SHARE_SESSION_NOT_FOUND
    assert member.acknowledge((0, 0, ACCEPT), epoch=0) == ErrorCode.INVALID_SHARE_SESSION_EPOCH
    answer = member.ask((0, 0, ACCEPT), share_session_epoch=0)
    assert answer.error_code == ErrorCode.INVALID_REQUEST
    assert member.acquire() == [(0, 0, 1)]
    for wrong in (2, 5):
        answer = member.ask(share_session_epoch=wrong)
        assert answer.error_code == ErrorCode.INVALID_SHARE_SESSION_EPOCH
    assert member.acknowledge((0, 0, RELEASE), epoch=1) == 0
    assert member.acquire(share_session_epoch=2) == [(0, 0, 2)]
    assert member.acknowledge(epoch=-1) == 0
    assert member.ask(share_session_epoch=3).error_code == ErrorCode.SHARE_SESSION_NOT_FOUND
    assert join(broker).acquire() == [(0, 0, 3)], "closing gave it back"


def test_sessions_are_bounded(join: Join) -> None:
    with running_broker(broker={"group.share.max.share.sessions": "1"}) as broker:
        broker.create_topic("t")
        one, two = join(broker), join(broker)
        assert one.ask().error_code == 0
        assert two.ask().error_code == ErrorCode.SHARE_SESSION_LIMIT_REACHED
        one.die()
        two.epochs = iter(range(9))
        deadline = time.monotonic() + 5
        while two.ask(share_session_epoch=0).error_code:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_what_cannot_be_fetched_is_named_and_the_rest_is_answered(
    broker: RunningBroker, join: Join
) -> None:
    member = join(broker)
    assert member.fetch(partition=9).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    write(broker, 1)
    answer = member.ask()
    told = {p.partition_index: p.error_code for p in answer.responses[0].partitions}
    assert told == {0: 0, 9: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    assert answer.acquisition_lock_timeout_ms == 1500
    nobody = join(broker)
    nobody.group_id = "none"
    assert nobody.ask().error_code == ErrorCode.GROUP_ID_NOT_FOUND
    nobody.group_id = ""
    assert nobody.ask().error_code == ErrorCode.INVALID_REQUEST


def test_bad_acknowledgements_change_nothing(broker: RunningBroker, join: Join) -> None:
    one, two = join(broker), join(broker)
    write(broker, 10)
    one.acquire(max_records=5, share_acquire_mode=AcquireMode.RECORD_LIMIT)
    two.acquire()
    state = ErrorCode.INVALID_RECORD_STATE
    assert one.acknowledge((0, 5, ACCEPT)) == state
    assert one.acknowledge((0, 4, ACCEPT), (5, 5, ACCEPT)) == state
    assert one.acknowledge((0, 99, ACCEPT)) == ErrorCode.INVALID_REQUEST
    assert one.acknowledge((0, 4, [1, 1])) == ErrorCode.INVALID_REQUEST
    assert one.acknowledge((0, 4, [7])) == ErrorCode.INVALID_REQUEST
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert one.acknowledge((0, 4, ACCEPT), partition=1) == unknown
    assert one.acknowledge((0, 4, [1, 2, 3, 1, 0])) == 0
    assert shared_of(broker).automaton.start_offset == 1
    assert one.acquire() == [(1, 1, 2)]


def test_locks_of_a_partition_are_bounded(join: Join) -> None:
    with running_broker(broker={"group.share.partition.max.record.locks": "100"}) as broker:
        broker.create_topic("t")
        configure(broker, **{"share.auto.offset.reset": "earliest"})
        member = join(broker)
        write(broker, 90, 90)
        assert member.acquire() == [(0, 99, 1)]
        assert member.acquire() == []
        assert member.acquire((0, 9, ACCEPT)) == [(100, 109, 1)]


def test_records_that_are_deleted_are_not_waited_for(broker: RunningBroker, join: Join) -> None:
    member = join(broker)
    write(broker, 10, 10)
    member.acquire(max_records=10)

    async def delete(node: Any) -> None:
        await node.broker.topics.partition("t", 0).log.delete_before(15)

    broker.call(delete)
    assert member.acquire() == [(15, 19, 1)]
    assert member.acknowledge((0, 9, ACCEPT)) == 0
    assert member.acknowledge((15, 19, ACCEPT)) == 0
    assert shared_of(broker).automaton.start_offset == 20


def test_what_was_accepted_stays_so_and_the_rest_comes_again_after_a_restart(
    tmp_path: Any, join: Join
) -> None:
    data = str(tmp_path / "data")
    with running_broker(data) as broker:
        broker.create_topic("t")
        configure(broker, **{"share.auto.offset.reset": "earliest"})
        configure(broker, "passing", **{"headrace.group.durable": "false"})
        write(broker, 10)
        member = join(broker)
        assert member.acquire() == [(0, 9, 1)]
        assert member.acknowledge((0, 2, ACCEPT), (4, 4, ACCEPT), (6, 6, RELEASE)) == 0
        assert join(broker, "passing").acquire() == []
        assert len(broker.node.broker.share._partitions) == 2
    with running_broker(data) as broker:
        assert len(broker.node.broker.share._partitions) == 1
        assert join(broker).acquire() == [(3, 3, 2), (5, 9, 2)]


def test_topics_and_groups_take_what_was_shared_along(
    broker: RunningBroker, join: Join, until: Any
) -> None:
    member = join(broker)
    write(broker, 10)
    assert member.acquire() == [(0, 9, 1)]
    broker.call(lambda node: node.broker.topics.delete("t"))
    assert member.fetch().error_code == ErrorCode.UNKNOWN_TOPIC_ID
    broker.create_topic("t")
    again = join(broker)
    write(broker, 3)
    assert again.acquire() == [(0, 2, 1)]
    for one in (member, again):
        one.leave()
    broker.call(lambda node: node.broker.groups.delete("g"))
    assert not broker.node.broker.share._partitions

    async def rows(node: Any) -> Any:
        return await node.broker.catalog.share_partitions.load_all()

    until(lambda: not broker.call(rows), "forgetting the group's rows")


def test_a_long_poll_ends_with_its_wait_and_wakes_one_after_the_other(
    broker: RunningBroker, join: Join
) -> None:
    members = [join(broker) for _ in range(3)]
    for member in members:
        member.ask()
        request = member.request(
            [], 0, max_wait_ms=10_000, max_records=1, share_acquire_mode=AcquireMode.RECORD_LIMIT
        )
        member.client.send_request(request, 2)
    time.sleep(0.05)
    write(broker, 3)
    acquired = set()
    for member in members:
        _, answer = member.client.read_answer(ShareFetchResponse, 2)
        acquired |= {run.first_offset for run in answer.responses[0].partitions[0].acquired_records}
    assert acquired == {0, 1, 2}
    began = time.monotonic()
    assert members[0].acquire(max_wait_ms=200) == []
    assert 0.18 <= time.monotonic() - began < 1.0


def test_records_that_are_given_up_wait_for_their_dead_letters_over_a_restart(
    tmp_path: Any, join: Join, until: Any
) -> None:
    data = str(tmp_path / "data")
    with running_broker(data, broker=BROKER) as broker:
        broker.create_topic("t")
        broker.create_topic("dlq.t", configs={"errors.deadletterqueue.group.enable": "true"})
        configure(
            broker,
            **{"share.auto.offset.reset": "earliest", "errors.deadletterqueue.topic.name": "dlq.t"},
        )
        write(broker, 4)
        member = join(broker)
        assert member.acquire() == [(0, 3, 1)]
        assert member.acknowledge((0, 0, REJECT)) == 0
        until(lambda: shared_of(broker).automaton.start_offset == 1, "the first dead letter")

        async def never(*_: object) -> None:
            await asyncio.Event().wait()

        broker.node.broker.dead_letters.send = never
        assert member.acquire((1, 1, REJECT), (2, 2, ACCEPT), (3, 3, RELEASE)) == [(3, 3, 2)]
        assert shared_of(broker).automaton.start_offset == 1
    with running_broker(data, broker=BROKER) as broker:
        until(lambda: shared_of(broker).automaton.start_offset == 3, "the second dead letter")
        with RawClient(broker.host, broker.port) as client:
            dead = client.read_all("dlq.t", 0)
        offsets = [dict(record.headers)["__dlq.errors.offset"] for record in dead]
        assert offsets == [b"0", b"1"]
