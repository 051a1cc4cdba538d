"""Static members of real clients: a restart of theirs disturbs nobody."""

import contextlib

import pytest

PARTITIONS = 4


def describe(broker, group="g"):
    async def ask(node):
        return node.broker.groups.describe(group)

    return broker.call(ask)


@pytest.mark.parametrize("kind", ["confluent", "kafka-python"])
def test_restarted_member_gets_its_partitions_back_without_a_rebalance(
    broker, reader, write, shared, all_read, until, kind
):
    broker.create_topic("t", PARTITIONS)
    one = reader(kind, broker, instance="one")
    two = reader(kind, broker, instance="two")
    shared([one, two], PARTITIONS)
    write(broker, 0, 200)
    all_read([one, two], 200)
    before = describe(broker)
    again = []
    for stopping in (one, two):  # one of them leads
        stopping.stop()
        again.append(reader(kind, broker, instance=stopping.instance))
        until(lambda: again[-1].assigned == stopping.assigned, "having the same partitions")  # noqa: B023
    after = describe(broker)
    assert after.generation == before.generation
    assert {member.instance_id for member in after.members} == {"one", "two"}
    assert not {m.member_id for m in before.members} & {m.member_id for m in after.members}
    write(broker, 200, 300)
    all_read([one, two, *again], 300)
    assert not set(one.values()) & {value for reader in again for value in reader.values()}


def test_second_process_with_the_same_instance_id_fences_the_first(broker, reader, until):
    broker.create_topic("t", PARTITIONS)
    first = reader("confluent", broker, instance="one")
    until(lambda: first.assigned, "an assignment")
    second = reader("confluent", broker, instance="one")
    until(lambda: second.assigned, "an assignment")
    until(lambda: first.error, "the fencing of the first")
    assert "FENCED" in str(first.error).upper()


def test_administrator_removes_a_static_member_that_will_not_come_back(
    broker, reader, until, shared
):
    from kafka.admin import KafkaAdminClient, MemberToRemove

    broker.create_topic("t", PARTITIONS)
    staying = reader("confluent", broker)
    gone = reader("confluent", broker, instance="gone")
    shared([staying, gone], PARTITIONS)
    gone.stop()
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.remove_group_members("g", [MemberToRemove(group_instance_id="gone")])
    until(lambda: len(staying.assigned) == PARTITIONS, "taking over its partitions")
