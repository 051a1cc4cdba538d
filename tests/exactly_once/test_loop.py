"""What the loop does with everything that clients and users can throw at it."""

import threading

import pytest
from confluent_kafka import KafkaError

from headrace.exactly_once import Broken, ExactlyOnce, Fenced, Output, Stalled, Undeliverable

TRANSACTION = ["begin", "produce", "offsets", "commit"]


def test_outputs_and_offsets_are_one_transaction(stage):
    loop = stage.open(batch_records_max=3)
    stage.feed((0, 5), (1, 8), (0, 7))
    assert loop.step(stage.copy) == 3
    assert stage.producer.calls == ["init", "begin", *["produce"] * 3, "offsets", "commit"]
    assert stage.producer.offsets == [("t", 0, 8), ("t", 1, 9)]
    assert stage.producer.sent == [("out", b"5"), ("out", b"8"), ("out", b"7")]


def test_a_batch_ends_by_count_and_the_rest_is_the_next(stage):
    loop = stage.open(batch_records_max=2)
    stage.feed((0, 0), (0, 1), (0, 2))
    assert [loop.step(stage.copy), loop.step(stage.copy)] == [2, 1]
    assert stage.batches == [[("t", 0, 0), ("t", 0, 1)], [("t", 0, 2)]]


def test_without_records_there_is_no_transaction(stage):
    assert stage.open().step(stage.copy) == 0
    assert stage.producer.calls == ["init"]


def test_the_users_error_aborts_goes_back_and_is_raised(stage):
    loop = stage.open(batch_records_max=2)
    stage.feed((0, 5), (1, 8))

    def process(records):
        yield Output("out", b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop.step(process)
    assert stage.producer.calls == ["init", "begin", "produce", "flush", "abort"]
    stage.feed((0, 5), (1, 8))
    assert loop.step(stage.copy) == 2
    assert sorted(stage.consumer.seeks) == [("t", 0, 5), ("t", 1, 8)]


def test_an_interrupt_while_records_are_gathered_goes_back_too(stage):
    loop = stage.open(batch_records_max=9)
    stage.feed((0, 5))

    def interrupt():
        raise KeyboardInterrupt

    stage.consumer.feed.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.step(stage.copy)
    loop.step(stage.copy)
    assert stage.consumer.seeks == [("t", 0, 5)]


def test_an_interrupt_right_behind_the_commit_ends_the_loop_and_repeats_nothing(
    stage, fail, monkeypatch
):
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5))
    commit = stage.producer.commit_transaction

    def commit_and_interrupt(timeout):
        commit(timeout)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage.producer, "commit_transaction", commit_and_interrupt)
    stage.producer.errors["abort"] = [fail(KafkaError._STATE)]
    with pytest.raises(KeyboardInterrupt):
        loop.step(stage.copy)
    with pytest.raises(Broken):
        loop.step(stage.copy)
    assert stage.consumer.seeks == []


def test_records_of_partitions_that_go_while_a_batch_is_gathered_leave_it(stage):
    loop = stage.open(batch_records_max=3)
    stage.feed((0, 5), (1, 8))
    stage.consumer.feed.append(lambda: stage.consumer.take(("t", 1)))
    stage.feed((0, 6), (0, 7))
    assert loop.step(stage.copy) == 3
    assert stage.batches == [[("t", 0, 5), ("t", 0, 6), ("t", 0, 7)]]
    assert stage.producer.offsets == [("t", 0, 8)]


def test_a_partition_that_comes_back_within_a_batch_begins_anew(stage):
    loop = stage.open(batch_records_max=2)
    stage.feed((0, 5))
    stage.consumer.feed += [
        lambda: stage.consumer.take(("t", 0)),
        lambda: stage.consumer.give(("t", 0)),
    ]
    stage.feed((0, 3), (0, 4))
    loop.step(stage.copy)
    assert stage.batches == [[("t", 0, 3), ("t", 0, 4)]]


def test_an_abort_after_which_the_partition_is_gone_does_not_go_back_in_it(stage, fail):
    loop = stage.open(batch_records_max=2)
    stage.feed((0, 5), (1, 8))

    def process(records):
        stage.consumer.owned.discard(("t", 1))
        return stage.copy(records)

    stage.producer.errors["offsets"] = [fail(KafkaError.ILLEGAL_GENERATION, abortable=True)]
    assert loop.step(process) == 0
    loop.step(stage.copy)
    assert stage.consumer.seeks == [("t", 0, 5)]


@pytest.mark.parametrize("call", ["produce", "offsets", "commit"])
def test_an_abortable_error_aborts_goes_back_and_the_batch_comes_again(stage, fail, call):
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5))
    stage.producer.errors[call] = [fail(KafkaError._TIMED_OUT, abortable=True)]
    assert loop.step(stage.copy) == 0
    assert stage.producer.calls[-1] == "abort"
    stage.feed((0, 5))
    assert loop.step(stage.copy) == 1
    assert stage.consumer.seeks == [("t", 0, 5)]


@pytest.mark.parametrize("call", ["init", "offsets", "commit", "abort"])
def test_a_retriable_error_is_the_same_call_again(stage, fail, call):
    stage.producer.errors[call] = [fail(KafkaError._TIMED_OUT, retriable=True)] * 3
    if call == "abort":
        stage.producer.errors["commit"] = [fail(KafkaError._TIMED_OUT, abortable=True)]
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5))
    assert loop.step(stage.copy) == (0 if call == "abort" else 1)
    assert stage.producer.calls.count(call) == 4


