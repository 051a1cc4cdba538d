import asyncio
import time

import pytest

from headrace.broker import broker as broker_module
from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.group_requests import Commit, OffsetToCommit
from headrace.broker.retention_clock import CONFIRM_MS, JUMP_MS_MAX, RetentionClock
from headrace.log.contract import ACKS_LEADER
from headrace.wire.errors import ErrorCode
from headrace.wire.records import Record, build_batch

TICK_MS = 60_000
YEAR_MS = 365 * 24 * 3600 * 1000
START_MS = 1_700_000_000_000


class Clocks:
    """A wall clock and a steady one; time passes on both, only the wall clock is set."""

    def __init__(self) -> None:
        self.wall_ms = START_MS
        self.steady_ms = 5_000
        self.clock = RetentionClock(lambda: self.wall_ms, lambda: self.steady_ms)

    def tick(self, ms: int = TICK_MS) -> int:
        self.wall_ms += ms
        self.steady_ms += ms
        return self.clock.now_ms()


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_it_is_the_wall_clock_as_long_as_that_walks(clocks):
    for _ in range(100):
        clocks.wall_ms += 300  # adjusted, never set
        assert clocks.tick() == clocks.wall_ms


def test_a_jump_ahead_is_not_followed_and_said_once(clocks, caplog):
    clocks.wall_ms += YEAR_MS
    for tick in range(1, CONFIRM_MS // TICK_MS + 1):
        assert clocks.tick() == START_MS + tick * TICK_MS
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"jumped ahead by {YEAR_MS // 1000} s" in caplog.text


def test_a_jump_that_lasts_is_believed(clocks):
    clocks.wall_ms += YEAR_MS
    clocks.tick()
    assert clocks.tick(CONFIRM_MS) == clocks.wall_ms
    assert clocks.tick() == clocks.wall_ms


def test_a_jump_that_is_taken_back_leaves_no_trace(clocks):
    clocks.wall_ms += YEAR_MS
    clocks.tick()
    clocks.wall_ms -= YEAR_MS
    assert clocks.tick() == clocks.wall_ms
    clocks.wall_ms += YEAR_MS
    assert clocks.tick(CONFIRM_MS) < START_MS + YEAR_MS


@pytest.mark.parametrize("step_ms", [JUMP_MS_MAX, -YEAR_MS, 1])
def test_small_steps_and_steps_back_are_followed(clocks, step_ms):
    clocks.wall_ms += step_ms
    assert clocks.tick() == clocks.wall_ms


def test_a_clock_set_a_year_ahead_deletes_nothing_at_the_next_look(tmp_path, monkeypatch, caplog):
    wall_ms = START_MS
    monkeypatch.setattr(broker_module, "wall_clock_ms", lambda: wall_ms)
    options = BrokerOptions(
        str(tmp_path), "os", broker_configs={"log.retention.check.interval.ms": "100"}
    )

    async def scenario():
        nonlocal wall_ms
        broker = await Broker.open(options)
        try:
            topic = await broker.topics.create("t", 1, {"segment.bytes": "1024"})
            log = topic.partitions[0].log
            for _ in range(5):
                batch = build_batch([Record(timestamp_ms=START_MS, value=bytes(800))])
                log.append(memoryview(bytearray(batch)), ACKS_LEADER, lambda outcome: None)
            commit = Commit((OffsetToCommit("t", 0, 3, -1, ""),), "", -1, None)
            await broker.groups.commit("g", commit, missing_group=ErrorCode.ILLEGAL_GENERATION)
            wall_ms += YEAR_MS
            deadline = time.monotonic() + 20
            while "jumped ahead" not in caplog.text and not log.offsets().start:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert log.offsets().start == 0
            await broker.groups.sweep()
            assert broker.groups.offsets("g")["t", 0].offset == 3
        finally:
            await broker.close()

    asyncio.run(scenario())
