"""A prepared transaction ends as it was decided, by whoever comes to decide, whatever is lost."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from headrace.testing import running_broker
from headrace.two_phase import (
    Fenced,
    OutOfTurn,
    PreparedState,
    Refused,
    TwoPhaseError,
    TwoPhaseProducer,
    Unanswered,
    producer,
    requests,
)
from headrace.wire.errors import ErrorCode

ALLOWED = {"transaction.two.phase.commit.enable": "true"}


@pytest.fixture(scope="module")
def broker() -> Iterator[Any]:
    """One for all: every test has a topic of its own."""
    with running_broker(broker=ALLOWED) as running:
        yield running


@pytest.fixture
def topic(broker: Any, request: Any) -> str:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    broker.create_topic(name, 2)
    return name


@pytest.fixture
def opened(broker: Any, topic: str) -> Iterator[Callable[..., TwoPhaseProducer]]:
    """`opened()` is a producer of this test's transactional id, whatever was held is aborted."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> TwoPhaseProducer:
            made = TwoPhaseProducer(broker.bootstrap, topic, timeout_s=10)
            stack.enter_context(made)
            made.open(keep_prepared=False)
            return made

        yield make


def prepared(log: TwoPhaseProducer, topic: str, *values: bytes) -> PreparedState:
    log.begin()
    for value in values:
        log.send(topic, value, partition=0)
    return log.prepare()


def test_what_was_committed_is_read_and_nothing_that_was_aborted(
    broker, topic, opened, read_committed
):
    log = opened()
    for number, commit in enumerate([True, False, True, False, True]):
        log.begin()
        for partition in (0, 1):
            log.send(topic, b"%d" % number, partition=partition)
        log.commit() if commit else log.abort()
    for partition in (0, 1):
        assert read_committed(broker, topic, partition) == [b"0", b"2", b"4"]


def test_records_keep_key_headers_and_their_order_however_many(broker, topic, opened, connect):
    log = opened()
    log.begin()
    sent = [(b"k%d" % number, b"v" * 900) for number in range(1000)]
    for key, value in sent:  # more than BUFFERED_BYTES_MAX: several batches
        log.send(topic, value, key=key, headers=[("h", b"1"), ("h", None)], partition=1)
    log.send(topic, None, key=b"tombstone", partition=1)
    log.commit()
    records = [r for r in connect(broker).read_all(topic, 1) if r.key and r.key != b"\0\0\0\1"]
    assert [(record.key, record.value) for record in records] == [*sent, (b"tombstone", None)]
    assert records[0].headers == (("h", b"1"), ("h", None))
    assert abs(records[0].timestamp_ms / 1000 - time.time()) < 60


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_prepared_transaction_waits_for_its_heir_who_ends_it_as_stored(
    broker, topic, opened, read_committed, is_stored
):
    with opened() as log:
        prepared(log, topic, b"before")
        log.commit()
        state = prepared(log, topic, b"1", b"2")
    assert read_committed(broker, topic) == [b"before"]
    stored = str(state) if is_stored else str(state._replace(epoch=state.epoch - 1))
    for _ in range(2):  # an heir may die too
        with TwoPhaseProducer(broker.bootstrap, topic) as heir:
            assert heir.open() == state
    with TwoPhaseProducer(broker.bootstrap, topic) as heir:
        assert heir.open() == state
        for call in (heir.begin, heir.prepare, lambda: heir.send(topic, b"", partition=0)):
            with pytest.raises(OutOfTurn, match="prepared"):
                call()
        assert heir.complete(stored) is is_stored
        prepared(heir, topic, b"after")
        heir.commit()
    kept = [b"1", b"2"] if is_stored else []
    assert read_committed(broker, topic) == [b"before", *kept, b"after"]
    with TwoPhaseProducer(broker.bootstrap, topic) as heir:
        assert heir.open() is None


def test_what_was_never_prepared_is_no_stored_state(broker, topic, opened, read_committed):
    """It is held all the same: the broker cannot know whether its producer had prepared it."""
    with opened() as log:
        log.begin()
        log.send(topic, b"x" * producer.BUFFERED_BYTES_MAX, partition=0)
    with TwoPhaseProducer(broker.bootstrap, topic) as heir:
        assert heir.open() is not None
        assert heir.complete(None) is False
    assert read_committed(broker, topic) == []


def test_who_does_not_keep_it_aborts_it(broker, topic, opened, read_committed):
    with opened() as log:
        prepared(log, topic, b"1")
    opened().close()
    with TwoPhaseProducer(broker.bootstrap, topic) as heir:
        assert heir.open() is None
    assert read_committed(broker, topic) == []


def test_who_was_replaced_decides_nothing(broker, topic, opened, read_committed):
    old = opened()
    state = prepared(old, topic, b"1")
    with TwoPhaseProducer(broker.bootstrap, topic) as heir:
        assert heir.open() == state
        for end in (old.commit, old.abort):
            with pytest.raises(Fenced):
                end()
        assert heir.complete(state)
    assert read_committed(broker, topic) == [b"1"]


