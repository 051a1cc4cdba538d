"""The row and the event are both there or neither, and in the end each is there once, whatever step
the program or the broker is killed at."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from headrace.testing import running_broker
from headrace.two_phase import Fenced, TwoPhaseProducer

psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
from tests.examples import mortal  # noqa: E402 - needs it

ALLOWED = {"transaction.two.phase.commit.enable": "true"}
STEPS = (
    "SELECT pg_advisory_lock(hashtext(%s))",
    "CREATE TABLE",
    "log open",
    "SELECT gid",
    "SELECT FROM",  # recovered; is this payment there?
    "log begin",
    "BEGIN",
    "INSERT INTO",
    "log send",
    "log prepare",
    "INSERT INTO",
    "PREPARE TRANSACTION",
    "COMMIT PREPARED",
    "log commit",
)
"""Of the example, with a payment to do and nothing to recover."""
ASKING = ("log open", "log prepare", "PREPARE TRANSACTION", "COMMIT PREPARED", "log commit")
"""Those that change something at the broker or the database, by one question."""
DECIDED = {
    ("before", "COMMIT PREPARED"),
    ("before", "log commit"),
    ("amid", "PREPARE TRANSACTION"),
    ("amid", "COMMIT PREPARED"),
    ("amid", "log commit"),
}
"""When both sides are prepared, the payment is done."""
BROKER_DEATHS = {
    ("amid", "log open"),
    ("before", "log prepare"),
    ("amid", "log prepare"),
    ("before", "log commit"),
    ("amid", "log commit"),
}


class Payments:
    """What programs were asked to do, and what became of it."""

    def __init__(self, broker: Any, address: str, read_committed: Callable[..., Any]) -> None:
        self.broker = broker
        self.address = address
        self._database = connect_database(address)
        self._read_committed = read_committed
        self.asked: list[str] = []
        self.program = subprocess.Popen(
            [sys.executable, str(Path(mortal.__file__)), broker.bootstrap, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._database.close()
        self.program.communicate(timeout=20)

    def ask(self) -> str:
        """A payment that nobody has asked for before."""
        number = len(self.asked) + 1
        self.asked.append(str(number))
        return f"{number}={number}"

    def run(self, step: int = 0, moment: str = "before", *payments: str) -> str:
        """The step that the program was killed at, or `ended 0`."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        print(step, moment, *payments, file=self.program.stdin, flush=True)
        answer = self.program.stdout.readline().strip()
        assert answer == "ended 0" or step, answer
        return answer

    def rows(self) -> list[str]:
        return sorted(
            str(cents) for (cents,) in self._database.execute("SELECT cents FROM payments")
        )

    def check(self) -> None:
        """The same on both sides, nothing twice, nothing half."""
        events = self._read_committed(self.broker, "payments")
        assert sorted(value.decode() for value in events) == self.rows()
        left = self._database.execute("SELECT gid FROM pg_prepared_xacts").fetchall()
        assert left == []


def connect_database(address: str) -> Any:
    return psycopg.connect(address, autocommit=True)


@pytest.fixture
def address(postgresql: str) -> Iterator[str]:
    """An empty database of its own."""
    with connect_database(postgresql) as server:
        server.execute("CREATE DATABASE bank")
        yield postgresql.replace("dbname=postgres", "dbname=bank")
        server.execute("DROP DATABASE bank WITH (FORCE)")


@pytest.fixture
def payments(address: str, read_committed: Callable[..., Any]) -> Iterator[Payments]:
    with running_broker(broker=ALLOWED) as broker:
        broker.create_topic("payments")
        made = Payments(broker, address, read_committed)
        yield made
        made.close()


