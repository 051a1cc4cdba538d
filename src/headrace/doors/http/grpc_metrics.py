"""The metrics of the gRPC door: connections, calls, messages."""

from collections.abc import Iterator

from headrace.broker.grpc_stats import GrpcStats
from headrace.doors.http.exposition import family

__all__ = ["grpc_families"]


def grpc_families(stats: GrpcStats) -> Iterator[str]:
    for name, kind, about, value in (
        ("connections", "gauge", "Open gRPC connections.", stats.connections),
        (
            "connections_accepted_total",
            "counter",
            "gRPC connections accepted.",
            stats.connections_accepted,
        ),
        (
            "connections_refused_total",
            "counter",
            "gRPC connections refused because too many are open.",
            stats.connections_refused,
        ),
        ("calls", "gauge", "Open gRPC calls.", stats.calls),
        ("messages_received_total", "counter", "Messages received.", stats.messages_received),
        ("received_bytes_total", "counter", "Bytes of them.", stats.bytes_received),
        (
            "waiting_bytes",
            "gauge",
            "Bytes received that no call has taken yet.",
            stats.bytes_waiting,
        ),
    ):
        yield from family(f"headrace_grpc_{name}", kind, about, [({}, value)])
    yield from family(
        "headrace_grpc_calls_ended_total",
        "counter",
        "Calls that ended, by method and gRPC status.",
        [
            ({"method": method, "status": status}, count)
            for (method, status), count in sorted(stats.calls_ended.items())
        ],
    )
    yield from family(
        "headrace_grpc_faults_total",
        "counter",
        "Connections ended for a fault of their client, by HTTP/2 error code.",
        [({"code": code}, count) for code, count in sorted(stats.faults.items())],
    )
