"""The loop of virtual time keeps asyncio's promises."""

import asyncio
from itertools import pairwise

import pytest

from sim.loop import SimLoop
from sim.world import SECOND, World


@pytest.fixture
def world():
    return World(1)


def run(world, loop, coroutine, seconds=3600):
    task = loop.start(coroutine, "test")
    assert world.run(task.done, world.now_ns + seconds * SECOND)
    return task.result()


def test_sleeping_takes_virtual_time_only(world):
    loop = SimLoop(world, "a")

    async def sleep():
        began = loop.time()
        await asyncio.sleep(1800)
        return loop.time() - began

    assert run(world, loop, sleep()) == pytest.approx(1800, abs=0.01)


def test_what_a_thread_does_comes_back_later_and_its_errors_too(world):
    loop = SimLoop(world, "a")

    def fail():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()  # as in a thread
        raise KeyError("it")

    async def work():
        began = loop.time()
        assert await asyncio.to_thread(sum, (1, 2)) == 3
        assert loop.time() > began
        with pytest.raises(KeyError):
            await loop.run_in_executor(None, fail)

    run(world, loop, work())


def test_a_frozen_process_does_nothing_while_time_goes_on(world):
    frozen, other = SimLoop(world, "frozen"), SimLoop(world, "other")
    ticks = []

    async def tick():
        while True:
            ticks.append(frozen.time())
            await asyncio.sleep(1)

    async def wait():
        await asyncio.sleep(5)
        frozen.freeze(60 * SECOND)
        await asyncio.sleep(100)

    frozen.start(tick(), "tick")
    run(world, other, wait())
    longest = max(after - before for before, after in pairwise(ticks))
    assert longest == pytest.approx(60, abs=1.1)


def test_of_the_dead_nothing_runs_again(world):
    dead, other = SimLoop(world, "dead"), SimLoop(world, "other")
    said = []

    async def speak():
        try:
            while True:
                said.append(dead.time())
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(0)  # a coroutine that does not want to end

    async def kill():
        await asyncio.sleep(3.5)
        dead.kill()
        await asyncio.sleep(10)

    dead.start(speak(), "speak")
    run(world, other, kill())
    assert len(said) == 4
    assert world.problems == []


def test_an_error_that_reaches_nobody_is_a_problem(world):
    loop = SimLoop(world, "a")

    def fail():
        raise ValueError("nobody waits for me")

    loop.call_soon(fail)
    world.run(lambda: False, world.now_ns + SECOND)
    assert "nobody waits for me" in world.problems[0]


def test_a_task_that_yields_for_ever_does_not_stop_the_clock(world):
    loop = SimLoop(world, "a")

    async def spin():
        while True:
            await asyncio.sleep(0)

    loop.start(spin(), "spin")

    async def wait():
        await asyncio.sleep(1)

    run(world, loop, wait(), seconds=2)