@pytest.mark.slow
def test_a_program_that_is_killed_at_any_step_leaves_both_sides_the_same(payments):
    payment = payments.ask()
    cases = [("before", place, step) for place, step in enumerate(STEPS, 1)]
    cases += [("amid", place, step) for _, place, step in cases if step in ASKING]
    for moment, place, step in cases:
        assert payments.run(place, moment, payment) == step
        payments.run()  # recovers, and does nothing else
        payments.check()
        is_there = payment.partition("=")[0] in payments.rows()
        if (moment, step) in DECIDED:
            assert is_there
        if is_there:  # else it is done in the next round
            payment = payments.ask()
    payments.run(0, "before", payment)
    payments.check()
    assert payments.rows() == sorted(payments.asked)


def test_recovery_may_be_killed_at_any_step_and_comes_to_the_same(payments):
    undecided, decided = payments.ask(), payments.ask()
    assert payments.run(12, "before", undecided) == "PREPARE TRANSACTION"
    assert payments.run(3, "amid") == "log open"
    assert payments.run(4, "before") == "SELECT gid"
    assert payments.run(5, "before") == "SELECT state"
    assert payments.run(6, "before") == "log complete"
    assert payments.run(6, "amid") == "log complete"
    payments.run()
    assert payments.rows() == []
    payments.check()
    assert payments.run(13, "before", decided) == "COMMIT PREPARED"
    assert payments.run(3, "amid") == "log open"
    assert payments.run(5, "before") == "COMMIT PREPARED"
    assert payments.run(5, "amid") == "COMMIT PREPARED"
    assert payments.run(5, "before") == "SELECT state"
    assert payments.run(6, "before") == "log complete"
    assert payments.run(6, "amid") == "log complete"
    payments.run()
    assert payments.rows() == [decided.partition("=")[0]]
    payments.check()


def test_what_the_log_has_lost_is_not_committed_in_the_database(payments):
    """An administrator has aborted a prepared transaction by force."""
    assert payments.run(13, "before", payments.ask()) == "COMMIT PREPARED"
    with TwoPhaseProducer(payments.broker.bootstrap, "payments") as log:
        log.open(keep_prepared=False)
    payments.run()
    assert payments.rows() == []
    payments.check()


def test_a_second_program_waits_until_the_first_can_decide_nothing(payments, address, until):
    payments.run()  # makes the tables
    example = mortal.load_example()
    with (
        TwoPhaseProducer(payments.broker.bootstrap, example.OWNER) as log,
        connect_database(address) as first,
        connect_database(address) as looking,
        ThreadPoolExecutor(1) as second,
    ):
        first.execute("SELECT pg_advisory_lock(hashtext(%s))", (example.OWNER,))
        example.recover(first, log)
        with (
            mock.patch.object(log, "commit", side_effect=InterruptedError),
            pytest.raises(InterruptedError),
        ):
            example.pay(first, log, payments.ask().partition("=")[0], 1)
        replacing = second.submit(payments.run)
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: looking.execute(waiting).fetchone() is not None, "the second one to wait")
        assert not replacing.done()
        first.close()
        assert replacing.result(20) == "ended 0"
        with pytest.raises(Fenced):
            log.commit()
    assert payments.rows() == ["1"]
    payments.check()


@pytest.mark.slow
def test_a_broker_that_is_killed_between_steps_or_amid_one_only_takes_time(
    address, broker_process, create_topic, read_committed, monkeypatch
):
    process = broker_process("--broker", "transaction.two.phase.commit.enable=true")
    create_topic(process, "payments")
    deaths = []
    step = ""

    def restart(moment: str) -> None:
        if (moment, step) in BROKER_DEATHS and (moment, step) not in deaths:
            deaths.append((moment, step))
            process.kill()
            process.start()

    def before(now: str) -> None:
        nonlocal step
        step = now
        restart("before")

    mortal.listen_to_log(before, lambda: restart("amid"), monkeypatch.setattr)
    pay = mortal.load_example().main
    pay(process.bootstrap, address, *(f"{number}={number}" for number in range(1, 5)))
    assert sorted(deaths) == sorted(BROKER_DEATHS)
    assert read_committed(process, "payments") == [b"1", b"2", b"3", b"4"]
    with connect_database(address) as database:
        assert database.execute("SELECT sum(cents), count(*) FROM payments").fetchone() == (10, 4)
