import asyncio

from headrace.broker.alarm import CALLS_PER_TURN_MAX, STALE_ENTRIES_MAX, Alarm


class Clock:
    def __init__(self) -> None:
        self.now_ms = 0
        self.called: list[str] = []
        self.alarm = Alarm(lambda: self.now_ms, self.called.append)

    def at(self, now_ms: int) -> list[str]:
        """Who is called then."""
        self.called.clear()
        self.now_ms = now_ms
        self.alarm.ring()
        return list(self.called)


def on_a_loop(body):
    def test():
        async def run():
            clock = Clock()
            body(clock)
            clock.alarm.close()

        asyncio.run(run())

    test.__name__ = body.__name__
    return test


@on_a_loop
def test_sleepers_are_called_at_their_moments(clock):
    clock.alarm.set("b", 20)
    clock.alarm.set("a", 10)
    assert clock.at(9) == []
    assert clock.at(10) == ["a"]
    assert clock.at(100) == ["b"]
    assert clock.at(200) == []


@on_a_loop
def test_earlier_moment_replaces_a_later_one_and_is_the_only_one(clock):
    clock.alarm.set("a", 20)
    clock.alarm.set("a", 10)
    clock.alarm.set("a", 15)
    assert clock.at(100) == ["a"]


@on_a_loop
def test_sleeper_without_a_moment_is_not_called(clock):
    clock.alarm.set("a", 10)
    clock.alarm.set("a", None)
    assert clock.at(100) == []
    clock.alarm.set("a", 110)
    assert clock.at(110) == ["a"]


@on_a_loop
def test_many_at_once_are_called_in_turns(clock):
    for number in range(CALLS_PER_TURN_MAX + 1):
        clock.alarm.set(str(number), 10)
    assert len(clock.at(10)) == CALLS_PER_TURN_MAX
    assert len(clock.at(10)) == 1


@on_a_loop
def test_stale_entries_are_bounded(clock):
    for moment_ms in range(10 * STALE_ENTRIES_MAX, 0, -1):
        clock.alarm.set("a", moment_ms)
    assert len(clock.alarm._heap) <= STALE_ENTRIES_MAX + 2
    assert clock.at(1) == ["a"]


def test_timer_of_the_loop_calls():
    async def run():
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        alarm = Alarm(lambda: int(loop.time() * 1000), called.set_result)
        alarm.set("a", int(loop.time() * 1000) + 10)
        assert await asyncio.wait_for(called, 10) == "a"
        alarm.close()

    asyncio.run(run())
