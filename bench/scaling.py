"""`scripts/bench scaling`: how throughput grows with `headrace serve --workers N`.

Small produce requests, since with large ones the disk and the memory's bandwidth are measured: each
of a few client processes keeps requests under way on one connection to the leader of its own
partition. A client costs a few percent of what the broker does for it (its requests are bytes made
beforehand, sent and counted in bursts), and what both took of the machine is in the table: on a
machine whose cores are all taken, N more workers can win nothing.
"""

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Final

from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from bench.processes import machine
from bench.raw_kafka import KafkaDriver, KafkaWriter
from bench.server import serving
from bench.systems import DURABILITIES, Durability, values_of

TOPIC: Final = "scaling"
CLIENTS: Final = 4
RECORD_BYTES: Final = 100
RECORDS: Final = 10
BURST: Final = 32
"""Requests that leave in one send; two bursts are under way."""
READ_BYTES: Final = 1 << 16


@dataclass(slots=True)
class Seen:
    """One round."""

    workers: int
    durability: Durability
    requests_per_s: float
    server_cores: float
    client_cores: float


def client(port: int, partition: int, seconds: float, told: Connection) -> None:
    """Runs in a process of its own: tells (requests, processor seconds) when it is over."""
    writer = KafkaWriter(f"127.0.0.1:{port}", TOPIC)
    request = writer.request(values_of(RECORD_BYTES, RECORDS), partition)
    burst = request.data * BURST
    told.send(None)
    told.recv()
    began_cpu_s = time.process_time()
    deadline = time.perf_counter() + seconds
    sent, answered = 2 * BURST, 0
    writer.socket.sendall(burst * 2)
    while answered < sent:
        data = writer.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the broker closed the connection")
        answered += writer.answered(data)
        if sent - answered <= BURST and time.perf_counter() < deadline:
            writer.socket.sendall(burst)
            sent += BURST
    told.send((answered, time.process_time() - began_cpu_s))
    writer.close()


def leaders(bootstrap: str) -> list[int]:
    """The port of each partition's leader."""
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(TOPIC, 30)
    parts = found.topics[TOPIC].partitions
    return [found.brokers[parts[index].leader].port for index in sorted(parts)]


def measure(directory: str, workers: int, durability: Durability, seconds: float) -> Seen:
    spawn = multiprocessing.get_context("spawn")
    with serving(directory, durability, "--workers", str(workers)) as ours:
        KafkaDriver(ours.bootstrap, durability).create(TOPIC, CLIENTS)
        pipes, processes = [], []
        for partition, port in enumerate(leaders(ours.bootstrap)):
            mine, theirs = spawn.Pipe()
            arguments = (port, partition, seconds, theirs)
            processes.append(spawn.Process(target=client, args=arguments, daemon=True))
            processes[-1].start()
            pipes.append(mine)
        for pipe in pipes:
            pipe.recv()
        began_s, began_cpu_s = time.perf_counter(), ours.cpu_s()
        for pipe in pipes:
            pipe.send(None)
        counted = [pipe.recv() for pipe in pipes]
        took_s, cpu_s = time.perf_counter() - began_s, ours.cpu_s() - began_cpu_s
        for process in processes:
            process.join()
    requests = sum(count for count, _ in counted)
    clients_cpu_s = sum(cpu for _, cpu in counted)
    return Seen(workers, durability, requests / took_s, cpu_s / took_s, clients_cpu_s / took_s)


def show(rounds: Sequence[Seen]) -> None:
    kinds = list(dict.fromkeys((seen.durability, seen.workers) for seen in rounds))
    size = f"{RECORDS} records of {RECORD_BYTES} bytes, {CLIENTS} connections"
    table = Table(title=f"produce requests of {size}, {2 * BURST} under way on each")
    for column in ("durability", "workers", "requests/s", "broker", "clients", "per broker core"):
        table.add_column(column, justify="right")
    for durability, workers in kinds:
        of = [seen for seen in rounds if (seen.durability, seen.workers) == (durability, workers)]
        rate = statistics.median(seen.requests_per_s for seen in of)
        server = statistics.median(seen.server_cores for seen in of)
        clients = statistics.median(seen.client_cores for seen in of)
        cells = (
            f"{rate:,.0f}",
            f"{server:.2f} cores",
            f"{clients:.2f} cores",
            f"{rate / server:,.0f}",
        )
        table.add_row(durability, str(workers), *cells)
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench scaling", description=__doc__)
    most = os.cpu_count() or 1
    default = [count for count in (1, 2, 4, 8, 16) if count <= max(2, most)]
    parser.add_argument("--workers", type=int, nargs="+", default=default, metavar="N")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5, help="the median is shown")
    parser.add_argument("--durability", choices=DURABILITIES, help="only this one")
    parser.add_argument("--dir", help="where data directories are made (default: a temporary one)")
    parser.add_argument("--json", metavar="FILE", help="write every round")
    options = parser.parse_args()
    rounds: list[Seen] = []
    with contextlib.ExitStack() as stack:
        directory = options.dir or stack.enter_context(tempfile.TemporaryDirectory())
        policies = [options.durability] if options.durability else DURABILITIES
        # In turns: what disturbs one round disturbs all.
        for _, durability, workers in itertools.product(
            range(options.rounds), policies, options.workers
        ):
            rounds.append(measure(directory, workers, durability, options.seconds))
        facts = machine(directory)
    show(rounds)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": facts, "rounds": [asdict(seen) for seen in rounds]}, file)


if __name__ == "__main__":
    main()