def test_any_answer_may_be_lost(broker, topic, opened, read_committed, monkeypatch):
    """Every request in turn is done, and its answer does not arrive."""
    exchange = requests.Requests._exchange
    asked = 0
    lost = 0

    def lossy(*arguments: Any) -> Any:
        nonlocal asked
        answer = exchange(*arguments)
        asked += 1
        if asked == lost:
            raise ConnectionResetError("lost")
        return answer

    monkeypatch.setattr(requests.Requests, "_exchange", lossy)
    expected = []
    for lost in range(1, 12):
        asked = 0
        with opened() as log:
            log.begin()
            for part in (b"a", b"b", b"c"):
                expected.append(part + b"%d" % lost)
                log.send(topic, expected[-1].ljust(producer.BUFFERED_BYTES_MAX), partition=0)
            log.prepare()
            log.commit()
            prepared(log, topic, b"aborted")
            log.abort()
    assert asked < lost  # the last round lost nothing
    assert [value.strip() for value in read_committed(broker, topic)] == expected


def test_a_killed_broker_knows_what_was_prepared(broker_process, create_topic, read_committed):
    process = broker_process("--broker", "transaction.two.phase.commit.enable=true")
    create_topic(process, "t")
    with TwoPhaseProducer(process.bootstrap, "x") as log:
        log.open()
        log.begin()
        log.send("t", b"1".ljust(producer.BUFFERED_BYTES_MAX), partition=0)
        process.kill()
        process.start()
        log.send("t", b"2", partition=0)
        log.prepare()
        process.kill()
        process.start()
        assert read_committed(process, "t") == []
        log.commit()
    assert [value.strip() for value in read_committed(process, "t")] == [b"1", b"2"]


def test_a_refused_write_breaks_its_transaction_and_no_other(broker, topic, opened, read_committed):
    log = opened()
    log.begin()
    log.send(topic, b"1", partition=0)
    log.send("nowhere", b"2", partition=0)
    with pytest.raises(Refused, match="writing to nowhere-0: UNKNOWN_TOPIC_OR_PARTITION"):
        log.commit()
    for call in (log.commit, log.prepare):
        with pytest.raises(OutOfTurn, match="broken"):
            call()
    log.abort()
    prepared(log, topic, b"3")
    log.commit()
    assert read_committed(broker, topic) == [b"3"]


def test_an_interrupted_write_is_no_part_of_a_commit(
    broker, topic, opened, read_committed, monkeypatch
):
    log = opened()
    log.begin()
    log.send(topic, b"1", partition=0)
    with monkeypatch.context() as patch:
        patch.setattr(requests.Requests, "_attempt", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log.prepare()
    with pytest.raises(OutOfTurn, match="broken"):
        log.commit()
    log.abort()
    assert read_committed(broker, topic) == []


def test_nothing_is_prepared_without_records_and_nothing_asked_to_commit_it(broker, topic, opened):
    log = opened()
    log.begin()
    with pytest.raises(OutOfTurn, match="nothing was sent"):
        log.prepare()
    log.commit()
    log.begin()
    log.abort()


def test_calls_out_of_turn_are_refused(broker, topic):
    log = TwoPhaseProducer(broker.bootstrap, topic)
    with pytest.raises(OutOfTurn, match="begin: the transaction is closed"):
        log.begin()
    log.open()
    for call in (log.open, log.prepare, log.commit, log.abort, lambda: log.complete(None)):
        with pytest.raises(OutOfTurn):
            call()
    log.close()


def test_a_stored_word_that_is_no_state_decides_nothing(broker, topic, opened, read_committed):
    log = opened()
    state = prepared(log, topic, b"1")
    with pytest.raises(ValueError, match="'nonsense' is no state"):
        log.complete("nonsense")
    assert log.complete(str(state))
    assert read_committed(broker, topic) == [b"1"]


def test_a_broker_that_does_not_allow_it_says_so():
    with (
        running_broker() as broker,
        TwoPhaseProducer(broker.bootstrap, "x") as log,
        pytest.raises(Refused, match=r"transaction\.two\.phase\.commit\.enable") as refused,
    ):
        log.open()
    assert refused.value.code is ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_a_broker_that_knows_no_two_phases_is_named(broker, monkeypatch):
    monkeypatch.setitem(producer.NEEDS, requests.ApiKey.INIT_PRODUCER_ID, 99)
    with (
        TwoPhaseProducer(broker.bootstrap, "x") as log,
        pytest.raises(TwoPhaseError, match="does not serve INIT_PRODUCER_ID in version 99"),
    ):
        log.open()


@pytest.mark.parametrize("is_listening", [True, False])
def test_a_broker_that_is_silent_or_gone_costs_the_time_that_was_given(is_listening):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        if is_listening:
            deaf.listen()
        log = TwoPhaseProducer(f"127.0.0.1:{deaf.getsockname()[1]}", "x", timeout_s=0.3)
        began = time.monotonic()
        with pytest.raises(Unanswered, match="no answer of 127"):
            log.open()
        assert time.monotonic() - began < 5
        log.close()


@pytest.mark.parametrize("bootstrap", ["", "localhost", ":9092", "localhost:kafka"])
def test_an_address_has_a_host_and_a_port(bootstrap):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        TwoPhaseProducer(bootstrap, "x")
