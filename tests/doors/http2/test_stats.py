"""What the door counts, and how it is shown."""

from typing import Any

import grpc
from prometheus_client.parser import text_string_to_metric_families

from headrace.broker.grpc_stats import GrpcStats
from headrace.doors.http.grpc_metrics import grpc_families
from headrace.doors.http2 import frames
from headrace.doors.http2.messages import prefixed
from headrace.doors.http2.status import Status


def samples(stats: GrpcStats) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("headrace_grpc_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families("".join(grpc_families(stats)))
        for sample in family.samples
    }


def test_calls_and_messages_are_counted(peer: Any, data_frame: Any) -> None:
    first, second = peer.call(1), peer.call(3)
    peer.call(5, "/an/invention")
    first.call.pause()
    peer.say(data_frame(1, prefixed([b"abc"])) + data_frame(3, prefixed([b"de", b""])))
    found = samples(peer.stats)
    assert found[("calls",)] == 2
    assert found[("messages_received_total",)] == 2
    assert found[("received_bytes_total",)] == 12
    assert found[("waiting_bytes",)] == 8
    first.call.finish(Status.ABORTED)
    peer.say(frames.rst_stream(3, frames.ErrorCode.CANCEL))
    assert second.told[-1] == "cancel"
    found = samples(peer.stats)
    assert found[("calls",)] == 0
    assert found[("calls_ended_total", "", "UNIMPLEMENTED")] == 1
    assert found[("calls_ended_total", "/t.T/Record", "ABORTED")] == 1
    assert found[("calls_ended_total", "/t.T/Record", "CANCELLED")] == 1


def test_connections_are_counted(doors: Any, until: Any) -> None:
    door = doors()
    stats = door.listener.stats
    with grpc.insecure_channel(f"127.0.0.1:{door.port}") as channel:
        channel.unary_unary("/t.T/Who")(b"", timeout=10)
        assert stats.connections == stats.connections_accepted == 1
    until(lambda: stats.connections == 0, "the end")
