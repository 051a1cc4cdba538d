"""The exactly-once loop on librdkafka and a real broker."""

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from headrace.exactly_once import ExactlyOnce, Fenced, Output, Undeliverable
from headrace.testing import RunningBroker, running_broker

README = Path(__file__).parents[2] / "README.md"
QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "eager": {"partition.assignment.strategy": "range", **QUICK},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky", **QUICK},
    "consumer": {"group.protocol": "consumer"},
}


class Refusal(Exception):
    pass


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    """As everywhere, with groups that wait for nobody."""
    quick = {
        "group.initial.rebalance.delay.ms": "0",
        "group.consumer.heartbeat.interval.ms": "500",
    }
    with running_broker(broker=quick) as running:
        yield running


def write(broker: Any, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 3})
    for number in range(count):
        producer.produce(topic, key=b"%d" % (number % 20), value=b"%d" % number)
    assert producer.flush(20) == 0


def read(broker: Any, topic: str, partitions: int, isolation: str) -> list[bytes]:
    """All values, to the end of each partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": f"reader-{isolation}",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "log_level": 3,
        }
    )
    consumer.subscribe([topic])
    values, ended = [], set()
    deadline = time.monotonic() + 20
    try:
        while len(ended) < partitions:
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
            message = consumer.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                values.append(message.value())
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
    finally:
        consumer.close()
    return values


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_record_has_one_output_while_the_group_changes_and_processing_fails(
    broker, create_topic, until, protocol
):
    create_topic(broker, "orders", partitions=3)
    create_topic(broker, "bills", partitions=3)
    write(broker, "orders", 900)
    done = threading.Event()
    counts: list[int] = []
    failures: list[BaseException] = []

    def work(name: str) -> None:
        seen: set[int] = set()

        def bill(orders: Any) -> Any:
            for order in orders:
                number = int(order.value())
                if number % 300 == 150 and number not in seen:
                    seen.add(number)
                    raise Refusal
                yield Output("bills", key=order.key(), value=order.value())

        config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
        try:
            with ExactlyOnce(
                config,
                "billing",
                ["orders"],
                transactional_id=name,
                batch_records_max=50,
                consumer=PROTOCOLS[protocol],
            ) as loop:
                while not done.is_set():
                    with contextlib.suppress(Refusal):
                        counts.append(loop.step(bill))
        except BaseException as error:  # noqa: BLE001 - raised by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"biller-{n}",)) for n in range(2)]
    threads[0].start()
    until(lambda: failures or sum(counts) >= 300, "300 bills")
    threads[1].start()
    until(lambda: failures or sum(counts) >= 900, "900 bills", 30)
    done.set()
    for thread in threads:
        thread.join(20)
    assert not failures
    assert sorted(map(int, read(broker, "bills", 3, "read_committed"))) == list(range(900))
    assert len(read(broker, "bills", 3, "read_uncommitted")) > 900


def test_a_loop_whose_id_another_takes_is_fenced_and_the_other_goes_on(broker, create_topic):
    create_topic(broker, "orders")
    create_topic(broker, "bills")
    write(broker, "orders", 10)
    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}

    def bill(orders: Any) -> Any:
        return [Output("bills", order.value()) for order in orders]

    options: dict[str, Any] = {"transactional_id": "biller", "consumer": QUICK}
    old = ExactlyOnce(config, "billing", ["orders"], **options)
    new = ExactlyOnce(config, "billing", ["orders"], **options)
    with contextlib.ExitStack() as stack:
        stack.enter_context(old)

        def be_replaced(orders: Any) -> Any:
            stack.enter_context(new)
            return bill(orders)

        with pytest.raises(Fenced):
            old.run(be_replaced)
        old.close()
        count = 0
        while count < 10:
            count += new.step(bill)
    assert len(read(broker, "bills", 1, "read_committed")) == 10


def test_a_static_member_whose_place_another_takes_is_fenced(broker, create_topic):
    create_topic(broker, "orders")
    create_topic(broker, "bills")
    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    static = {"group.instance.id": "desk-1", **QUICK}

    def bill(orders: Any) -> Any:
        return [Output("bills", order.value()) for order in orders]

    old = ExactlyOnce(config, "billing", ["orders"], consumer=static)
    new = ExactlyOnce(config, "billing", ["orders"], consumer=static)
    with old:
        write(broker, "orders", 1)
        while not old.step(bill):
            pass
        with new:
            write(broker, "orders", 1)
            while not new.step(bill):
                pass
            with pytest.raises(Fenced, match=r"group\.instance\.id"):
                old.run(bill)


def test_an_output_that_is_too_large_is_raised_and_its_batch_is_not_lost(broker, create_topic):
    create_topic(broker, "orders")
    create_topic(broker, "bills", max_message_bytes="2000")
    write(broker, "orders", 1)
    config = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    with ExactlyOnce(config, "billing", ["orders"]) as loop:
        with pytest.raises(Undeliverable):
            loop.run(lambda orders: [Output("bills", b"x" * 5000) for _ in orders])
        while not loop.step(lambda orders: [Output("bills", b"small") for _ in orders]):
            pass
    assert read(broker, "bills", 1, "read_committed") == [b"small"]


def test_the_ten_lines_of_the_readme_do_what_it_says(broker, create_topic, until):
    create_topic(broker, "orders")
    create_topic(broker, "invoices")
    write(broker, "orders", 5)
    section = README.read_text().partition("## Exactly once")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    code = found[1]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 10
    assert "127.0.0.1:9092" in code
    space: dict[str, Any] = {}
    program = compile(code.replace("127.0.0.1:9092", broker.bootstrap), "README.md", "exec")
    thread = threading.Thread(target=exec, args=(program, space))
    thread.start()
    try:
        until(lambda: len(read(broker, "invoices", 1, "read_committed")) == 5, "five invoices")
    finally:
        space["loop"].stop()
        thread.join(20)
    assert not thread.is_alive()
