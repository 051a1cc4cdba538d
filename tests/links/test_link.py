"""What was asked is answered, refused or lost, never left open, whatever becomes of the peer."""

import asyncio
import contextlib
import random
import socket
import struct
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.links import link as link_module
from headrace.links import listener as listener_module
from headrace.links.errors import LinkDown, LinkLost
from headrace.links.frames import GRANTED, HELLO, frame_parts, hello_body
from headrace.links.link import Link
from headrace.links.listener import Answer, LinkListener
from headrace.wire.errors import ErrorCode, MalformedError, RequestError

ECHO, LATER, NEVER, REFUSE, BREAK, FAIL = 10, 11, 12, 13, 14, 15


class Served:
    """Answers as it is asked to, and remembers in which order."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, bytes]] = []
        self.later: list[Answer] = []

    def __call__(self, peer: int, kind: int, body: memoryview, answer: Answer) -> None:
        self.asked.append((peer, kind, bytes(body)))
        if kind == ECHO:
            answer(bytes(body))
        elif kind == LATER:
            self.later.append(answer)
        elif kind == REFUSE:
            raise RequestError(ErrorCode.NOT_COORDINATOR, "not here")
        elif kind == BREAK:
            raise MalformedError("what is that")
        elif kind == FAIL:
            raise ZeroDivisionError


@pytest.fixture
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as directory:  # Unix sockets have short names
        yield str(Path(directory, "1"))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def linked(path: str, serve: Served, **options: Any) -> Any:
    listener = LinkListener(path, serve)
    await listener.open()
    link = Link(path, 0, 1, **options)
    link.start()
    await until(lambda: link.is_up)
    try:
        yield link, listener
    finally:
        await link.close()
        await listener.close()


async def raw(path: str, worker: int | None = None) -> socket.socket:
    """A connection of somebody else; with `worker` it has greeted."""
    loop = asyncio.get_running_loop()
    connected = socket.socket(socket.AF_UNIX)
    connected.setblocking(False)
    await loop.sock_connect(connected, path)
    if worker is not None:
        await loop.sock_sendall(connected, b"".join(frame_parts(HELLO, 1, [hello_body(worker)])))
        assert await loop.sock_recv(connected, 100) == b"".join(frame_parts(GRANTED, 1, []))
    return connected


def run(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))  # type: ignore[arg-type]


def test_requests_are_taken_up_in_order_and_answered_in_any(path: str) -> None:
    async def body() -> None:
        served = Served()
        async with linked(path, served) as (link, _):
            heard: list[Any] = []
            link.send(LATER, [b"a"], lambda outcome: heard.append(("a", outcome)))
            link.send(ECHO, [b"b", b"c"], lambda outcome: heard.append(("b", outcome)))
            assert await link.ask(ECHO, bytes(1 << 20), 5) == bytes(1 << 20)
            assert heard == [("b", b"bc")]
            served.later[0](b"at last")
            await until(lambda: len(heard) == 2)
            assert heard[1] == ("a", b"at last")
            assert [asked[:2] for asked in served.asked] == [(0, LATER), (0, ECHO), (0, ECHO)]

    run(body)


def test_a_refusal_says_what_the_peer_said_and_a_bug_is_one(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with linked(path, Served()) as (link, _):
            with pytest.raises(RequestError) as refused:
                await link.ask(REFUSE, b"", 5)
            assert refused.value.code is ErrorCode.NOT_COORDINATOR
            assert refused.value.message == "not here"
            with pytest.raises(RequestError) as refused:
                await link.ask(FAIL, b"", 5)
            assert refused.value.code is ErrorCode.UNKNOWN_SERVER_ERROR
            assert await link.ask(ECHO, b"x", 5) == b"x"

    run(body)
    assert "a request of worker 0 failed" in caplog.text


def test_a_peer_that_is_down_is_refused_at_once_and_found_when_it_comes(path: str) -> None:
    async def body() -> None:
        link = Link(path, 0, 1)
        ups: list[int] = []
        link.when_up(lambda: ups.append(link.times_up))
        link.start()
        await asyncio.sleep(0.02)
        with pytest.raises(LinkDown):
            link.send(ECHO, [b""], lambda _: None)
        for time in (1, 2):
            listener = LinkListener(path, Served())
            await listener.open()
            await until(lambda: link.is_up)
            assert ups == [*range(1, time + 1)]
            assert await link.ask(ECHO, b"x", 5) == b"x"
            await listener.close()
            await until(lambda: not link.is_up)
        await link.close()

    run(body)


def test_what_a_dying_peer_did_not_answer_is_told_as_lost(path: str) -> None:
    async def body() -> None:
        served = Served()
        async with linked(path, served) as (link, listener):
            heard: list[Any] = []
            link.send(NEVER, [b""], heard.append)
            asking = asyncio.create_task(link.ask(NEVER, b"", 5))
            await until(lambda: len(served.asked) == 2)
            await listener.close()
            with pytest.raises(LinkLost):
                await asking
            assert [type(outcome) for outcome in heard] == [LinkLost]

    run(body)


def test_closing_a_link_tells_who_waits(path: str) -> None:
    async def body() -> None:
        async with linked(path, Served()) as (link, _):
            heard: list[Any] = []
            link.send(NEVER, [b""], heard.append)
            await link.close()
            assert [type(outcome) for outcome in heard] == [LinkLost]
            with pytest.raises(LinkDown):
                link.send(ECHO, [b""], heard.append)

    run(body)


def test_a_peer_that_hangs_is_given_up_and_a_slow_answer_is_not(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "PING_INTERVAL_S", 0.02)

    async def body() -> None:
        served = Served()
        async with linked(path, served, silence_s=0.2) as (link, _):
            slow = asyncio.create_task(link.ask(LATER, b"", 5))
            await asyncio.sleep(0.5)
            served.later[0](b"slow")
            assert await slow == b"slow"
            assert link.times_up == 1

    async def hanging() -> None:
        async def greet_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(13)
            writer.write(b"".join(frame_parts(GRANTED, 1, [])))
            await reader.read()
            writer.close()

        server = await asyncio.start_unix_server(greet_only, path)
        link = Link(path, 0, 1, silence_s=0.1)
        link.start()
        await until(lambda: link.is_up)
        with pytest.raises(LinkLost):
            await link.ask(ECHO, b"", 5)
        await link.close()
        server.close()

    run(body)
    run(hanging)


def test_an_answer_that_takes_too_long_is_not_waited_for(path: str) -> None:
    async def body() -> None:
        served = Served()
        async with linked(path, served) as (link, _):
            with pytest.raises(LinkLost):
                await link.ask(LATER, b"", 0.02)
            served.later[0](b"too late")
            assert await link.ask(ECHO, b"x", 5) == b"x"

    run(body)


def test_what_a_worker_left_unread_is_void_once_it_has_greeted_again(path: str) -> None:
    async def body() -> None:
        served = Served()
        listener = LinkListener(path, served)
        await listener.open()
        loop = asyncio.get_running_loop()
        former = await raw(path, worker=3)
        other = await raw(path, worker=2)
        again = await raw(path, worker=3)
        with contextlib.suppress(OSError):
            await loop.sock_sendall(former, b"".join(frame_parts(ECHO, 9, [b"old"])))
            assert await loop.sock_recv(former, 1) == b""
        for connected, worker in ((again, 3), (other, 2)):
            frame = b"".join(frame_parts(ECHO, 9, [b"new"]))
            await loop.sock_sendall(connected, frame)
            await until(lambda worker=worker: served.asked[-1:] == [(worker, ECHO, b"new")])
        assert len(served.asked) == 2
        for connected in (former, other, again):
            connected.close()
        await listener.close()

    run(body)


def test_hostile_bytes_hurt_only_their_connection(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    chaos = random.Random(7)
    greeting = b"".join(frame_parts(HELLO, 1, [hello_body(5)]))
    attacks = [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">IBI", 0xFFFF_FFFF, 1, 1),
        b"".join(frame_parts(ECHO, 1, [b"without a greeting"])),
        b"".join(frame_parts(HELLO, 1, [b"\x00\x09\x00\x01"])),
        greeting + struct.pack(">IBI", 3, 1, 1),
        greeting + b"".join(frame_parts(BREAK, 2, [b""])),
        *(chaos.randbytes(chaos.randrange(9, 500)) for _ in range(50)),
    ]

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with linked(path, Served()) as (link, listener):
            for attack in attacks:
                connected = await raw(path)
                await loop.sock_sendall(connected, attack)
                connected.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    while await loop.sock_recv(connected, 4096):
                        pass
                connected.close()
                assert await link.ask(ECHO, b"x", 5) == b"x"
            assert link.times_up == 1
            assert not listener._strangers

    run(body)


def test_who_does_not_greet_is_let_go(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "GREETING_S_MAX", 0.05)
    monkeypatch.setattr(listener_module, "STRANGERS_MAX", 3)

    async def body() -> None:
        loop = asyncio.get_running_loop()
        async with linked(path, Served()) as (link, _):
            silent = [await raw(path) for _ in range(10)]
            for connected in silent:
                assert await loop.sock_recv(connected, 1) == b""
                connected.close()
            assert await link.ask(ECHO, b"x", 5) == b"x"

    run(body)


def test_who_takes_no_answers_is_not_read_from(path: str) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        served = Served()
        async with linked(path, served) as (link, _):
            greedy = await raw(path, worker=2)
            frame = b"".join(frame_parts(ECHO, 5, [bytes(1 << 20)]))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loop.sock_sendall(greedy, 64 * frame), 0.5)
            assert len(served.asked) < 10
            assert await link.ask(ECHO, b"x", 5) == b"x"
            greedy.close()

    run(body)


def test_what_is_being_answered_is_bounded(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "UNANSWERED_MAX", 4)

    async def body() -> None:
        served = Served()
        async with linked(path, served) as (link, _):
            heard: list[Any] = []
            large = bytes(400_000)  # more than is read at one time
            for _ in range(20):
                link.send(LATER, [large], heard.append)
            await until(lambda: len(served.later) >= 4)
            await asyncio.sleep(0.05)
            assert len(served.later) <= 5
            while len(heard) < 20:
                while served.later:
                    served.later.pop()(b"")
                await asyncio.sleep(0.001)

    run(body)


def test_large_answers_are_taken_while_large_requests_wait_to_be(path: str) -> None:
    async def body() -> None:
        async with linked(path, Served()) as (link, _):
            large = bytes(1 << 20)
            asking = [link.ask(ECHO, large, 8) for _ in range(32)]
            assert await asyncio.gather(*asking) == [large] * 32

    run(body)


def test_a_link_that_broke_with_its_greeting_is_not_up(path: str) -> None:
    async def body() -> None:
        ups: list[bool] = []
        async with linked(path, Served()) as (link, _):
            link.when_up(lambda: ups.append(link._protocol is not None))
            greeted = link._on_frame

            def broken(frame: Any) -> None:
                link._on_frame = greeted
                link._protocol._on_frame = greeted
                greeted(frame)
                link.reset("in the same turn of the loop")

            link._on_frame = broken
            link.reset("to begin")
            await until(lambda: ups)
            assert ups == [True]
            assert await link.ask(ECHO, b"x", 5) == b"x"

    run(body)


def test_a_link_does_not_give_up_whatever_goes_wrong(path: str) -> None:
    async def body() -> None:
        async with linked(path, Served()) as (link, _):
            wrong = [ZeroDivisionError()]

            def fail_once() -> None:
                if wrong:
                    raise wrong.pop()

            link.when_up(fail_once)
            link.reset("to begin")
            await until(lambda: not wrong and link.is_up)
            assert await link.ask(ECHO, b"x", 5) == b"x"

    run(body)
