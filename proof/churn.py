"""The run: records flow, groups change every second, the broker is killed; then all is counted."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from proof.broker import ExternalBroker, HeadraceBroker
from proof.clients import Client
from proof.errors import sort_of
from proof.group import Group, group_name
from proof.judge import judge, judge_log
from proof.lag import committed_lag, shared_lag
from proof.report import GroupRow, Report
from proof.writer import KEYS, Writer

__all__ = ["Plan", "run"]

TOPIC = "proof"
PARTITIONS = 8
"""More than a group ever has members, so that everybody has something to read at the end."""
TAIL_SHARE = 0.01
"""Of the records, kept for the time after the churn: who lives then must read."""
SETTLE_S_MAX = 90
ADMIN_S = 10
SHARE_GROUP = {"share.auto.offset.reset": "earliest", "share.delivery.count.limit": "10"}


@dataclass(frozen=True)
class Plan:
    clients: Sequence[Client]
    seconds: float
    records: int
    kills: int
    seed: int
    directory: Path
    change_s: float = 1.0


def run(plan: Plan, broker: HeadraceBroker | ExternalBroker) -> Report:
    """Raises RuntimeError when the run itself breaks; what the broker does wrong is reported."""
    _prepare(_admin(broker), plan.clients)
    writer = Writer(broker.bootstrap, TOPIC)
    groups: list[Group] = []
    try:
        for client in plan.clients:  # one by one: those that were started are ended
            groups.append(Group(client, broker.bootstrap, TOPIC, plan.directory, plan.seed))
        tail = max(PARTITIONS * 10, int(plan.records * TAIL_SHARE))
        _churn(plan, broker, groups, writer, plan.records - tail)
        settled = time.monotonic()
        _let_all_read(groups, writer, tail, settled)
        log = writer.finish()
        ends = {partition: len(records) for partition, records in log.items()}
        admin = _admin(broker)  # one that knew the broker before it was killed may wait for ever
        lags = _wait_for_lags(
            lambda group: _lag(broker.bootstrap, admin, group, ends), groups, settled
        )
        settled_s = time.monotonic() - settled
        ends = _end_offsets(broker.bootstrap)
        for group in groups:
            group.finish()
    finally:
        for group in groups:
            group.abandon()
    report = Report(
        records=plan.records,
        seconds=plan.seconds,
        seed=plan.seed,
        kills=len(broker.outages),
        down_s=sum(up - down for down, up in broker.outages),
        settled_s=settled_s,
        problems=writer.failures + judge_log(log, ends, KEYS),
    )
    for group in groups:
        history = group.history(settled, broker.outages)
        verdict = judge(log, history)
        errors = Counter(
            f"{sort_of(event, broker.outages)} {event['where']} {event['error']}"
            for events in history.events
            for event in events
            if event["event"] == "failed"
        )
        report.groups.append(
            GroupRow(
                group.client.name,
                verdict.records,
                verdict.redelivered,
                len(group.started),
                len(group.told_to_stop),
                len(group.killed),
                lags[group.name],
                round(verdict.longest_silence_s, 2),
                round(verdict.longest_wait_s, 2),
                dict(errors.most_common()),
                verdict.problems,
                verdict.client_faults,
            )
        )
    return report


def _admin(broker: HeadraceBroker | ExternalBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})


def _prepare(admin: AdminClient, clients: Sequence[Client]) -> None:
    """The topic; all groups read it from the start, and share groups give no record up.

    Groups get the committed offset 0: without one librdkafka 2.16 asks for the beginning once more
    whenever the assignment changes before it has its answer, and goes back there with each answer.
    """
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(ADMIN_S)
    for client in clients:
        name = group_name(client)
        if client.is_share:
            wanted = [
                ConfigEntry(config, value, incremental_operation=AlterConfigOpType.SET)
                for config, value in SHARE_GROUP.items()
            ]
            group = ConfigResource(ResourceType.GROUP, name, incremental_configs=wanted)
            done = admin.incremental_alter_configs([group])[group]
        else:
            zero = [TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)]
            asked = [ConsumerGroupTopicPartitions(name, zero)]
            done = admin.alter_consumer_group_offsets(asked)[name]
        done.result(ADMIN_S)


def _churn(
    plan: Plan,
    broker: HeadraceBroker | ExternalBroker,
    groups: Sequence[Group],
    writer: Writer,
    count: int,
) -> None:
    """Write, and change each group once in `change_s`, one after the other."""
    broken = threading.Event()
    writing = threading.Thread(target=writer.write, args=(count, plan.seconds, broken))
    writing.start()
    start = time.monotonic()
    crashes = [start + plan.seconds * (n + 1) / (plan.kills + 1) for n in range(plan.kills)]
    crashing: list[threading.Thread] = []
    try:
        turn = 0
        while (now := time.monotonic()) < start + plan.seconds:
            if crashes and now >= crashes[0]:
                crashes.pop(0)
                crashing.append(threading.Thread(target=broker.crash))
                crashing[-1].start()
            due = start + turn * plan.change_s / len(groups)
            if now < due:
                time.sleep(min(due - now, 0.05))
                continue
            groups[turn % len(groups)].change()
            groups[turn % len(groups)].catch_up()
            turn += 1
    except BaseException:
        broken.set()
        raise
    finally:
        writing.join()
        for thread in crashing:
            thread.join()


def _let_all_read(groups: Sequence[Group], writer: Writer, tail: int, settled: float) -> None:
    """Write the rest bit by bit until everyone who lives has read some of it."""
    waiting = set().union(*(group.living() for group in groups))
    deadline = settled + SETTLE_S_MAX / 2
    last = writer.sent + tail
    while waiting and time.monotonic() < deadline:
        # What was written before the end may still be on its way: that is progress too, but a
        # member that reads must go on reading.
        writer.write(min(max(1, tail // 40), last - writer.sent), 0.5)
        for group in groups:
            waiting -= {
                event["member"]
                for event in group.catch_up()
                if event["event"] == "read" and event["t"] >= settled
            }
        if writer.sent == last:
            time.sleep(0.2)
    writer.write(last - writer.sent, 0.0)


def _wait_for_lags(
    lag_of: Callable[[Group], int], groups: Sequence[Group], settled: float
) -> dict[str, int]:
    deadline = settled + SETTLE_S_MAX
    while True:
        lags = {group.name: lag_of(group) for group in groups}
        if not any(lags.values()) or time.monotonic() > deadline:
            return lags
        time.sleep(0.2)


def _lag(bootstrap: str, admin: AdminClient, group: Group, ends: dict[int, int]) -> int:
    if group.client.is_share:
        return shared_lag(bootstrap, group.name, ends)
    return committed_lag(admin, group.name, TOPIC, ends)


def _end_offsets(bootstrap: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "proof-ends", "log_level": 0})
    try:
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), ADMIN_S)[1]
            for partition in range(PARTITIONS)
        }
    finally:
        consumer.close()
