"""Groups of real clients that a broker is told to forget."""

import contextlib
import sqlite3

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

DYNAMIC_GROUP_CONFIG = 8
"""The client has no name for it."""
KINDS = ["confluent", "kafka-python", "aiokafka"]


@pytest.fixture
def topic(broker_process):
    """A broker process with topic `t`, where group `g` is ephemeral."""
    broker = broker_process()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic("t", 2)])["t"].result(10)
    entry = ConfigEntry(
        "headrace.group.durable", "false", incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ResourceType.GROUP, "g", incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(10)
    asked = ConfigResource(ResourceType.GROUP, "g")
    found = admin.describe_configs([asked])[asked].result(10)["headrace.group.durable"]
    assert (found.value, found.source) == ("false", DYNAMIC_GROUP_CONFIG)
    return broker


def listed(broker):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    return [group.group_id for group in admin.list_consumer_groups().result(10).valid]


def rows(broker):
    with contextlib.closing(
        sqlite3.connect(f"file:{broker.data}/catalog.db?mode=ro", uri=True)
    ) as db:
        query = (
            "SELECT (SELECT count(*) FROM consumer_groups), "
            "(SELECT count(*) FROM committed_offsets)"
        )
        return db.execute(query).fetchone()


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_member_takes_the_group_along(topic, reader, write, shared, all_read, kind):
    write(topic, 0, 50)
    readers = [reader(kind, topic), reader(kind, topic)]
    shared(readers, 2)
    all_read(readers, 50)
    assert listed(topic) == ["g"]
    readers[0].stop()
    shared(readers[1:], 2)
    assert rows(topic) == (0, 0)
    readers[1].stop()
    # Commits of those who left were kept for those who stayed.
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(50))
    assert listed(topic) == []
    again = reader(kind, topic)
    all_read([again], 50)


@pytest.mark.parametrize("kind", KINDS)
def test_members_begin_anew_after_a_restart(topic, reader, write, all_read, until, kind):
    write(topic, 0, 50)
    one = reader(kind, topic)
    all_read([one], 50)
    topic.kill()
    topic.start()
    write(topic, 50, 60)
    all_read([one], 60)
    if kind != "aiokafka":  # which commits where it is once more before it joins again
        until(lambda: len(one.records) >= 50 + 60, "reading from the beginning again")
    assert rows(topic) == (0, 0)
    one.stop()
    assert listed(topic) == []
