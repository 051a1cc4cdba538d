"""grpcio as the client: calls of every kind, and what ends them."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from headrace.doors.http2.limits import MIB
from headrace.doors.http2.listener import tls_context

TLS = Path(__file__).parent / "tls"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]


@pytest.fixture
def channel(doors: Any) -> Iterator[grpc.Channel]:
    door = doors()
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as made:
        yield made


def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as failed:
        call()
    return failed.value.code(), failed.value.details()


def test_a_unary_call_has_metadata_and_an_answer(channel: grpc.Channel) -> None:
    who = channel.unary_unary("/t.T/Who")
    assert who(b"", timeout=10) == b"nobody"
    assert who(b"", timeout=10, metadata=[("authorization", "Bearer x")]) == b"Bearer x"


def test_refusals_have_their_status_and_message(channel: grpc.Channel) -> None:
    def called(method: str, **options: Any) -> Any:
        return lambda: channel.unary_unary(f"/t.T/{method}")(b"", timeout=10, **options)

    assert failure(called("Refuse")) == (grpc.StatusCode.NOT_FOUND, "there is no tåble, 100%")
    assert failure(called("Broken")) == (grpc.StatusCode.INTERNAL, "internal error")
    assert failure(called("Nowhere"))[0] is grpc.StatusCode.UNIMPLEMENTED
    compressed = called("Who", compression=grpc.Compression.Gzip)
    code, why = failure(compressed)
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "gzip" in why


def test_either_side_may_stream_alone(channel: grpc.Channel) -> None:
    count = channel.stream_unary("/t.T/Count")
    assert count((b"x" for _ in range(3000)), timeout=20) == b"3000"
    assert count(iter(()), timeout=10) == b"0"
    assert list(channel.unary_stream("/t.T/Echo")(b"x", timeout=10)) == [b"x"]


def test_a_unary_method_gets_one_message(channel: grpc.Channel) -> None:
    for messages in ([], [b"a", b"b"]):
        who = channel.stream_unary("/t.T/Who")
        code, why = failure(lambda: who(iter(messages), timeout=10))  # noqa: B023
        assert code is grpc.StatusCode.INTERNAL
        assert "takes one message" in why


def test_a_deadline_takes_the_methods_coroutine_along(doors: Any, until: Any) -> None:
    door = doors()

    def running() -> list[Any]:
        return [task for task in asyncio.all_tasks() if "_Unary._run" in repr(task)]

    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        call = channel.unary_unary("/t.T/Never").future(b"", timeout=0.5)
        until(lambda: door.call(running), "the coroutine")
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: not door.call(running), "its end")


def test_large_and_small_messages_are_echoed(channel: grpc.Channel) -> None:
    sizes = [0, 1, 100, 16_384, 100_000, 5 * MIB, 10 * MIB, 3]
    echo = channel.stream_stream("/t.T/Echo")
    answers = echo((bytes([at]) * size for at, size in enumerate(sizes)), timeout=30)
    for at, size in enumerate(sizes):
        answer = next(answers)
        assert len(answer) == size
        assert answer.strip(bytes([at])) == b""
    assert list(answers) == []


def test_a_message_over_the_limit_is_refused_and_the_next_call_works(channel: Any) -> None:
    echo = channel.stream_stream("/t.T/Echo")
    code, why = failure(lambda: list(echo(iter([bytes(10 * MIB + 1)]), timeout=20)))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "10485761 bytes; up to 10485760" in why
    assert list(echo(iter([b"x"]), timeout=10)) == [b"x"]


def test_a_deadline_is_kept_by_the_server_too(doors: Any, until: Any) -> None:
    door = doors()
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        record = channel.stream_stream("/t.T/Record")
        hold = threading.Event()

        def wait() -> Iterator[bytes]:
            hold.wait(10)
            yield from ()

        began = time.monotonic()
        code, _ = failure(lambda: list(record(wait(), timeout=0.3)))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - began < 5
        until(lambda: door.world.recorded[0].told[-1:] == ["cancel"], "the handler's cancel")
        hold.set()


def test_a_cancel_reaches_the_handler(doors: Any, until: Any) -> None:
    door = doors()
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        hold = threading.Event()

        def one_and_wait() -> Iterator[bytes]:
            yield b"x"
            hold.wait(10)

        call = channel.stream_stream("/t.T/Record")(one_and_wait())
        until(lambda: door.world.recorded and door.world.recorded[0].messages, "the message")
        call.cancel()
        until(lambda: door.world.recorded[0].told[-1] == "cancel", "the cancel")
        hold.set()
        assert call.code() is grpc.StatusCode.CANCELLED


def test_response_headers_come_before_a_message_was_sent(doors: Any) -> None:
    door = doors()
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        hold = threading.Event()

        def wait() -> Iterator[bytes]:
            hold.wait(10)
            yield from ()

        call = channel.stream_stream("/t.T/Record")(wait(), timeout=10)
        assert call.initial_metadata() is not None  # waits until they are there
        assert not door.world.recorded[0].messages
        hold.set()
        call.cancel()


def test_many_calls_share_a_connection(doors: Any, until: Any) -> None:
    door = doors()
    calls = 300
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        echo = channel.unary_unary("/t.T/Echo")
        waiting = [echo.future(b"%d" % at, timeout=20) for at in range(calls)]
        assert [call.result() for call in waiting] == [b"%d" % at for at in range(calls)]
        assert len(door.listener.connections) == 1
    until(lambda: not door.listener.connections, "the end")


def test_calls_beyond_the_streams_of_a_connection_wait_for_their_turn(doors: Any) -> None:
    door = doors(streams_max=3)
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        who = channel.unary_unary("/t.T/Who")
        waiting = [who.future(b"", timeout=20) for _ in range(50)]
        assert [call.result() for call in waiting] == [b"nobody"] * 50


def test_a_drain_ends_calls_as_unavailable_and_takes_no_new_ones(doors: Any, until: Any) -> None:
    door = doors(drain_s=0.2)
    with grpc.insecure_channel(f"127.0.0.1:{door.port}", UNLIMITED) as channel:
        hold = threading.Event()

        def wait() -> Iterator[bytes]:
            yield b"x"
            hold.wait(10)

        call = channel.stream_stream("/t.T/Record")(wait(), timeout=20)
        until(lambda: door.world.recorded, "the call")
        handler = door.world.recorded[0]
        handler.on["drain"] = lambda: handler.call.send([b"bye"])
        door.close()
        assert next(call) == b"bye"
        code, why = failure(lambda: next(call))
        assert (code, why) == (grpc.StatusCode.UNAVAILABLE, "the server stops")
        hold.set()
        code, _ = failure(lambda: channel.unary_unary("/t.T/Who")(b"", timeout=5))
        assert code is grpc.StatusCode.UNAVAILABLE


def test_calls_go_over_tls(doors: Any) -> None:
    door = doors(tls_context(str(TLS / "cert.pem"), str(TLS / "key.pem")))
    credentials = grpc.ssl_channel_credentials((TLS / "ca.pem").read_bytes())
    with grpc.secure_channel(f"localhost:{door.port}", credentials, UNLIMITED) as channel:
        echo = channel.stream_stream("/t.T/Echo")
        sent = [b"a", bytes(3 * MIB), b"b"]
        assert list(echo(iter(sent), timeout=20)) == sent
