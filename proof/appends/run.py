"""The run: writers append and abort, readers read, the broker is killed; then all is compared."""

import random
import threading
import time
from dataclasses import dataclass, field

from confluent_kafka.admin import AdminClient, NewTopic

from proof.appends.judge import judge
from proof.appends.lists import PARTITIONS, STALL_S_MAX, TOPIC, Lists
from proof.broker import ExternalBroker, HeadraceBroker

__all__ = ["Plan", "Report", "run"]

ADMIN_S = 10


@dataclass(frozen=True)
class Plan:
    seconds: float
    seed: int
    writers: int = 3
    readers: int = 2
    kills: int = 2


@dataclass
class Report:
    acknowledged: int = 0
    aborted: int = 0
    readings: int = 0
    kills: int = 0
    problems: list[str] = field(default_factory=list)


def run(plan: Plan, broker: HeadraceBroker | ExternalBroker) -> Report:
    """Raises RuntimeError when the run itself breaks; what the broker does wrong is reported."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(ADMIN_S)
    running = Lists(broker.bootstrap, plan.seed)
    threads: list[threading.Thread] = [
        *(running.start(running.transact, f"writer-{n}") for n in range(plan.writers)),
        running.start(running.append, "plain"),
        *(running.start(running.read, f"reader-{n}") for n in range(plan.readers)),
    ]
    chance = random.Random(f"{plan.seed}/kills")
    try:
        for _ in range(plan.kills):
            time.sleep(plan.seconds / (plan.kills + 1) * chance.uniform(0.6, 1.1))
            broker.crash()
        time.sleep(plan.seconds / (plan.kills + 1))
    finally:
        running.stopping.set()
    for thread in threads:
        thread.join(STALL_S_MAX)
        if thread.is_alive():
            running.failures.append(f"{thread.name} does not end")
    evidence = running.evidence()
    return Report(
        len(running.acknowledged),
        sum(one.outcome == "aborted" for one in running.attempts.values()),
        len(running.readings),
        len(broker.outages),
        running.failures + judge(evidence),
    )
