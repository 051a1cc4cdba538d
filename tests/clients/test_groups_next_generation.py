"""Real clients in next-generation groups (KIP-848): librdkafka with `group.protocol=consumer`."""

import json
import subprocess
import sys
import threading

import pytest

PARTITIONS = 6
QUICK = {
    "group.consumer.heartbeat.interval.ms": "200",
    "group.consumer.session.timeout.ms": "2000",
}


@pytest.fixture
def broker():
    from headrace.testing import running_broker

    with running_broker(broker=QUICK) as running:
        yield running


@pytest.fixture
def new_reader(reader):
    """As `reader`, in the new protocol: the broker sets the timeouts."""

    def start(broker, instance=None, **options):
        options = {
            "group.protocol": "consumer",
            "session.timeout.ms": None,
            "heartbeat.interval.ms": None,
        } | options
        return reader("confluent", broker, instance=instance, **options)

    return start


def describe(broker, group="g"):
    async def ask(node):
        return node.broker.groups.describe_consumer(group)

    return broker.call(ask)


def state(broker, group="g"):
    found = describe(broker, group)
    return found.state.value if found is not None else None


def in_order(readers):
    for one in readers:
        last = {}
        for partition, offset, _ in one.records:
            assert offset > last.get(partition, -1), "a partition was read out of order"
            last[partition] = offset


def test_group_grows_and_shrinks_and_reads_everything_once(
    broker, new_reader, write, shared, all_read
):
    broker.create_topic("t", PARTITIONS)
    write(broker, 0, 300)
    readers = [new_reader(broker)]
    shared(readers, PARTITIONS)
    all_read(readers, 300)
    readers += [new_reader(broker) for _ in range(2)]
    shared(readers, PARTITIONS)
    write(broker, 300, 600)
    all_read(readers, 600)
    first, second, last = readers
    first.stop()
    shared([second, last], PARTITIONS)
    write(broker, 600, 900)
    all_read(readers, 900)
    second.stop()
    shared([last], PARTITIONS)
    write(broker, 900, 1000)
    all_read(readers, 1000)
    last.stop()
    in_order(readers)
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(1000))
    assert state(broker) == "Empty"


def test_members_keep_what_they_have_while_others_come(broker, new_reader, shared, until):
    broker.create_topic("t", PARTITIONS)
    first = new_reader(broker)
    shared([first], PARTITIONS)
    seen = set()
    stop = threading.Event()

    def watch():
        while not stop.wait(0.005):
            seen.add(first.assigned)

    watcher = threading.Thread(target=watch)
    watcher.start()
    second = new_reader(broker)
    shared([first, second], PARTITIONS)
    stop.set()
    watcher.join()
    assert all(first.assigned <= assigned for assigned in seen), "it paused what it kept"


def test_killed_member_is_given_up_and_its_partitions_are_read_on(
    broker, new_reader, write, shared, all_read, until
):
    broker.create_topic("t", PARTITIONS)
    script = (
        "import sys, time\n"
        "from confluent_kafka import Consumer\n"
        "c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'g',"
        " 'group.protocol': 'consumer', 'auto.offset.reset': 'earliest', 'log_level': 3})\n"
        "c.subscribe(['t'])\n"
        "while True: c.poll(0.1)\n"
    )
    victim = subprocess.Popen([sys.executable, "-c", script, broker.bootstrap])
    try:
        until(lambda: state(broker) == "Stable", "the first member", 20.0)
        other = new_reader(broker)
        until(lambda: len(other.assigned) == PARTITIONS // 2, "sharing", 20.0)
    finally:
        victim.kill()
        victim.wait()
    shared([other], PARTITIONS)
    write(broker, 0, 100)
    all_read([other], 100)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_group_outlives_the_broker(
    broker_process, new_reader, write, shared, all_read, until, tmp_path, how
):
    from confluent_kafka.admin import AdminClient, NewTopic

    config = tmp_path / "headrace.toml"
    lines = [f'"{name}" = "{value}"' for name, value in QUICK.items()]
    config.write_text("[broker]\n" + "\n".join(lines) + "\n")
    node = broker_process("--config", str(config))
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    for future in admin.create_topics([NewTopic("t", 4)]).values():
        future.result(10)
    readers = [new_reader(node), new_reader(node)]
    shared(readers, 4)
    write(node, 0, 200)
    all_read(readers, 200)
    before = [one.assigned for one in readers]
    getattr(node, how)()
    node.start()
    write(node, 200, 400)
    all_read(readers, 400)
    assert [one.assigned for one in readers] == before
    for one in readers:
        one.stop()
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(400))


def test_pattern_subscription_follows_new_topics(broker, until):
    from confluent_kafka import Consumer

    broker.create_topic("orders-eu", 2)
    broker.create_topic("other", 2)
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "g",
            "group.protocol": "consumer",
            "log_level": 3,
        }
    )
    consumer.subscribe(["^orders-.*"])

    def topics():
        consumer.poll(0.05)
        return {partition.topic for partition in consumer.assignment()}

    try:
        until(lambda: topics() == {"orders-eu"}, "the first topic", 20.0)
        broker.create_topic("orders-us", 1)
        until(lambda: topics() == {"orders-eu", "orders-us"}, "the second topic", 20.0)
    finally:
        consumer.close()


def test_new_partitions_are_read(broker, new_reader, shared):
    broker.create_topic("t", 2)
    one = new_reader(broker)
    shared([one], 2)

    async def grow(node):
        await node.broker.topics.add_partitions("t", 5)

    broker.call(grow)
    shared([one], 5)


def test_restarted_static_member_gets_its_partitions_back(broker, new_reader, shared, until):
    broker.create_topic("t", PARTITIONS)
    one, two = new_reader(broker, "one"), new_reader(broker, "two")
    shared([one, two], PARTITIONS)
    until(lambda: state(broker) == "Stable", "a stable group", 20.0)
    before = describe(broker)
    one.stop()
    again = new_reader(broker, "one")
    until(lambda: again.assigned == one.assigned, "having the same partitions", 20.0)
    assert describe(broker).generation == before.generation


def test_group_is_shown_and_deleted_by_the_command_line(broker, new_reader, write, shared):
    broker.create_topic("t", 2)
    one = new_reader(broker)
    shared([one], 2)

    def headrace(*arguments):
        command = [sys.executable, "-m", "headrace", *arguments, "--bootstrap", broker.bootstrap]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    shown = json.loads(headrace("group", "describe", "g", "--json").stdout)
    assert (shown["type"], shown["state"], shown["assignor"]) == ("consumer", "Stable", "uniform")
    (member,) = shown["members"]
    assert member["partitions"] == [["t", 0], ["t", 1]]
    assert json.loads(headrace("group", "list", "--json").stdout)["type"] == "consumer"
    one.stop()
    assert headrace("group", "delete", "g", "--yes").returncode == 0
    assert state(broker) is None


def test_one_group_is_used_in_both_protocols_one_after_the_other(
    broker, reader, new_reader, write, all_read, shared
):
    broker.create_topic("t", 2)
    write(broker, 0, 50)
    readers = []
    for number, start in enumerate(
        [lambda: reader("confluent", broker), lambda: new_reader(broker)] * 2
    ):
        readers.append(start())
        write(broker, 50 * (number + 1), 50 * (number + 2))
        all_read(readers, 50 * (number + 2))
        readers[-1].stop()
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(250))