@pytest.mark.parametrize(
    "code",
    [KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH],
)
def test_a_producer_that_was_replaced_is_fenced_and_stays_so(stage, fail, code):
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5), (0, 6))
    stage.producer.errors["commit"] = [fail(code, fatal=True)]
    with pytest.raises(Fenced) as raised:
        loop.step(stage.copy)
    assert raised.value.kafka_error.code() == code
    with pytest.raises(Fenced):
        loop.run(stage.copy)
    assert stage.producer.calls == ["init", *TRANSACTION]


def test_any_other_fatal_error_is_the_end_too(stage, fail):
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5))
    stage.producer.errors["commit"] = [fail(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True)]
    with pytest.raises(Broken):
        loop.step(stage.copy)


def test_a_commit_that_never_succeeds_is_a_stall(stage, fail):
    loop = stage.open(batch_records_max=1, stall_s_max=10)
    stage.feed((0, 5))
    stage.producer.errors["commit"] = [fail(KafkaError._TIMED_OUT, retriable=True)] * 1000
    with pytest.raises(Stalled, match="cannot commit"):
        loop.step(stage.copy)


def test_offsets_that_are_never_answered_are_a_stall(stage, monkeypatch):
    loop = stage.open(batch_records_max=1, stall_s_max=0.2)
    stage.consumer.ends = {("t", 0): 6, ("t", 1): 0}
    stage.feed((0, 5))
    never = threading.Event()
    monkeypatch.setattr(
        stage.producer, "send_offsets_to_transaction", lambda *_: never.wait(30), raising=True
    )
    try:
        with pytest.raises(Stalled, match="sending the offsets did not end"):
            loop.step(stage.copy)
    finally:
        never.set()


def test_aborts_without_end_are_a_stall_that_names_its_cause(stage, fail):
    loop = stage.open(batch_records_max=1, stall_s_max=10)
    stage.consumer.ends = {("t", 0): 6, ("t", 1): 0}
    stage.feed_end(1, 0)
    stage.producer.errors["offsets"] = [fail(KafkaError._TRANSPORT, abortable=True)] * 1000
    stage.feed(*[(0, 5)] * 1000)
    with pytest.raises(Stalled, match="scripted"):
        loop.run(stage.copy)


def test_an_output_that_is_never_taken_is_raised_after_the_abort(stage, fail):
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5))
    stage.producer.errors["commit"] = [fail(KafkaError._INCONSISTENT, abortable=True)]
    stage.producer.refusal = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(Undeliverable):
        loop.step(stage.copy)
    assert stage.producer.calls[-1] == "abort"
    stage.producer.refusal = None
    stage.feed((0, 5))
    assert loop.step(stage.copy) == 1  # the user may have gone round it
    assert stage.consumer.seeks == [("t", 0, 5)]


def test_stop_ends_the_run_after_the_batch(stage):
    loop = stage.open(batch_records_max=1)
    stage.feed((0, 5), (0, 6))

    def process(records):
        loop.stop()
        return stage.copy(records)

    loop.run(process)
    assert stage.producer.calls == ["init", *TRANSACTION]


def test_passing_trouble_of_the_consumer_is_waited_out_and_the_rest_is_raised(stage):
    loop = stage.open(batch_records_max=1)
    stage.feed_error(KafkaError._ALL_BROKERS_DOWN)
    stage.feed((0, 5))
    assert loop.step(stage.copy) + loop.step(stage.copy) == 1
    stage.feed_error(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(Broken):
        loop.step(stage.copy)


def test_a_static_member_that_was_replaced_is_fenced(stage):
    loop = stage.open()
    why = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
    stage.feed_error(KafkaError._FATAL, text=f"Fatal error: {why}", fatal=True)
    with pytest.raises(Fenced, match=r"group\.instance\.id"):
        loop.step(stage.copy)


def test_records_that_do_not_come_though_they_are_there_are_a_stall(stage):
    loop = stage.open(stall_s_max=10)
    stage.consumer.ends = {("t", 0): 7, ("t", 1): 0}
    stage.feed((0, 5))
    stage.feed_end(1, 0)
    assert loop.step(stage.copy) == 1
    with pytest.raises(Stalled, match="partition 0 of t stands at offset 6 and ends at 7"):
        loop.run(stage.copy)


def test_quiet_partitions_are_no_stall(stage):
    loop = stage.open(stall_s_max=10)
    stage.consumer.ends = {("t", 0): 7, ("t", 1): 0}
    stage.feed((0, 5))
    stage.feed_end(0, 7)  # a marker of a transaction is behind the last record
    stage.feed_end(1, 0)
    end = stage.now + 100
    while stage.now < end:
        loop.step(stage.copy)


def test_a_partition_behind_the_backlog_of_another_is_no_stall(stage):
    loop = stage.open(batch_records_max=5, stall_s_max=10)
    stage.consumer.ends = {("t", 0): 1000, ("t", 1): 7}
    stage.feed_end(1, 0)
    stage.feed(*[(0, offset) for offset in range(1000)])
    end = stage.now + 100
    while stage.now < end:
        loop.step(stage.copy)


def test_brokers_that_do_not_answer_are_a_stall(stage, fail):
    loop = stage.open(stall_s_max=10)
    stage.consumer.ends = dict.fromkeys((("t", 0), ("t", 1)), fail(KafkaError._TRANSPORT))
    with pytest.raises(Stalled, match="no broker answers"):
        loop.run(stage.copy)


@pytest.mark.parametrize("name", ["isolation.level", "enable.auto.commit", "transactional.id"])
def test_settings_that_would_break_the_promise_are_refused(name):
    with pytest.raises(ValueError, match=name):
        ExactlyOnce({"bootstrap.servers": "x"}, "g", ["t"], consumer={name: "x"})


def test_a_loop_that_is_not_open_says_so():
    with pytest.raises(RuntimeError, match="with"):
        ExactlyOnce({}, "g", ["t"]).step(lambda _: [])
