"""The run: the load against a broker, then the log, read as any Kafka client may."""

import asyncio
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from confluent_kafka.admin import AdminClient, NewTopic

from headrace.broker.streams.decisions import DECISIONS_TOPIC
from headrace.cli.plain_requests import PlainRequests
from headrace.cli.raw_fetch import fetch_batches
from headrace.cli.stream_check import StreamCheck
from headrace.wire.batch import BatchHeader
from headrace.wire.records import read_records
from proof.broker import HeadraceBroker
from proof.streams.judge import Judge, Name
from proof.streams.load import Plan, run_load
from proof.streams.producer import Counts
from proof.streams.report import Report

__all__ = ["run"]

ADMIN_S: Final = 30
VALUE: Final = re.compile(rb'\{"stream":\[(\d+),(\d+),(\d+)\]')


class _Watched:
    """The broker's process and the streams, looked at once a second."""

    def __init__(self, pid: int, counts: Counts) -> None:
        self._pid = pid
        self._counts = counts
        self.resident_mb: list[float] = []
        self.open: list[int] = []

    def look(self, now_s: float) -> None:
        self.resident_mb.append(self.memory_mb("VmRSS"))
        self.open.append(self._counts.open)

    def memory_mb(self, what: str) -> float:
        with open(f"/proc/{self._pid}/status") as status:
            for line in status:
                if line.startswith(what):
                    return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError(f"the system does not tell {what}")

    def cpu_s(self) -> float:
        with open(f"/proc/{self._pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(plan: Plan, broker: HeadraceBroker) -> Report:
    """Raises RuntimeError when the run itself breaks; what is wrong with streams is reported."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    topic = NewTopic(plan.topic, plan.partitions, 1, config=plan.configs())
    for made in admin.create_topics([topic]).values():
        made.result(ADMIN_S)
    counts = Counts()
    watched = _Watched(broker.streams_pid(), counts)
    idle_mb = watched.memory_mb("VmRSS")
    with _trouble(plan, broker):
        told = asyncio.run(run_load(plan, broker.grpc_port, counts, watched.look))
    peak_mb, cpu_s = watched.memory_mb("VmHWM"), watched.cpu_s()
    leaders = _leader_ports(admin, plan.topic)
    partitions = len(leaders)
    judge, check = Judge(), StreamCheck()
    for partition, port in enumerate(leaders):
        with PlainRequests("127.0.0.1", port, ADMIN_S) as requests:
            _read(requests, plan.topic, partition, judge, check)
    (port,) = _leader_ports(admin, DECISIONS_TOPIC)
    with PlainRequests("127.0.0.1", port, ADMIN_S) as requests:
        decisions = list(_decisions(requests, plan.topic))
    verdict = judge.verdict(told)
    actions = Counter(decision["action"] for decision in decisions)
    return Report(
        seconds=plan.seconds,
        seed=plan.seed,
        producers=plan.streams,
        configs=plan.configs(),
        streams_opened=counts.openings,
        open_at_once_mean=sum(watched.open) / max(len(watched.open), 1),
        open_at_once_least=min(watched.open, default=0),
        acknowledged_records=sum(each.acknowledged for each in told.values()),
        log_records=verdict.records,
        resent_records=counts.resent_records,
        unacknowledged_records=verdict.unacknowledged_records,
        close_signals=counts.close_signals,
        cut_off=counts.cut_off,
        turns_without_room=counts.turns_without_room,
        partitions=partitions,
        active_most=max((d.get("active_partitions", 0) for d in decisions), default=0),
        opened=_partitions_of(decisions, "open"),
        reopened=_partitions_of(decisions, "reopen"),
        retired=actions["retire"],
        relieved=actions["relieve"],
        workers=broker.workers,
        workers_killed=len(broker.outages),
        down_s=sum(up - down for down, up in broker.outages),
        broker_idle_mb=idle_mb,
        broker_peak_mb=peak_mb,
        broker_mb_by_fifths=_fifths(watched.resident_mb),
        broker_cpu_s=cpu_s,
        verify_streams=len(check.streams),
        verify_faults=check.faults_count,
        problems_count=verdict.problems_count + check.faults_count + len(counts.problems),
        problems=[
            *counts.problems[:100],
            *(f"verify: {fault}" for fault in check.faults[:100]),
            *verdict.problems,
        ],
    )


@contextmanager
def _trouble(plan: Plan, broker: HeadraceBroker) -> Iterator[None]:
    """Kill workers in turn, evenly over the run."""
    over = threading.Event()
    failed: list[Exception] = []

    def kill() -> None:
        try:
            for number in range(plan.kills):
                if over.wait(plan.seconds / (plan.kills + 1)):
                    return
                broker.crash_worker(1 + number % (broker.workers - 1))
        except (OSError, LookupError) as error:
            failed.append(error)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        yield
    finally:
        over.set()
        killing.join()
    if failed:
        raise failed[0]


def _leader_ports(admin: AdminClient, topic: str) -> list[int]:
    """By partition."""
    seen = admin.list_topics(timeout=ADMIN_S)
    found = seen.topics[topic].partitions
    return [int(seen.brokers[found[index].leader].port) for index in range(len(found))]


def _fifths(samples: list[float]) -> list[float]:
    """The highest of each fifth of the run."""
    size = max(len(samples) // 5, 1)
    return [max(samples[start : start + size]) for start in range(0, len(samples), size)][:5]


def _partitions_of(decisions: list[dict[str, Any]], action: str) -> int:
    return sum(len(each["partitions"]) for each in decisions if each["action"] == action)


def _read(
    requests: PlainRequests, topic: str, partition: int, judge: Judge, check: StreamCheck
) -> None:
    for header, batch in _batches(requests, topic, partition):
        check.add(partition, header, log_start=0)
        for record in read_records(batch):
            found = VALUE.match(record.value or b"")
            if found is None:
                raise RuntimeError(f"no record of ours: {record.value!r}")
            producer, opening, number = map(int, found.groups())
            judge.add(partition, header.producer_id, Name(producer, opening), number)


def _decisions(requests: PlainRequests, topic: str) -> Iterator[dict[str, Any]]:
    for _, batch in _batches(requests, DECISIONS_TOPIC, 0):
        for record in read_records(batch):
            decision = json.loads(record.value or b"{}")
            if decision["topic"] == topic:
                yield decision


def _batches(
    requests: PlainRequests, topic: str, partition: int
) -> Iterator[tuple[BatchHeader, memoryview]]:
    """From the first to the last: nobody writes any more."""
    offset, before = 0, -1
    while offset > before:
        before = offset
        for header, batch in fetch_batches(requests, topic, partition, offset):
            offset = header.next_offset
            yield header, batch
