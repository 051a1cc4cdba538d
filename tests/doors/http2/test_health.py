"""`grpc.health.v1.Health` of a broker, asked with grpcio."""

from typing import Any

import grpc
import pytest

from headrace.doors.http2.health import Serving
from headrace.testing import running_broker

SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def asked(service: bytes) -> bytes:
    return b"\x0a" + bytes([len(service)]) + service if service else b""


def test_a_broker_serves_and_knows_what_it_does_not_have() -> None:
    with running_broker(grpc=True) as broker, grpc.insecure_channel(broker.grpc_target) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(asked(b""), timeout=10) == SERVING
        for request, code in (
            (asked(b"no.Such"), grpc.StatusCode.NOT_FOUND),
            (b"\x0a\xff", grpc.StatusCode.INVALID_ARGUMENT),
            (asked(b"\xff"), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as failed:
                check(request, timeout=10)
            assert failed.value.code() is code


def test_a_watch_hears_of_changes_and_of_the_end() -> None:
    async def change(node: Any) -> None:
        node.grpc.health.set("", Serving.NOT_SERVING)
        node.grpc.health.set("", Serving.SERVING)

    async def close(node: Any) -> None:
        await node.grpc.close()

    with running_broker(grpc=True) as broker, grpc.insecure_channel(broker.grpc_target) as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
        unknown = watch(asked(b"no.Such"), timeout=10)
        assert next(unknown) == SERVICE_UNKNOWN
        unknown.cancel()
        call = watch(asked(b""), timeout=20)
        assert next(call) == SERVING
        broker.call(change)
        assert [next(call), next(call)] == [NOT_SERVING, SERVING]
        broker.call(close)
        rest = []
        with pytest.raises(grpc.RpcError) as ended:
            rest.extend(call)
        assert rest in ([], [NOT_SERVING]), "a client may drop what comes just before an error"
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
