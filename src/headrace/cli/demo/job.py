"""The demo's course: who is started when, who is killed when, and when it is over.

    broker ready -> topics -> producers, consumers, probe ready, every partition owned -> go
    half of the events acknowledged     -> SIGKILL to the broker, started again at once
    three quarters, broker is back      -> SIGKILL to a consumer; the others take over
    all acknowledged, all committed     -> stop the consumers -> verifier -> report

Nothing here waits for a while and hopes: each step follows from what a process has said.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from headrace.cli.demo.broker import BrokerProcess, serve_command
from headrace.cli.demo.checker import Findings
from headrace.cli.demo.children import Child, ChildFailed, Children, Message
from headrace.cli.demo.display import Display
from headrace.cli.demo.events import ORIGINS, EventStream, shares
from headrace.cli.demo.flights_file import load
from headrace.cli.demo.report import Report
from headrace.cli.demo.status import Status
from headrace.cli.demo.worker import GROUP, PARTITIONS, PROBE_TOPIC, TOPIC, client_settings

__all__ = ["Course", "DemoFailed", "Job"]

_CONSUMERS: Final = ("consumer-1", "consumer-2", "consumer-3")
_VICTIM: Final = "consumer-2"
_PROBE: Final = "probe"
_BROKER_DIES_AT: Final = 0.50
_CONSUMER_DIES_AT: Final = 0.75
_TICK_S: Final = 0.1
_LOG_ERRORS: Final = 3  # syslog level; the client would write into the display
_READY_TIMEOUT_S: Final = 30.0
# A run of few events is stretched, so that both deaths find everybody at work.
_SHORT_RUN_S: Final = 4.0


class DemoFailed(RuntimeError):
    """The demo could not be carried through; says what went wrong."""


@dataclass(frozen=True, slots=True)
class Course:
    """What kind of run it is. `directory` is for the demo's own files, `data` for the broker's."""

    directory: Path
    data: Path
    durability: str
    events: int | None = None
    timeout_s: float = 115.0
    serve: Callable[[int], list[str]] | None = None  # another broker to run it on


class Job:
    """One run. `run` may be called once; whatever happens, no process is left behind."""

    def __init__(self, course: Course, display: Display) -> None:
        self._course = course
        self._display = display
        self._producers = {f"airport-{origin}": origin for origin in ORIGINS}
        self._status = Status(list(self._producers), list(_CONSUMERS), PARTITIONS)
        self._started_s = time.monotonic()
        self._deadline_s = self._started_s + course.timeout_s
        self._ended: set[str] = set()
        self._snapshots = course.directory / "boards"
        self._workers: dict[str, Child] = {}

    def run(self) -> Report:
        """Carry it through. Raises DemoFailed if that is not possible."""
        self._snapshots.mkdir()
        try:
            with Children(self._course.directory) as children:
                self._children = children
                serve = self._course.serve
                command = serve or serve_command(self._course.data, self._course.durability)
                self._broker = BrokerProcess(children, command)
                self._prepare()
                self._carry()
                self._stop_workers()
                return self._verify()
        except ChildFailed as error:
            raise DemoFailed(str(error)) from error

    # The steps.

    def _prepare(self) -> None:
        self._broker.start()
        self._note(f"broker ready on {self._broker.bootstrap}")
        self._create_topics()
        self._start_producers()
        for name in _CONSUMERS:
            self._start(name, "consumer", snapshots=str(self._snapshots))
        self._start(_PROBE, "probe")
        ready: set[str] = set()
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while len(ready) < len(self._workers) or not self._status.all_owned:
            if time.monotonic() > deadline_s:
                missing = set(self._workers) - ready or {"an owner for every partition"}
                raise DemoFailed(f"not ready after {_READY_TIMEOUT_S} s: {sorted(missing)}")
            for child, message in self._listen():
                if message["type"] == "ready":
                    ready.add(child.name)

    def _carry(self) -> None:
        status = self._status
        self._note(f"{status.total:,} events, go")
        for child in self._workers.values():
            child.say("go")
        broker_killed = consumer_killed = False
        while not (status.all_sent and status.all_committed):
            if not broker_killed and status.acked >= _BROKER_DIES_AT * status.total:
                self._kill_broker()
                broker_killed = True
            elif not consumer_killed and self._consumer_may_die():
                self._kill_consumer()
                consumer_killed = True
            for _ in self._listen():
                pass
            if status.all_sent and _PROBE not in self._ended:
                self._workers[_PROBE].say("stop")
                self._ended.add(_PROBE)

    def _stop_workers(self) -> None:
        self._note("everything is acknowledged, processed and committed; reading the log")
        living = [name for name in _CONSUMERS if self._status.consumers[name].alive]
        for name in living:
            self._workers[name].say("stop")
        done: set[str] = set()
        while len(done) < len(living):
            for child, message in self._listen():
                if message["type"] == "done" and child.name in living:
                    done.add(child.name)

    def _verify(self) -> Report:
        ledgers = [str(self._ledger(origin)) for origin in self._producers.values()]
        self._start(
            "verifier",
            "verifier",
            partitions=PARTITIONS,
            ledgers=ledgers,
            snapshots=str(self._snapshots),
        )
        while True:
            for child, message in self._listen():
                if child.name == "verifier" and message["type"] == "done":
                    return Report.of(
                        self._status,
                        Findings.from_dict(message["findings"]),
                        durability=self._course.durability,
                        consumer_killed=not self._status.consumers[_VICTIM].alive,
                        board_matches=message["board_matches"],
                        carriers=message["carriers"],
                    )

    # What the steps are made of.

    def _create_topics(self) -> None:
        # By default a broker forgets after a week, by the records' own time, which is 2013.
        keep = {"retention.ms": "-1"}
        topics = [
            NewTopic(TOPIC, PARTITIONS, 1, config=keep),
            NewTopic(PROBE_TOPIC, 1, 1, config=keep),
        ]
        quiet: dict[str, str | int | float | bool] = {"log_level": _LOG_ERRORS}
        admin = AdminClient({**client_settings(self._broker.bootstrap, "demo"), **quiet})
        for name, created in admin.create_topics(topics, operation_timeout=10).items():
            try:
                created.result(timeout=_READY_TIMEOUT_S)
            except KafkaException as error:
                reason: KafkaError = error.args[0]
                known = reason.code() == KafkaError.TOPIC_ALREADY_EXISTS
                hint = "; the demo wants a data directory of its own" if known else ""
                raise DemoFailed(f"cannot create {name}: {reason.str()}{hint}") from error

    def _start_producers(self) -> None:
        table = load()
        totals = [len(EventStream(table, origin)) for origin in self._producers.values()]
        limits = shares(totals, self._course.events)
        for (name, origin), limit in zip(self._producers.items(), limits, strict=True):
            self._start(
                name,
                "producer",
                origin=origin,
                limit=limit,
                events_per_s_max=None if self._course.events is None else limit / _SHORT_RUN_S,
                ledger=str(self._ledger(origin)),
            )

    def _start(self, name: str, module: str, **options: object) -> None:
        common = {
            "bootstrap": self._broker.bootstrap,
            "client_id": name,
            "deadline_s": self._left_s(),
        }
        self._workers[name] = self._children.start_module(name, module, {**common, **options})

    def _ledger(self, origin: str) -> Path:
        return self._course.directory / f"acknowledged-{origin}"

    def _kill_broker(self) -> None:
        status = self._status
        waiting = status.sent - status.acked
        status.killed_s = time.monotonic()
        self._broker.kill()
        status.dead_s = time.monotonic()
        self._broker.spawn()
        self._note(f"broker killed with SIGKILL, {waiting:,} events under way; started again")

    def _consumer_may_die(self) -> bool:
        """The broker has been through it, and the victim has work to lose."""
        status = self._status
        return (
            status.acked >= _CONSUMER_DIES_AT * status.total
            and status.recovered_s is not None
            and status.uncommitted(_VICTIM) > 0
        )

    def _kill_consumer(self) -> None:
        partitions = self._status.consumers[_VICTIM].partitions
        self._children.forget(self._workers.pop(_VICTIM))
        self._status.bury(_VICTIM)
        self._note(f"{_VICTIM} killed with SIGKILL; its partitions {partitions} go to the others")

    def _listen(self) -> list[tuple[Child, Message]]:
        """Wait a moment for messages, take note of them, show it. Raises DemoFailed in trouble."""
        if self._left_s() <= 0:
            raise DemoFailed(self._too_late())
        heard = []
        recovered = self._status.recovered_s is not None
        for child, message in self._children.messages(_TICK_S):
            heard.append((child, message))
            self._hear(child, message)
        if not recovered and self._status.recovered_s is not None:
            seconds = self._status.recovered_s - (self._status.killed_s or 0)
            self._note(f"first acknowledgement {seconds:.2f} s after the kill")
        self._display.update(self._status, time.monotonic() - self._started_s)
        return heard

    def _hear(self, child: Child, message: Message) -> None:
        kind = message["type"]
        if kind == "error":
            raise DemoFailed(f"{child.name}: {message['message']}")
        if kind == "ended":
            if child.name not in self._ended or message["status"] != 0:
                raise DemoFailed(f"{child.name} ended: {child.log_tail()}")
        elif kind == "done":
            self._ended.add(child.name)
        elif kind == "ready" and child.name == "broker":
            self._note("broker ready again")
        if child.name != "broker":
            self._status.take(child.name, message)
        if kind == "refused":
            self._note(f"{child.name} could not commit, and will again: {message['message']}")
        if kind == "assigned" and message["partitions"]:
            self._note(f"group {GROUP}: {child.name} has partitions {message['partitions']}")

    def _too_late(self) -> str:
        status = self._status
        return (
            f"not finished within {self._course.timeout_s:g} s: of {status.total:,} events "
            f"{status.acked:,} are acknowledged and {status.covered:,} processed; "
            f"the broker's last words: {self._broker.last_words()}"
        )

    def _note(self, text: str) -> None:
        self._display.note(time.monotonic() - self._started_s, text)

    def _left_s(self) -> float:
        return self._deadline_s - time.monotonic()
