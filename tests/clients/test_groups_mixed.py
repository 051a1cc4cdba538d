"""Real clients of both protocols in one group: rolling changes from one to the other and back."""

import itertools
import json
import subprocess
import sys
import threading
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 6
QUICK = {
    "group.consumer.heartbeat.interval.ms": "200",
    "group.consumer.session.timeout.ms": "6000",
}
NEXT = {"group.protocol": "consumer", "session.timeout.ms": None, "heartbeat.interval.ms": None}


@pytest.fixture
def broker():
    from headrace.testing import running_broker

    with running_broker(broker=QUICK) as running:
        running.create_topic("t", PARTITIONS)
        yield running


@pytest.fixture
def stream(broker):
    """Writes keyed records all the time; calling it ends that and returns how many there are."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 3})
    ending = threading.Event()
    written = itertools.count()

    def write():
        while not ending.is_set():
            number = next(written)
            producer.produce("t", key=b"k%d" % (number % 50), value=b"%d" % number)
            producer.poll(0)
            time.sleep(0.001)

    thread = threading.Thread(target=write)
    thread.start()

    def end():
        ending.set()
        thread.join()
        assert producer.flush(20) == 0
        return next(written)

    yield end
    ending.set()
    thread.join()


def group_type(broker):
    async def ask(node):
        return node.broker.groups.describe("g").type.value

    return broker.call(ask)


def read_once_and_in_order(readers, count):
    """Every record by one reader, and those of each partition in their order whoever read it: two
    that read one partition at once would be seen."""
    seen = sorted(
        (when, partition, offset)
        for one in readers
        for when, (partition, offset, _) in zip(one.times, one.records, strict=True)
    )
    last = dict.fromkeys(range(PARTITIONS), -1)
    for _, partition, offset in seen:
        assert offset == last[partition] + 1, "a partition was not read in order, or twice"
        last[partition] = offset
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(count))


@pytest.mark.parametrize("assignor", ["cooperative-sticky", "range"])
def test_rolling_upgrade_and_downgrade_lose_nothing(
    broker, reader, stream, shared, all_read, assignor
):
    classic = {"partition.assignment.strategy": assignor}
    living = [reader("confluent", broker, **classic) for _ in range(3)]
    everyone = list(living)
    shared(living, PARTITIONS)
    assert group_type(broker) == "classic"
    for options in (NEXT, classic):
        for _ in range(3):
            living.pop(0).stop()
            living.append(reader("confluent", broker, **options))
            everyone.append(living[-1])
            shared(living, PARTITIONS)
            is_mixed = any("group.protocol" in one.options for one in living)
            assert group_type(broker) == ("consumer" if is_mixed else "classic")
    count = stream()
    all_read(everyone, count)
    for one in living:
        one.stop()
    read_once_and_in_order(everyone, count)


def test_classic_only_client_shares_a_group_with_a_next_generation_one(
    broker, reader, stream, shared, all_read
):
    old = reader("aiokafka", broker)
    shared([old], PARTITIONS)
    new = reader("confluent", broker, **NEXT)
    shared([old, new], PARTITIONS)
    assert group_type(broker) == "consumer"
    assert not old.assigned & new.assigned
    new.stop()
    shared([old], PARTITIONS)
    assert group_type(broker) == "classic"
    another = reader("confluent", broker, **NEXT)
    shared([old, another], PARTITIONS)
    count = stream()
    all_read([old, new, another], count)


def test_static_members_change_over_without_moving_a_partition(broker, reader, shared):
    living = [reader("confluent", broker, instance=name) for name in ("one", "two")]
    shared(living, PARTITIONS)
    before = [one.assigned for one in living]
    for place, name in enumerate(("one", "two")):
        living[place].stop()
        living[place] = reader("confluent", broker, instance=name, **NEXT)
        shared(living, PARTITIONS)
        assert [one.assigned for one in living] == before
    assert group_type(broker) == "consumer"


def test_command_line_shows_which_protocol_each_member_speaks(broker, reader, shared):
    readers = [reader("aiokafka", broker), reader("confluent", broker, **NEXT)]
    shared(readers, PARTITIONS)
    command = [sys.executable, "-m", "headrace", "group", "describe", "g", "--bootstrap"]
    command += [broker.bootstrap]
    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30)
    members = json.loads(ran.stdout)["members"]
    assert sorted(member["protocol"] for member in members) == ["classic", "consumer"]
    assert all(len(member["partitions"]) == PARTITIONS // 2 for member in members)
    shown = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
    assert "PROTOCOL" in shown


def test_mixed_group_outlives_the_broker(broker_process, reader, write, shared, all_read, tmp_path):
    config = tmp_path / "headrace.toml"
    lines = [f'"{name}" = "{value}"' for name, value in QUICK.items()]
    config.write_text("[broker]\n" + "\n".join(lines) + "\n")
    node = broker_process("--config", str(config))
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    for future in admin.create_topics([NewTopic("t", PARTITIONS)]).values():
        future.result(10)
    readers = [reader("confluent", node), reader("confluent", node, **NEXT)]
    shared(readers, PARTITIONS)
    write(node, 0, 200)
    all_read(readers, 200)
    before = [one.assigned for one in readers]
    node.kill()
    node.start()
    write(node, 200, 400)
    all_read(readers, 400)
    assert [one.assigned for one in readers] == before
    readers[1].stop()
    shared(readers[:1], PARTITIONS)
    write(node, 400, 500)
    all_read(readers, 500)
