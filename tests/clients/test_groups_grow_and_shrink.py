"""Groups of real clients, alone and mixed, that grow and shrink while records flow."""

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor as AiokafkaRange
from kafka.coordinator.assignors.range import RangePartitionAssignor as KafkaPythonRange

ALONE = [
    pytest.param("confluent", {"partition.assignment.strategy": "range"}, id="confluent-range"),
    pytest.param(
        "confluent",
        {"partition.assignment.strategy": "cooperative-sticky"},
        id="confluent-cooperative",
    ),
    pytest.param("kafka-python", {}, id="kafka-python"),
    pytest.param("aiokafka", {}, id="aiokafka"),
]
RANGE = {
    "confluent": {"partition.assignment.strategy": "range"},
    "kafka-python": {"partition_assignment_strategy": (KafkaPythonRange,)},
    "aiokafka": {"partition_assignment_strategy": (AiokafkaRange,)},
}
PARTITIONS = 6


@pytest.mark.parametrize(("kind", "options"), ALONE)
def test_group_grows_and_shrinks(broker, reader, write, shared, all_read, kind, options):
    broker.create_topic("t", PARTITIONS)
    write(broker, 0, 300)
    readers = [reader(kind, broker, **options)]
    shared(readers, PARTITIONS)
    all_read(readers, 300)
    readers += [reader(kind, broker, **options) for _ in range(2)]
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
    _was_in_order(readers)
    # Everyone committed before it left, so nothing was read twice.
    assert sorted(int(value) for one in readers for value in one.values()) == list(range(1000))


def test_clients_of_all_kinds_share_one_group(broker, reader, write, shared, all_read):
    broker.create_topic("t", PARTITIONS)
    write(broker, 0, 300)
    readers = [reader(kind, broker, **options) for kind, options in RANGE.items()]
    shared(readers, PARTITIONS)
    write(broker, 300, 600)
    all_read(readers, 600)
    readers[0].stop()
    shared(readers[1:], PARTITIONS)
    readers.append(reader("confluent", broker, **RANGE["confluent"]))
    shared(readers[1:], PARTITIONS)
    write(broker, 600, 900)
    all_read(readers, 900)
    for one in readers[1:]:
        one.stop()
    _was_in_order(readers)


def _was_in_order(readers) -> None:
    """Whoever reads a partition reads it in order."""
    for one in readers:
        last: dict[int, int] = {}
        for partition, offset, _ in one.records:
            assert offset > last.get(partition, -1), "a partition was read out of order"
            last[partition] = offset
