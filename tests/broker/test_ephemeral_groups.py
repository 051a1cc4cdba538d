"""Groups that are told not to be kept, and the configuration that tells them so."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from headrace.broker import group_configs
from headrace.broker.admin_configs import ConfigChange, Resource, amend_configs, describe_configs
from headrace.broker.broker import Broker, BrokerOptions
from headrace.groups.requests import (
    Commit,
    Heartbeat,
    Join,
    Leave,
    Leaving,
    OffsetToCommit,
    Sync,
)
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigResourceType, ConfigSource
from headrace.wire.messages.k44_incremental_alter_configs import ConfigOperation

DURABLE = "headrace.group.durable"
OPTIONS = {"group.initial.rebalance.delay.ms": "0"}


@pytest.fixture
def with_broker(tmp_path: Path):
    """Run `body(broker)`; each call is another start on the same directory."""

    def run(body: Any) -> Any:
        async def opened() -> Any:
            broker = await Broker.open(
                BrokerOptions(str(tmp_path / "data"), "os", broker_configs=OPTIONS)
            )
            try:
                await broker.topics.ensure("t")
                return await body(broker)
            finally:
                await broker.close()

        return asyncio.run(opened())

    return run


def rows(broker: Broker) -> int:
    """Of groups and offsets in the catalog."""
    with contextlib.closing(sqlite3.connect(f"{broker.data_dir}/catalog.db")) as db:
        query = (
            "SELECT (SELECT count(*) FROM consumer_groups) + "
            "(SELECT count(*) FROM committed_offsets)"
        )
        return int(db.execute(query).fetchone()[0])


async def alter(broker: Broker, value: str | None, group: str = "g", **rest: Any) -> None:
    operation = ConfigOperation.DELETE if value is None else ConfigOperation.SET
    change = ConfigChange(rest.pop("name", DURABLE), operation, value)
    resource = Resource(ConfigResourceType.GROUP, group)
    validate_only = rest.pop("validate_only", False)
    await amend_configs(broker, resource, [change], validate_only=validate_only)


async def refusal(*arguments: Any, **rest: Any) -> RequestError:
    with pytest.raises(RequestError) as refused:
        await alter(*arguments, **rest)
    return refused.value


def described(broker: Broker, group: str = "g") -> tuple[str, ConfigSource]:
    (entry,) = describe_configs(broker, Resource(ConfigResourceType.GROUP, group), [DURABLE])
    return entry.value, entry.source


async def enter(broker: Broker, instance: str | None = None) -> str:
    """The one member of stable group `g`."""
    member_id = ""
    for _ in range(2 if instance is None else 1):
        join = Join(member_id, "consumer", (("range", b""),), 10_000, 10_000, instance)
        joined = await broker.groups.join("g", join)
        member_id = joined.member_id
    await broker.groups.sync("g", Sync(member_id, joined.generation, ((member_id, b""),)))
    return member_id


async def commit(broker: Broker, member_id: str = "", generation: int = -1) -> None:
    offset = OffsetToCommit("t", 0, 5, -1, "")
    assert await broker.groups.commit("g", Commit((offset,), member_id, generation)) == [0]


def groups(broker: Broker) -> list[str]:
    return [group.group_id for group in broker.groups.list()]


def test_progress_is_in_memory_and_forgotten_with_the_last_member(with_broker):
    async def body(broker):
        await alter(broker, "false")
        member_id = await enter(broker)
        await commit(broker, member_id, 1)
        assert broker.groups.offsets("g")["t", 0].offset == 5
        assert broker.groups.describe("g").state is State.STABLE
        assert rows(broker) == 0
        await broker.groups.leave("g", Leave((Leaving(member_id, None),)))
        assert groups(broker) == []
        assert broker.groups.offsets("g") == {}
        await enter(broker)
        assert broker.groups.offsets("g") == {}
        assert rows(broker) == 0

    with_broker(body)


def test_groups_are_durable_unless_told_otherwise(with_broker):
    async def body(broker):
        member_id = await enter(broker)
        await commit(broker, member_id, 1)
        await broker.groups.leave("g", Leave((Leaving(member_id, None),)))
        assert groups(broker) == ["g"]
        assert rows(broker) == 2

    with_broker(body)


def test_a_restart_forgets_the_group_but_not_what_it_was_told(with_broker):
    member_ids = []

    async def before(broker):
        await alter(broker, "false")
        member_ids.append(await enter(broker, "i"))
        await commit(broker, member_ids[0], 1)

    async def after(broker):
        assert groups(broker) == []
        assert described(broker) == ("false", ConfigSource.GROUP)
        beat = await broker.groups.heartbeat("g", Heartbeat(member_ids[0], 1, "i"))
        assert beat.error is ErrorCode.UNKNOWN_MEMBER_ID
        await enter(broker, "i")
        assert broker.groups.offsets("g") == {}
        assert rows(broker) == 0

    with_broker(before)
    with_broker(after)


def test_offsets_without_members_stay_while_the_broker_runs(with_broker):
    async def body(broker):
        await alter(broker, "false")
        await commit(broker)
        assert broker.groups.offsets("g")["t", 0].offset == 5
        await broker.groups.delete("g")
        assert groups(broker) == []
        assert rows(broker) == 0

    with_broker(body)


def test_a_group_does_not_change_while_it_is_there(with_broker):
    async def body(broker):
        await commit(broker)
        error = await refusal(broker, "false")
        assert error.code is ErrorCode.INVALID_CONFIG
        assert "while there is no such group" in error.message
        await alter(broker, "true")  # as it is
        await broker.groups.delete("g")
        await alter(broker, "false")
        member_id = await enter(broker)
        assert (await refusal(broker, None)).code is ErrorCode.INVALID_CONFIG
        await broker.groups.leave("g", Leave((Leaving(member_id, None),)))
        await alter(broker, None)
        assert described(broker) == ("true", ConfigSource.DEFAULT)

    with_broker(body)


def test_what_is_wrong_is_named_and_changes_nothing(with_broker, monkeypatch):
    async def body(broker):
        error = await refusal(broker, "false", name="headrace.group.durabel")
        assert error.code is ErrorCode.INVALID_CONFIG
        assert "did you mean headrace.group.durable?" in error.message
        assert "true or false" in (await refusal(broker, "perhaps")).message
        assert (await refusal(broker, "false", "")).code is ErrorCode.INVALID_GROUP_ID
        assert (await refusal(broker, "false", "g" * 10_000)).code is ErrorCode.INVALID_GROUP_ID
        await alter(broker, "false", validate_only=True)
        assert described(broker) == ("true", ConfigSource.DEFAULT)
        monkeypatch.setattr(group_configs, "GROUPS_WITH_CONFIGS_MAX", 1)
        await alter(broker, "false")
        assert (await refusal(broker, "false", "h")).code is ErrorCode.POLICY_VIOLATION
        await alter(broker, None)
        await alter(broker, "false", "h")

    with_broker(body)


def test_what_the_disk_does_not_keep_does_not_hold(with_broker, monkeypatch):
    async def body(broker):
        async def full(*_: Any, **__: Any) -> None:
            raise RequestError(ErrorCode.KAFKA_STORAGE_ERROR, "disk full")

        monkeypatch.setattr(broker.catalog.group_configs, "replace", full)
        assert (await refusal(broker, "false")).code is ErrorCode.KAFKA_STORAGE_ERROR
        assert described(broker) == ("true", ConfigSource.DEFAULT)

    with_broker(body)


def test_a_reset_of_an_ephemeral_group_outlives_the_moment_without_members(with_broker):
    async def body(broker):
        await alter(broker, "false")
        await enter(broker)
        far = str(broker.now_ms() + 60_000)
        await alter(broker, far, name="headrace.group.reset.until.ms")
        await commit(broker)
        assert broker.groups.describe("g").members == ()
        await enter(broker)
        assert broker.groups.offsets("g")["t", 0].offset == 5

    with_broker(body)
