"""What a group that changes often costs to keep."""

import asyncio

from headrace.groups.consumer_group import ConsumerGroup
from headrace.groups.consumer_requests import JOIN, ConsumerHeartbeat

MEMBERS = 50


def test_group_that_forms_is_looked_at_once_for_each_write(group_world, monkeypatch):
    """Not once for each member that comes: that would be a square."""
    records = []
    record = ConsumerGroup.record

    def counted(group):
        records.append(record(group))
        return records[-1]

    async def body():
        world = group_world()
        await world.groups.start()
        monkeypatch.setattr(ConsumerGroup, "record", counted)
        world.disk.free.clear()
        joins = [
            asyncio.create_task(
                world.groups.consumer_heartbeat(
                    "g",
                    ConsumerHeartbeat(
                        f"m{number}",
                        JOIN,
                        rebalance_timeout_ms=60_000,
                        names=frozenset("t"),
                        owned=frozenset(),
                    ),
                )
            )
            for number in range(MEMBERS)
        ]
        await world.settle()
        assert not any(join.done() for join in joins), "told before it was on the disk"
        world.disk.free.set()
        answers = await asyncio.gather(*joins)
        assert [answer.member_epoch for answer in answers] == list(range(1, MEMBERS + 1))
        assert len(records) == len(world.disk.writes) <= 2
        assert len(records[-1].members) == MEMBERS
        await world.restart()
        assert len(world.groups.describe("g").members) == MEMBERS
        await world.groups.close()

    asyncio.run(body())
