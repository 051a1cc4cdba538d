"""The run: orders flow, tellers and broker are killed at random, then the books are looked at."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from proof.attempts import attempts_of
from proof.bank.auditor import Auditor, read_all
from proof.bank.clerk import Clerk
from proof.bank.judge import Evidence, judge
from proof.bank.records import PARTITIONS, TOPICS
from proof.bank.report import Report
from proof.bank.staff import Staff
from proof.broker import ExternalBroker, HeadraceBroker

__all__ = ["PROTOCOLS", "Plan", "run"]

GROUP = "bank"
ADMIN_S = 10
SETTLE_S_MAX = 90
FROZEN_S = 8.0
"""Longer than a session: the group goes on without it."""
CLASSIC = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}

PROTOCOLS: dict[str, dict[str, Any]] = {
    "eager": {"partition.assignment.strategy": "range", **CLASSIC},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky", **CLASSIC},
    "consumer": {"group.protocol": "consumer"},
}


@dataclass(frozen=True)
class Plan:
    """Everything random follows from `seed`; `*_every_s` are averages."""

    seconds: float
    seed: int
    directory: Path
    protocol: str = "cooperative"
    tellers: int = 4
    accounts: int = 32
    orders_per_s: float = 60.0
    teller_killed_every_s: float = 5.0
    broker_killed_every_s: float = 15.0
    teller_frozen_every_s: float = 40.0
    transaction_timeout_ms: int = 10_000


def run(plan: Plan, broker: HeadraceBroker | ExternalBroker) -> Report:
    """Raises RuntimeError when the run itself breaks; what the bank does wrong is reported."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    topics = [NewTopic(topic, PARTITIONS, 1) for topic in TOPICS]
    for made in admin.create_topics(topics).values():
        made.result(ADMIN_S)
    common = {
        "bootstrap": broker.bootstrap,
        "group": GROUP,
        "seed": plan.seed,
        "consumer": PROTOCOLS[plan.protocol],
        "transaction_timeout_ms": plan.transaction_timeout_ms,
    }
    auditor = Auditor(broker.bootstrap, GROUP)
    clerk = Clerk(broker.bootstrap, plan.accounts, plan.orders_per_s, plan.seed)
    staff = Staff(plan.tellers, plan.directory, common)
    try:
        auditor.start()
        clerk.start()
        _trouble(plan, broker, staff)
        clerk.finish()
        settled = time.monotonic()
        problems = clerk.failures + _settle(staff, auditor, clerk.sent)
        settled_s = time.monotonic() - settled
        problems += staff.finish()
    finally:
        staff.dismiss()
    auditor.finish()
    if auditor.errors:
        problems.append(f"the auditor met errors: {auditor.errors}")
    return _report(plan, broker, clerk, auditor, staff, problems, settled_s)


def _trouble(plan: Plan, broker: HeadraceBroker | ExternalBroker, staff: Staff) -> None:
    chance = random.Random(f"{plan.seed}/trouble")
    end = time.monotonic() + plan.seconds
    every = {
        "teller": plan.teller_killed_every_s,
        "broker": plan.broker_killed_every_s,
        "freeze": plan.teller_frozen_every_s,
    }
    due = {what: time.monotonic() + _pause(chance, each) for what, each in every.items()}
    thaw_at: dict[int, float] = {}
    crashing: threading.Thread | None = None
    while (now := time.monotonic()) < end:
        staff.replace_the_gone()
        for number in [one for one, at in thaw_at.items() if at <= now]:
            del thaw_at[number]
            staff.thaw(number)
        for what in [one for one, at in due.items() if at <= now]:
            due[what] = now + _pause(chance, every[what])
            number = chance.randrange(plan.tellers)
            if what == "teller":
                staff.kill(number)
            elif what == "freeze":
                staff.freeze(number)
                thaw_at[number] = now + FROZEN_S
            elif crashing is None or not crashing.is_alive():
                crashing = threading.Thread(target=broker.crash)
                crashing.start()
        time.sleep(0.02)
    for number in thaw_at:
        staff.thaw(number)
    if crashing is not None:
        crashing.join()


def _pause(chance: random.Random, average_s: float) -> float:
    return chance.uniform(0.3, 1.7) * average_s


def _settle(staff: Staff, auditor: Auditor, orders: int) -> list[str]:
    """Wait until the auditor has seen what became of every order."""
    deadline = time.monotonic() + SETTLE_S_MAX
    while len(auditor.decided) < orders:
        if time.monotonic() > deadline:
            return [f"{orders - len(auditor.decided)} of {orders} orders were never decided"]
        staff.replace_the_gone()
        time.sleep(0.05)
    return []


def _report(
    plan: Plan,
    broker: HeadraceBroker | ExternalBroker,
    clerk: Clerk,
    auditor: Auditor,
    staff: Staff,
    problems: list[str],
    settled_s: float,
) -> Report:
    final = read_all(broker.bootstrap, "read_committed")
    everything = read_all(broker.bootstrap, "read_uncommitted")
    events = staff.events()
    attempts = attempts_of(events)
    verdict = judge(
        Evidence(
            plan.accounts, auditor.seen, final, clerk.acknowledged, attempts, auditor.standings
        )
    )
    outcomes = Counter(attempt.outcome for attempt in attempts.values())
    return Report(
        seconds=plan.seconds,
        seed=plan.seed,
        protocol=plan.protocol,
        orders=clerk.sent,
        transactions=dict(outcomes),
        broker_kills=len(broker.outages),
        down_s=sum(up - down for down, up in broker.outages),
        tellers_started=staff.started,
        tellers_killed=staff.killed,
        tellers_frozen=staff.times_frozen,
        tellers_gave_up=Counter(e["error"] for e in events if e["event"] == "failed"),
        committed_records=len(final),
        hidden_records=len(everything) - len(final),
        reads=verdict.reads,
        longest_half_seen_s=round(verdict.longest_half_seen_s, 3),
        settled_s=round(settled_s, 2),
        problems=problems + verdict.problems,
    )
