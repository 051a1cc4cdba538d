"""Who reads what in a share group of real clients: librdkafka's share consumer comes and goes."""

import contextlib
import subprocess
import sys
import threading

import pytest

QUICK = {
    "group.share.min.heartbeat.interval.ms": "100",
    "group.share.heartbeat.interval.ms": "200",
    "group.share.session.timeout.ms": "2000",
}
VICTIM = (
    "import sys\n"
    "from confluent_kafka import ShareConsumer\n"
    "c = ShareConsumer({'bootstrap.servers': sys.argv[1], 'group.id': 's', 'log_level': 0})\n"
    "c.subscribe(['t'])\n"
    "while True: c.poll(0.1)\n"
)


class Member:
    """Polls topic `t` in share group `s` until it is stopped, which leaves the group."""

    def __init__(self, broker):
        self.bootstrap = broker.bootstrap
        self.error = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        from confluent_kafka import ShareConsumer

        config = {"bootstrap.servers": self.bootstrap, "group.id": "s", "log_level": 0}
        try:
            with contextlib.closing(ShareConsumer(config)) as consumer:
                consumer.subscribe(["t"])
                while not self._stopping.is_set():
                    consumer.poll(0.1)
        except BaseException as error:  # noqa: BLE001 - handed to the test by stop()
            self.error = error

    def stop(self):
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the share consumer does not stop"
        if self.error is not None:
            raise self.error


@pytest.fixture
def broker():
    from headrace.testing import running_broker

    with running_broker(broker=QUICK) as running:
        yield running


@pytest.fixture
def new_member():
    made = []

    def start(broker):
        made.append(Member(broker))
        return made[-1]

    yield start
    for member in made:
        member.stop()


@pytest.fixture
def settled(broker, until):
    """`settled([2, 2])` waits until all members have heard how many partitions they read."""

    def look():
        async def ask(node):
            return node.broker.groups.describe_share("s")

        return broker.call(ask)

    def wait(counts):
        def is_settled():
            group = look()
            return (
                group is not None
                and sorted(len(member.assigned) for member in group.members) == counts
                and all(member.epoch == group.generation for member in group.members)
            )

        until(is_settled, f"members with {counts} partitions", 20.0)
        return look()

    return wait


def test_partitions_are_shared_out_as_members_come_and_go(broker, new_member, settled):
    broker.create_topic("t", 4)
    first = new_member(broker)
    settled([4])
    second = new_member(broker)
    group = settled([2, 2])
    assert len(frozenset().union(*(member.assigned for member in group.members))) == 4
    first.stop()
    settled([4])
    second.stop()
    assert settled([]).state.value == "Empty"


def test_members_beyond_the_partitions_read_the_same(broker, new_member, settled):
    broker.create_topic("t", 1)
    for _ in range(3):
        new_member(broker)
    settled([1, 1, 1])


def test_new_partitions_are_given_out(broker, new_member, settled):
    from confluent_kafka.admin import AdminClient, NewPartitions

    broker.create_topic("t", 2)
    new_member(broker)
    settled([2])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_partitions([NewPartitions("t", 5)])["t"].result(10)
    settled([5])


def test_killed_member_is_given_up(broker, new_member, settled):
    broker.create_topic("t", 2)
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, broker.bootstrap])
    try:
        settled([2])
        new_member(broker)
        settled([1, 1])
    finally:
        victim.kill()
        victim.wait()
    settled([2])
