import pytest

from headrace.doors.kafka.k35_describe_log_dirs import API
from headrace.wire.messages.k35_describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
)

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_directory_shows_what_partitions_take(with_broker, version, fill):
    async def body(asker):
        topic = await asker.broker.topics.create("t", 3)
        await fill(topic.partitions[1], 10)
        answer = await asker.ask(API, version, DescribeLogDirsRequest(topics=None))
        (directory,) = answer.results
        assert (answer.error_code, directory.error_code) == (0, 0)
        assert directory.log_dir == asker.broker.data_dir
        (found,) = directory.topics
        sizes = {p.partition_index: p.partition_size for p in found.partitions}
        assert set(sizes) == {0, 1, 2}
        assert sizes[1] > sizes[0]
        if version >= 4:
            assert 0 < directory.usable_bytes <= directory.total_bytes

    with_broker(body)


def test_only_what_was_asked_for_and_exists(with_broker):
    async def body(asker):
        await asker.broker.topics.create("t", 3)
        wanted = [DescribableLogDirTopic("t", [1, 7]), DescribableLogDirTopic("nope", [0])]
        (directory,) = (await asker.ask(API, 4, DescribeLogDirsRequest(topics=wanted))).results
        assert [(t.name, [p.partition_index for p in t.partitions]) for t in directory.topics] == [
            ("t", [1])
        ]
        (directory,) = (await asker.ask(API, 4, DescribeLogDirsRequest(topics=[]))).results
        assert directory.topics == []

    with_broker(body)
