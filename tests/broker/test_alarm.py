import asyncio
import socket

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


def test_sleeper_that_fails_does_not_keep_the_others_asleep(caplog):
    async def run():
        called = []

        def call(sleeper):
            called.append(sleeper)
            if sleeper == "bad":
                raise ValueError("no")

        alarm = Alarm(lambda: 10, call)
        alarm.set("bad", 1)
        alarm.set("good", 2)
        alarm.ring()
        alarm.close()
        assert called == ["bad", "good"]

    asyncio.run(run())
    assert "bad" in caplog.text


def test_late_timer_lets_the_sockets_be_read_first():
    """A process that was stopped: what arrived meanwhile may move the moment away."""

    async def run():
        loop = asyncio.get_running_loop()
        late_ms = 0
        called = []
        alarm = Alarm(lambda: int(loop.time() * 1000) + late_ms, called.append)
        start_ms = alarm._now_ms()
        alarm.set("a", start_ms + 20)
        late_ms = 10_000
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.send(b"a heartbeat")
        with ours, theirs:
            while alarm._timer.when() < loop.time() + 0.1:  # until the timer has fired
                await asyncio.sleep(0.005)
            assert await loop.sock_recv(ours, 100) == b"a heartbeat"
        alarm.set("a", None)
        assert called == []
        alarm.set("b", alarm._now_ms())
        async with asyncio.timeout(10):
            while not called:
                await asyncio.sleep(0.01)
        assert called == ["b"]
        alarm.close()

    asyncio.run(run())


def test_timer_of_the_loop_calls():
    async def run():
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        alarm = Alarm(lambda: int(loop.time() * 1000), called.set_result)
        alarm.set("a", int(loop.time() * 1000) + 10)
        assert await asyncio.wait_for(called, 10) == "a"
        alarm.close()

    asyncio.run(run())
