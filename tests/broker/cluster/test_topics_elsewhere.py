"""What one worker changes, the others know before it is told to be done."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace.broker.admin_configs import Resource, replace_configs
from headrace.broker.broker import Broker
from headrace.broker.cluster.refresh import Refresh
from headrace.groups.requests import Commit, OffsetToCommit
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigResourceType

from .conftest import Workers, name_of

WithWorkers = Callable[..., None]


def shown(workers: Workers) -> list[dict[str, tuple[int, dict[str, str]]]]:
    """What each worker has of every topic: partitions, overrides."""
    return [
        {t.name: (len(t.partitions), dict(t.config.overrides)) for t in b.topics.by_name.values()}
        for b in workers.all
    ]


def owned(workers: Workers, name: str) -> list[list[int]]:
    return [
        [one.index for one in broker.topics.get(name).partitions if one.is_mine]
        for broker in workers.all
    ]


def test_a_change_is_everybodys_when_it_is_done(with_workers: WithWorkers) -> None:
    async def body(workers: Workers) -> None:
        first, second, third = workers.all
        await first.topics.create("t", 4, {"retention.ms": "7"})
        assert shown(workers) == [{"t": (4, {"retention.ms": "7"})}] * 3
        await second.topics.add_partitions("t", 9)
        assert shown(workers) == [{"t": (9, {"retention.ms": "7"})}] * 3
        assert sorted(index for mine in owned(workers, "t") for index in mine) == list(range(9))
        await third.topics.alter_configs("t", lambda _: {"segment.ms": "9000"})
        assert shown(workers) == [{"t": (9, {"segment.ms": "9000"})}] * 3
        for index in range(9):
            await workers.write("t", index, b"v")
        assert first.topics.offline_partitions() == []
        await second.topics.delete("t")
        assert shown(workers) == [{}] * 3
        assert second.store.topic_ids() == set()

    with_workers(body)


def test_of_two_that_make_a_name_at_once_one_is_told_that_it_is_there(
    with_workers: WithWorkers,
) -> None:
    async def body(workers: Workers) -> None:
        for turn in range(5):
            name = f"t{turn}"
            made = await asyncio.gather(
                *(broker.topics.create(name, 3) for broker in workers.all), return_exceptions=True
            )
            refused = [one for one in made if isinstance(one, RequestError)]
            assert [one.code for one in refused] == [ErrorCode.TOPIC_ALREADY_EXISTS] * 2
            ensured = await asyncio.gather(*(b.topics.ensure(name) for b in workers.all))
            assert len({topic.id for topic in ensured}) == 1
            assert owned(workers, name) != [[0, 1, 2], [], []]
            deleted = await asyncio.gather(
                *(broker.topics.delete(name) for broker in workers.all), return_exceptions=True
            )
            gone = [one for one in deleted if one is not None]
            assert {getattr(one, "code", one) for one in gone} <= {
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            }
            assert len(gone) < 3
        assert shown(workers) == [{}] * 3
        assert workers.all[0].store.topic_ids() == set()

    with_workers(body)


def test_changes_of_one_topic_by_all_at_once_are_all_made_or_refused(
    with_workers: WithWorkers,
) -> None:
    """A change that began with what another has changed since is refused, never half lost."""

    async def body(workers: Workers) -> None:
        await workers.all[0].topics.create("t", 1)

        def set_one(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
            return lambda values: {**values, name: "9000"}

        names = ("segment.ms", "retention.ms", "delete.retention.ms")
        outcomes = await asyncio.gather(
            *(
                broker.topics.alter_configs("t", set_one(name))
                for broker, name in zip(workers.all, names, strict=True)
            ),
            return_exceptions=True,
        )
        made = {n: "9000" for n, one in zip(names, outcomes, strict=True) if one is None}
        assert made
        refused = [one for one in outcomes if one is not None]
        assert all(
            isinstance(one, RequestError) and one.code is ErrorCode.KAFKA_STORAGE_ERROR
            for one in refused
        )
        await asyncio.gather(*(broker.topics.reload() for broker in workers.all))
        assert shown(workers) == [{"t": (1, made)}] * 3

    with_workers(body)


def test_broker_and_group_configurations_are_everybodys_too(with_workers: WithWorkers) -> None:
    async def body(workers: Workers) -> None:
        first, second, third = workers.all
        everybody = Resource(ConfigResourceType.BROKER, "")
        values = [("log.retention.ms", "12345")]
        await replace_configs(first, everybody, values, validate_only=False)
        group = Resource(ConfigResourceType.GROUP, "g")
        await replace_configs(
            second, group, [("consumer.session.timeout.ms", "50000")], validate_only=False
        )
        for broker in workers.all:
            assert broker.configs.text("log.retention.ms") == "12345"
            assert broker.group_configs.integer("g", "consumer.session.timeout.ms") == 50_000
        await replace_configs(third, group, [], validate_only=False)
        assert [broker.group_configs.overrides("g") for broker in workers.all] == [{}] * 3

    with_workers(body)


def test_who_was_away_is_told_when_it_is_linked_again(
    with_workers: WithWorkers, until_holds: Any
) -> None:
    async def body(workers: Workers) -> None:
        first, second, _ = workers.all
        await second.close()
        await first.topics.create("t", 3)
        workers.all[1] = await workers.open(1)
        assert owned(workers, "t")[1]
        await workers.all[2].topics.delete("t")
        await until_holds(lambda: shown(workers) == [{}] * 3)

    with_workers(body)


def test_offsets_that_come_after_another_deleted_the_topic_do_not_outlive_it(
    with_workers: WithWorkers,
) -> None:
    async def body(workers: Workers) -> None:
        first, second, _ = workers.all
        await first.topics.create("t", 1)
        group_id = name_of(1, second.ownership.owner_of_group)
        commit = Commit((OffsetToCommit("t", 0, 5, -1, ""),), "", -1, None)
        await second.groups.commit(group_id, commit)
        # As if the commit was on its way when the other worker deleted the rows.
        topic = first.topics.get("t")
        await first.catalog.topics.delete(topic.id, "t")
        await second.catalog.offsets.commit(group_id, [("t", 0, 6, -1, "")], 1)
        await second.topics.reload()
        assert dict(second.groups.offsets(group_id)) == {}
        for hosted in second.groups._hosted:
            await hosted.settled()
        assert await second.catalog.offsets.load_all() == []
        await first.topics.reload()

    with_workers(body)


def test_who_asks_while_a_round_runs_gets_a_round_of_its_own() -> None:
    async def main() -> None:
        begun, gate = [0], asyncio.Event()

        async def work() -> None:
            begun[0] += 1
            await gate.wait()

        refresh = Refresh(work)
        first = asyncio.create_task(refresh())
        while not begun[0]:
            await asyncio.sleep(0)
        late = [asyncio.create_task(refresh()) for _ in range(3)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, *late)
        assert begun[0] == 2

    asyncio.run(main())


@pytest.fixture
def until_holds() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)

    return wait


def test_a_round_does_not_take_back_what_is_being_set_for_a_group(
    with_workers: WithWorkers,
) -> None:
    async def set_for(broker: Broker, group_id: str, timeout_ms: str) -> None:
        values = {"consumer.session.timeout.ms": timeout_ms}
        await broker.group_configs.alter(group_id, lambda _: values, in_use=False)

    async def body(workers: Workers) -> None:
        one, two, _ = workers.all
        for timeout_ms in ("46000", "47000"):
            reloading = asyncio.create_task(one.group_configs.reload())
            await asyncio.sleep(0)  # it asks the catalog
            await set_for(one, "g", timeout_ms)
            await reloading
            seen = one.group_configs.integer("g", "consumer.session.timeout.ms")
            assert seen == int(timeout_ms)
        with pytest.raises(RequestError):  # it has not heard yet, and looks now
            await set_for(two, "g", "48000")
        await set_for(two, "g", "48000")

    with_workers(body)
