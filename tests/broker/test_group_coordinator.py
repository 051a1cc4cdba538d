"""The coordinator on a virtual clock, and a catalog whose disk can be held up, fail and recover."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headrace.groups.requests import Commit, Heartbeat, Join, Leave, Leaving, OffsetToCommit, Sync
from headrace.groups.settings import GroupSettings
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode, RequestError

DAY_MS = 24 * 3600 * 1000


def promise(**settings: Any) -> Callable[[Callable[[Any], Coroutine[Any, Any, None]]], Any]:
    """Run the test with a started world, and see that it leaves nobody waiting."""

    def decorate(body: Callable[[Any], Coroutine[Any, Any, None]]) -> Any:
        def test(group_world: Callable[..., Any]) -> None:
            async def run() -> None:
                world = group_world(**settings)
                await world.groups.start()
                await body(world)
                world.disk.free.set()
                await world.groups.close()
                assert not world.groups._hosted._parked

            asyncio.run(run())

        test.__name__ = body.__name__
        test.__doc__ = body.__doc__
        return test

    return decorate


# Order and durability


@promise()
async def test_nothing_is_told_before_it_is_durable(world):
    member_id = (await world.groups.join("g", world.join_request())).member_id
    world.disk.free.clear()
    joining = asyncio.create_task(world.groups.join("g", world.join_request(member_id)))
    await world.settle()
    beating = asyncio.create_task(world.groups.heartbeat("g", Heartbeat(member_id, 1)))
    await world.settle()
    assert not joining.done()
    assert not beating.done(), "an answer overtook the change that it shows"
    world.disk.free.set()
    assert (await joining).generation == 1
    assert (await beating).error is ErrorCode.NONE
    assert world.disk.rows["g"].generation == 1


@promise()
async def test_offsets_are_seen_when_they_are_durable(world):
    world.disk.free.clear()
    committing = asyncio.create_task(world.commit(5))
    await world.settle()
    assert world.offset() is None
    assert not committing.done()
    world.disk.free.set()
    assert await committing == [ErrorCode.NONE]
    assert world.offset() == 5
    assert world.disk.committed["g", "t", 0][0] == 5


@promise()
async def test_commits_of_one_group_share_writes_and_keep_their_order(world):
    world.disk.free.clear()
    commits = [asyncio.create_task(world.commit(offset)) for offset in range(100)]
    await world.settle()
    world.disk.free.set()
    await asyncio.gather(*commits)
    assert len(world.disk.writes) <= 2
    assert world.offset() == 99


@promise()
async def test_groups_do_not_wait_for_each_other(world):
    world.disk.free.clear()
    commits = [asyncio.create_task(world.commit(1, f"g{n}")) for n in range(10)]
    await world.settle()
    world.disk.free.set()
    await asyncio.gather(*commits)
    assert world.disk.writes == ["commit"] * 10


@promise()
async def test_full_disk_fails_a_commit_and_shows_nothing_of_it(world):
    await world.commit(1)
    world.disk.is_full = True
    with pytest.raises(RequestError) as refused:
        await world.commit(2)
    assert refused.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert world.offset() == 1
    world.disk.is_full = False
    assert await world.commit(3) == [ErrorCode.NONE]


@promise()
async def test_generation_that_could_not_be_saved_is_saved_before_it_is_told_again(world):
    member_id = (await world.groups.join("g", world.join_request())).member_id
    world.disk.is_full = True
    with pytest.raises(RequestError) as refused:
        await world.groups.join("g", world.join_request(member_id))
    assert refused.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
    world.disk.is_full = False
    assert (await world.groups.join("g", world.join_request(member_id))).generation == 1
    assert world.disk.rows["g"].generation == 1


# Members


@promise()
async def test_members_wait_for_each_other_and_for_the_leader(world):
    first = await world.enter()
    second = (await world.groups.join("g", world.join_request())).member_id
    joining = asyncio.create_task(world.groups.join("g", world.join_request(second)))
    await world.settle()
    beat = await world.groups.heartbeat("g", Heartbeat(first, 1))
    assert beat.error is ErrorCode.REBALANCE_IN_PROGRESS
    leader = await world.groups.join("g", world.join_request(first))
    assert (await joining).leader == first == leader.leader
    syncing = asyncio.create_task(world.groups.sync("g", Sync(second, 2)))
    await world.settle()
    await world.groups.sync("g", Sync(first, 2, ((second, b"yours"),)))
    assert (await syncing).assignment == b"yours"


@promise()
async def test_restart_goes_on_without_a_rebalance(world):
    member_id = await world.enter()
    await world.commit(4, member_id=member_id, generation=1)
    await world.restart()
    assert (await world.groups.heartbeat("g", Heartbeat(member_id, 1))).error is ErrorCode.NONE
    assert (await world.groups.sync("g", Sync(member_id, 1))).assignment == b"all"
    assert world.offset() == 4


@promise()
async def test_silent_member_is_removed_by_the_timer(world):
    await world.enter()
    world.wait(9_999)
    assert world.groups.describe("g").state is State.STABLE
    world.wait(1)
    assert world.groups.describe("g").state is State.EMPTY


@promise()
async def test_restart_starts_sessions_anew(world):
    await world.enter()
    world.wait(9_000)
    await world.restart()
    world.wait(9_000)
    assert world.groups.describe("g").state is State.STABLE
    world.wait(1_000)
    assert world.groups.describe("g").state is State.EMPTY


@promise()
async def test_real_timer_ends_the_initial_delay(world):
    clock = asyncio.get_running_loop().time
    hosted = world.groups._hosted
    hosted._alarm._now_ms = hosted._steady_ms = lambda: int(clock() * 1000)
    hosted._settings = GroupSettings(initial_rebalance_delay_ms=20)
    member_id = (await world.groups.join("g", world.join_request())).member_id
    joined = await asyncio.wait_for(world.groups.join("g", world.join_request(member_id)), 10)
    assert joined.generation == 1


@promise()
async def test_closed_connection_leaves_the_member_and_nothing_else(world):
    first = await world.enter()
    second = (await world.groups.join("g", world.join_request())).member_id
    joining = asyncio.create_task(world.groups.join("g", world.join_request(second)))
    await world.settle()
    joining.cancel()
    await asyncio.gather(joining, return_exceptions=True)
    assert not world.groups._hosted._parked
    assert (await world.groups.join("g", world.join_request(first))).generation == 2
    again = await world.groups.join("g", world.join_request(second))
    assert (again.generation, again.member_id) == (2, second)


@promise()
async def test_stopping_broker_sends_everyone_away(world):
    await world.enter()
    second = (await world.groups.join("g", world.join_request())).member_id
    joining = asyncio.create_task(world.groups.join("g", world.join_request(second)))
    await world.settle()
    await world.groups.close()
    with pytest.raises(RequestError) as refused:
        await joining
    assert refused.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
    with pytest.raises(RequestError):
        await world.commit(1)


@promise()
async def test_requests_to_a_group_that_does_not_exist_make_none(world):
    assert (await world.groups.heartbeat("g", Heartbeat("m", 1))).error is (
        ErrorCode.UNKNOWN_MEMBER_ID
    )
    assert (await world.groups.sync("g", Sync("m", 1))).error is ErrorCode.UNKNOWN_MEMBER_ID
    left = await world.groups.leave("g", Leave((Leaving("m", None),)))
    assert left.errors == (ErrorCode.UNKNOWN_MEMBER_ID,)
    answer = await world.groups.join("g", world.join_request("m"))
    assert answer.error is ErrorCode.UNKNOWN_MEMBER_ID
    refused = await world.groups.join("g", Join("", "consumer", (), 10_000, 10_000))
    assert refused.error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert list(world.groups.list()) == []


@promise()
async def test_id_that_nobody_uses_leaves_no_group(world):
    await world.groups.join("g", world.join_request())
    assert [group.group_id for group in world.groups.list()] == ["g"]
    world.wait(10_000)
    assert list(world.groups.list()) == []


@promise(groups_max=2)
async def test_groups_are_bounded(world):
    await world.commit(1, "g1")
    await world.commit(1, "g2")
    with pytest.raises(RequestError) as refused:
        await world.groups.join("g3", world.join_request())
    assert refused.value.code is ErrorCode.GROUP_MAX_SIZE_REACHED
    with pytest.raises(RequestError):
        await world.commit(1, "g3")
    assert await world.commit(2, "g1") == [ErrorCode.NONE]


@promise()
async def test_group_ids_are_bounded_and_empty_only_for_offsets(world):
    for group_id in ("", "g" * 256, "g" * 10_000):
        with pytest.raises(RequestError) as refused:
            await world.groups.join(group_id, world.join_request())
        assert refused.value.code is ErrorCode.INVALID_GROUP_ID
    assert await world.commit(3, "") == [ErrorCode.NONE]
    assert world.offset("") == 3
    with pytest.raises(RequestError):
        await world.commit(3, "g" * 256)


@promise()
async def test_member_ids_begin_with_who_they_are(world):
    dynamic = (await world.groups.join("g", world.join_request())).member_id
    assert dynamic.startswith("tester-")
    static = await world.enter("h", instance="worker-1")
    assert static.startswith("worker-1-")


# Offsets


@promise()
async def test_each_offset_is_judged_for_itself(world):
    offsets = (
        OffsetToCommit("t", 0, 1, -1, ""),
        OffsetToCommit("nowhere", 0, 2, -1, ""),
        OffsetToCommit("t", 4, 3, -1, ""),
        OffsetToCommit("t", 1, 4, -1, "x" * 4096),
        OffsetToCommit("t", 2, 5, -1, "x" * 4097),
        OffsetToCommit("t", 3, 6, -1, "\u00e9" * 2049),
    )
    assert await world.groups.commit("g", Commit(offsets)) == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NONE,
        ErrorCode.OFFSET_METADATA_TOO_LARGE,
        ErrorCode.OFFSET_METADATA_TOO_LARGE,
    ]
    assert set(world.groups.offsets("g")) == {("t", 0), ("t", 1)}


@promise()
async def test_member_of_a_missing_group_may_not_commit(world):
    assert await world.commit(1, generation=3, member_id="m") == [ErrorCode.ILLEGAL_GENERATION]
    commit = Commit((OffsetToCommit("t", 0, 1, -1, ""),), "m", 3)
    missing = ErrorCode.GROUP_ID_NOT_FOUND
    assert await world.groups.commit("g", commit, missing_group=missing) == [missing]
    assert list(world.groups.list()) == []


@promise()
async def test_deleted_topic_takes_its_offsets_along(world):
    await world.commit(1, topic="t")
    await world.commit(2, topic="u")
    world.groups.forget_topic("t")
    assert world.offset(topic="t") is None
    assert world.offset(topic="u") == 2


@promise()
async def test_commit_on_its_way_does_not_outlive_its_topic(world):
    world.disk.free.clear()
    commits = [asyncio.create_task(world.commit(offset)) for offset in (1, 2)]
    await world.settle()
    world.groups.forget_topic("t")
    world.disk.free.set()
    await asyncio.gather(*commits)
    await world.settle()
    assert world.offset() is None
    assert not world.disk.committed
    assert list(world.groups.list()) == []


# Deletion and retention


@promise()
async def test_deleted_group_is_gone_with_its_offsets(world):
    await world.commit(1)
    await world.groups.delete("g")
    assert world.offset() is None
    assert not world.disk.committed
    assert world.groups.describe("g") is None
    with pytest.raises(RequestError) as refused:
        await world.groups.delete("g")
    assert refused.value.code is ErrorCode.GROUP_ID_NOT_FOUND


@promise()
async def test_group_with_members_is_not_deleted(world):
    await world.enter()
    with pytest.raises(RequestError) as refused:
        await world.groups.delete("g")
    assert refused.value.code is ErrorCode.NON_EMPTY_GROUP


@promise()
async def test_group_that_could_not_be_deleted_is_still_there(world):
    await world.commit(1)
    world.disk.is_full = True
    with pytest.raises(RequestError) as refused:
        await world.groups.delete("g")
    assert refused.value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE
    world.disk.is_full = False
    assert world.offset() == 1
    await world.groups.delete("g")
    assert world.groups.describe("g") is None


@promise()
async def test_new_group_of_a_deleted_ones_name_begins_with_nothing(world):
    await world.commit(1)
    world.disk.free.clear()
    deleting = asyncio.create_task(world.groups.delete("g"))
    await world.settle()
    assert world.groups.describe("g") is None
    committing = asyncio.create_task(world.commit(9, partition=1))
    await world.settle()
    world.disk.free.set()
    await deleting
    assert await committing == [ErrorCode.NONE]
    assert set(world.groups.offsets("g")) == {("t", 1)}
    assert set(world.disk.committed) == {("g", "t", 1)}


@promise()
async def test_offsets_expire_seven_days_after_the_group_emptied(world):
    member_id = await world.enter()
    await world.commit(1, member_id=member_id, generation=1)
    world.now_ms += 30 * DAY_MS
    await world.groups.sweep()
    assert world.offset() == 1
    await world.groups.leave("g", Leave((Leaving(member_id, None),)))
    await world.restart()
    world.now_ms += 7 * DAY_MS - 1
    await world.groups.sweep()
    assert world.offset() == 1
    world.now_ms += 1
    await world.groups.sweep()
    await world.settle()
    assert world.groups.describe("g") is None
    assert not world.disk.rows
    assert not world.disk.committed


@promise()
async def test_offsets_without_a_group_expire_one_by_one(world):
    await world.commit(1, partition=0)
    world.now_ms += 4 * DAY_MS
    await world.commit(2, partition=1)
    world.now_ms += 4 * DAY_MS
    await world.groups.sweep()
    await world.settle()
    assert set(world.groups.offsets("g")) == {("t", 1)}
    world.now_ms += 4 * DAY_MS
    await world.groups.sweep()
    await world.settle()
    assert list(world.groups.list()) == []


@promise()
async def test_empty_group_without_offsets_is_swept_away(world):
    member_id = await world.enter()
    await world.groups.leave("g", Leave((Leaving(member_id, None),)))
    assert world.groups.describe("g").state is State.EMPTY
    await world.groups.sweep()
    await world.settle()
    assert world.groups.describe("g") is None


@promise()
async def test_description_shows_who_reads_what(world):
    member_id = await world.enter(instance="i")
    group = world.groups.describe("g")
    assert (group.state, group.protocol_type, group.protocol) == (State.STABLE, "consumer", "range")
    assert (group.generation, group.leader, group.rebalances) == (1, member_id, 1)
    (member,) = group.members
    assert (member.member_id, member.instance_id, member.client_id) == (member_id, "i", "tester")
    assert (member.metadata, member.assignment) == (b"m", b"all")
