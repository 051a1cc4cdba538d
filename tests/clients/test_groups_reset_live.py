"""`headrace group reset --live` while real members read."""

import itertools

import pytest
from typer.testing import CliRunner

PARTITIONS = 4
KINDS = [
    pytest.param("confluent", {"partition.assignment.strategy": "range"}, id="confluent-range"),
    pytest.param(
        "confluent",
        {"partition.assignment.strategy": "cooperative-sticky"},
        id="confluent-cooperative",
    ),
    pytest.param("kafka-python", {}, id="kafka-python"),
    pytest.param("aiokafka", {}, id="aiokafka"),
]


def reset(broker, *arguments, code=0):
    from headrace.cli.app import app

    command = ["group", "reset", "g", *arguments, "--execute", "--live"]
    ran = CliRunner().invoke(app, command, env={"HEADRACE_BOOTSTRAP": broker.bootstrap})
    assert ran.exit_code == code, ran.stderr
    return ran


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("instances", [(None, None), ("i", "j")], ids=["dynamic", "static"])
def test_members_go_on_from_where_they_are_put(
    broker, reader, write, shared, all_read, until, kind, options, instances
):
    broker.create_topic("t", PARTITIONS)
    write(broker, 0, 200)
    readers = [reader(kind, broker, instance=instance, **options) for instance in instances]
    shared(readers, PARTITIONS)
    all_read(readers, 200)
    before = [len(one.records) for one in readers]
    reset(broker, "--to", "earliest", "--topic", "t")
    until(
        lambda: sum(len(one.records) for one in readers) >= sum(before) + 200,
        "reading everything again",
        30,
    )
    again = [
        record for one, count in zip(readers, before, strict=True) for record in one.records[count:]
    ]
    assert {int(value) for _, _, value in again} == set(range(200))
    shared(readers, PARTITIONS)
    write(broker, 200, 300)
    all_read(readers, 300)
    for one in readers:
        one.stop()
    values = [int(value) for one in readers for value in one.values()]
    assert sorted(values[:]) == sorted([*range(200), *range(300)]), "read once, and once again"
    for one in readers:
        _went_back_once(one)


def _went_back_once(one):
    """A partition is read in order but for the reset."""
    by_partition = {}
    for partition, offset, _ in one.records:
        by_partition.setdefault(partition, []).append(offset)
    for offsets in by_partition.values():
        assert sum(after <= before for before, after in itertools.pairwise(offsets)) <= 1


def test_what_lies_between_is_skipped_when_members_are_put_ahead(
    broker, reader, write, all_read, until
):
    broker.create_topic("t", 1)
    write(broker, 0, 10)
    one = reader("confluent", broker)
    all_read([one], 10)
    reset(broker, "--to", "4", "--topic", "t:0")
    until(lambda: len(one.records) == 16, "reading again from 4")
    assert [offset for _, offset, _ in one.records[10:]] == list(range(4, 10))
    one.stop()
