"""The official Zerobus SDK against Headrace with fsync, against grpcio doing the same, and against
nobody: what the SDK itself takes. One stream, client and server on the same cores.

The SDK for Python is not one of our dependencies; without it this workload has no rows.
"""

import contextlib
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from bench.processes import cpu_s
from bench.report import Row
from bench.server import serving

__all__ = ["zerobus_streams"]

TABLE = "bench.zerobus.events"
IN_FLIGHT_MESSAGES = {1: 100_000, 1000: 64}
"""By records of a message: enough to keep every server busy, and not all memory."""
LATENCY_ROUNDS = 300


class Shape(NamedTuple):
    what: str
    record_bytes: int
    records: int
    """In a message."""
    aim: str


SHAPES = (
    Shape("Zerobus SDK, single 100 B records", 100, 1, "300,000"),
    Shape("Zerobus SDK, batches of 1000 x 1 kB", 1000, 1000, "500,000"),
)


class Server(NamedTuple):
    target: str
    pid: int


def zerobus_streams(settings: Any) -> Iterator[Row]:
    try:
        from zerobus.sdk import shared  # noqa: F401
    except ImportError:
        print("zerobus: databricks-zerobus-ingest-sdk is not installed", file=sys.stderr)
        return
    os.environ.setdefault("SSL_CERT_FILE", ssl.get_default_verify_paths().cafile or "")
    os.environ.setdefault("no_proxy", "127.0.0.1")
    os.environ.setdefault("RUST_LOG", "off")
    with (
        serving(settings.directory, "fsync", "--grpc", "127.0.0.1:0") as broker,
        _peer("grpcio", settings) as grpcio,
        _peer("nowhere", settings) as nowhere,
    ):
        ours = Server(broker.grpc_target, broker.process.pid)
        for shape in SHAPES:
            runs: dict[str, list[tuple[float, float]]] = {"ours": [], "grpcio": [], "nowhere": []}
            for _ in range(settings.rounds):
                for name, server in (("ours", ours), ("grpcio", grpcio), ("nowhere", nowhere)):
                    runs[name].append(_run(shape, server, settings))
            rate, used = _median(runs["ours"])
            detail = {
                "MB/s": rate * shape.record_bytes / 1e6,
                "server CPU us/record": used * 1e6,
                "grpcio server CPU us/record": _median(runs["grpcio"])[1] * 1e6,
                "records/s to nowhere": _median(runs["nowhere"])[0],
            }
            row = Row(shape.what, "fsync", rate, "records/s", aim=shape.aim, detail=detail)
            yield row.beside("grpcio", _median(runs["grpcio"])[0])
        p50, p99 = _latencies(ours)
        row = Row("Zerobus SDK, ingest and wait, p50", "fsync", p50, "ms", aim="1")
        row.detail = {"p99 ms": p99}
        yield row.beside("grpcio", _latencies(grpcio)[0])


def _median(runs: list[tuple[float, float]]) -> tuple[float, float]:
    return sorted(runs)[len(runs) // 2]


def _open(server: Server, in_flight: int) -> Any:
    from zerobus.sdk.shared import HeadersProvider, StreamConfigurationOptions, TableProperties
    from zerobus.sdk.sync import ZerobusSdk

    class Headers(HeadersProvider):
        def get_headers(self) -> list[tuple[str, str]]:
            return [("x-databricks-zerobus-table-name", TABLE)]

    return ZerobusSdk(f"http://{server.target}", "").create_stream(
        table_properties=TableProperties(TABLE),
        headers_provider=Headers(),
        options=StreamConfigurationOptions(max_inflight_records=in_flight),
    )


def _run(shape: Shape, server: Server, settings: Any) -> tuple[float, float]:
    """(records/s until all are durable, server's CPU seconds a record)"""
    stream = _open(server, IN_FLIGHT_MESSAGES[shape.records])
    record = json.dumps({"x": "x" * (shape.record_bytes - 10)}, separators=(",", ":"))
    record += " " * (shape.record_bytes - len(record))
    batch = [record] * shape.records
    most = settings.bytes_max // (shape.record_bytes * shape.records)
    before_s, started = cpu_s([server.pid]), time.perf_counter()
    sent = 0
    while sent < most and time.perf_counter() - started < settings.seconds:
        if shape.records > 1:
            stream.ingest_records_nowait(batch)
            sent += 1
        else:
            for _ in range(1000):
                stream.ingest_record_nowait(record)
            sent += 1000
    stream.flush()
    elapsed = time.perf_counter() - started
    used_s = cpu_s([server.pid]) - before_s
    stream.close()
    records = sent * shape.records
    return records / elapsed, used_s / records


def _latencies(server: Server) -> tuple[float, float]:
    """p50 and p99 of one record and its acknowledgement, in ms."""
    stream = _open(server, 100)
    took_ms = []
    for _ in range(LATENCY_ROUNDS):
        started = time.perf_counter()
        stream.wait_for_offset(stream.ingest_record_offset('{"x":1}'))
        took_ms.append((time.perf_counter() - started) * 1e3)
    stream.close()
    return statistics.median(took_ms), sorted(took_ms)[int(LATENCY_ROUNDS * 0.99)]


@contextlib.contextmanager
def _peer(kind: str, settings: Any) -> Iterator[Server]:
    with tempfile.NamedTemporaryFile(dir=settings.directory) as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.zerobus_peers", kind, file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(f"127.0.0.1:{int(process.stdout.readline())}", process.pid)
        finally:
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
