"""How far a group is behind is known to its worker, whoever serves the partitions."""

from collections.abc import Callable
from typing import Any

from headrace.broker.stuck_watch import StuckWatch
from headrace.groups.offsets import Committed
from headrace.groups.requests import Commit, OffsetToCommit
from headrace.wire.workers import EndAsked


def commit_to(offset: int) -> Commit:
    return Commit(tuple(OffsetToCommit("t", partition, offset, -1, "") for partition in range(3)))


def test_lag_counts_the_partitions_of_every_worker(with_workers: Callable[..., None]) -> None:
    async def body(workers: Any) -> None:
        asked = workers.all[0]
        group = next(f"g{n}" for n in range(99) if asked.ownership.is_my_group(f"g{n}"))
        await asked.topics.create("t", 3)
        for partition in range(3):
            values = [b"x"] * (partition + 2)
            await workers.write("t", partition, *values)
        before_ms = asked.now_ms()
        await asked.groups.commit(group, commit_to(1))
        (lag,) = await asked.lags.measure()
        assert [(part.partition, part.end, part.lag) for part in lag.partitions] == [
            (0, 2, 1),
            (1, 3, 2),
            (2, 4, 3),
        ]
        for part in lag.partitions:
            assert part.lag_s is not None
            assert 0 <= part.lag_s <= 60 + (asked.now_ms() - before_ms) / 1000
        await asked.groups.commit(group, commit_to(4))
        (lag,) = await asked.lags.measure(group)
        assert [part.lag for part in lag.partitions] == [0, 0, 0]

    with_workers(body)


def test_partitions_of_a_worker_that_is_down_are_left_out(
    with_workers: Callable[..., None],
) -> None:
    async def body(workers: Any) -> None:
        asked = workers.all[0]
        group = next(f"g{n}" for n in range(99) if asked.ownership.is_my_group(f"g{n}"))
        await asked.topics.create("t", 3)
        await asked.groups.commit(group, commit_to(0))
        dead = workers.owner("t", next(n for n in range(3) if workers.owner("t", n) is not asked))
        await dead.close()
        (lag,) = await asked.lags.measure()
        assert len(lag.partitions) == 2
        answered = workers.all[3 - workers.all.index(dead)]
        missing = [EndAsked(asked.topics.get("t").id, 99), EndAsked(None, 0)]
        ends = await asked.peers.ends(workers.all.index(answered), missing)
        assert [bool(end.error_code) for end in ends] == [True, True]

    with_workers(body)


def test_a_member_is_seen_stuck_on_partitions_of_others(with_workers: Callable[..., None]) -> None:
    async def body(workers: Any) -> None:
        asked = workers.all[0]
        await asked.topics.create("t", 3)
        for partition in range(3):
            await workers.write("t", partition, b"x", b"y")
        watch = StuckWatch(asked.groups, asked.topics, 1000, lambda: 0, asked.peers)
        pairs = {("t", partition) for partition in range(3)}
        ends = await watch._ends_of({*pairs, ("gone", 0)})
        assert ends == dict.fromkeys(pairs, (0, 2))
        committed = {("t", 1): Committed(1, -1, "", 0)}
        assert watch._seen(frozenset(pairs), committed, ends).lag == 5

    with_workers(body)
