"""How long one group waits for its members, set while it reads."""

import asyncio
from dataclasses import replace

from headrace.broker.group_settings import broker_settings, settings_of
from headrace.groups.consumer_requests import JOIN, ConsumerHeartbeat

LEVEL = "share.isolation.level"
SESSION = "consumer.session.timeout.ms"


def heartbeat(epoch):
    return ConsumerHeartbeat(
        "m", epoch, rebalance_timeout_ms=60_000, names=frozenset("t"), owned=frozenset()
    )


def members(world, group_id):
    return len(world.groups.describe(group_id).members)


def test_session_set_for_a_group_holds_from_its_members_next_report(group_world):
    async def body():
        world = group_world()
        await world.groups.start()
        for group_id in ("g", "h"):
            await world.groups.consumer_heartbeat(group_id, heartbeat(JOIN))
        world.of_groups["g"] = replace(world.settings, consumer_session_timeout_ms=50_000)
        world.groups.settings_changed("g")
        world.groups.settings_changed("nobody")
        for group_id in ("g", "h"):
            await world.groups.consumer_heartbeat(group_id, heartbeat(1))
        world.wait(45_000)
        assert (members(world, "g"), members(world, "h")) == (1, 0)
        await world.restart()
        world.wait(49_999)
        assert members(world, "g") == 1
        world.wait(1)
        assert members(world, "g") == 0
        await world.groups.close()

    asyncio.run(body())


def test_groups_of_which_nothing_was_set_share_the_brokers_settings(config_rows):
    async def body():
        configs = await config_rows.start(group_consumer_session_timeout_ms="46000")
        settings = broker_settings(configs._broker)
        await configs.alter("g", lambda _: {SESSION: "50000"}, in_use=False)
        await configs.alter("h", lambda _: {LEVEL: "read_committed"}, in_use=False)
        assert settings_of("g", configs, settings).consumer_session_timeout_ms == 50_000
        assert settings_of("h", configs, settings) is settings
        assert settings.consumer_session_timeout_ms == 46_000

    asyncio.run(body())
