"""Groups of real clients outlive the broker: stopped, killed, started again."""

import contextlib
import sqlite3

import pytest

PARTITIONS = 4


@pytest.fixture
def topic(broker_process):
    """A broker process with topic `t`."""
    from confluent_kafka.admin import AdminClient, NewTopic

    broker = broker_process()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.create_topics([NewTopic("t", PARTITIONS)]).values():
        future.result(10)
    return broker


def generation(broker, group="g"):
    """As saved; anyone may read the catalog while the broker runs."""
    catalog = f"file:{broker.data}/catalog.db?mode=ro"
    with contextlib.closing(sqlite3.connect(catalog, uri=True)) as db:
        query = "SELECT generation FROM consumer_groups WHERE group_id = ?"
        return db.execute(query, (group,)).fetchone()[0]


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_members_go_on_without_a_rebalance(topic, reader, write, shared, all_read, how):
    readers = [reader("confluent", topic), reader("confluent", topic)]
    shared(readers, PARTITIONS)
    write(topic, 0, 200)
    all_read(readers, 200)
    before = generation(topic)
    getattr(topic, how)()
    topic.start()
    write(topic, 200, 400)
    all_read(readers, 400)
    assert generation(topic) == before
    for one in readers:
        one.stop()
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(400))


@pytest.mark.parametrize("kind", ["confluent", "kafka-python", "aiokafka"])
def test_commits_survive_a_kill(topic, reader, write, all_read, kind):
    write(topic, 0, 100)
    first = reader(kind, topic)
    all_read([first], 100)
    first.stop()
    topic.kill()
    topic.start()
    write(topic, 100, 150)
    second = reader(kind, topic)
    all_read([first, second], 150)
    second.stop()
    assert sorted(map(int, second.values())) == list(range(100, 150))
