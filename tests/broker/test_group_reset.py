"""When a commit from outside a group may fence its members."""

import asyncio

from headrace.broker.group_config_table import RESET_UNTIL_MS


def test_each_permission_is_for_one_group_one_time_and_a_while(config_rows):
    async def run():
        configs = await config_rows.start()

        async def permit(until):
            values = {} if until is None else {RESET_UNTIL_MS: until}
            await configs.alter("g", lambda _: values, in_use=True)

        assert not configs.take_reset("g", 0)
        await permit("100")
        assert not configs.take_reset("h", 50)
        assert configs.take_reset("g", 50)
        assert not configs.take_reset("g", 51)
        await permit("200")
        assert configs.take_reset("g", 150)
        await permit(None)
        assert not configs.take_reset("g", 150)
        await permit("300")
        assert not configs.take_reset("g", 300), "too late"

    asyncio.run(run())
