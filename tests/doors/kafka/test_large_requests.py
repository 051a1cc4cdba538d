"""Requests with many entries: others are served meanwhile, and what is named often is told once."""

import asyncio

import pytest

from headrace.doors.kafka import (
    k02_list_offsets,
    k03_metadata,
    k09_offset_fetch,
    k10_find_coordinator,
    k15_describe_groups,
    k23_offset_for_leader_epoch,
    k32_describe_configs,
    k35_describe_log_dirs,
    k42_delete_groups,
)
from headrace.wire.messages import k02_list_offsets as m02
from headrace.wire.messages import k03_metadata as m03
from headrace.wire.messages import k09_offset_fetch as m09
from headrace.wire.messages import k10_find_coordinator as m10
from headrace.wire.messages import k15_describe_groups as m15
from headrace.wire.messages import k23_offset_for_leader_epoch as m23
from headrace.wire.messages import k32_describe_configs as m32
from headrace.wire.messages import k35_describe_log_dirs as m35
from headrace.wire.messages import k42_delete_groups as m42

COUNT = 5_000
NAMES = [f"x{number}" for number in range(COUNT)]
TURNS_MIN = COUNT // 1_000


def list_offsets(timestamp):
    asked = [m02.ListOffsetsPartition(partition_index=n, timestamp=timestamp) for n in range(COUNT)]
    return m02.ListOffsetsRequest(topics=[m02.ListOffsetsTopic(name="t", partitions=asked)])


@pytest.mark.parametrize(
    ("api", "version", "request_"),
    [
        (k02_list_offsets.API, 6, list_offsets(-1)),
        (k02_list_offsets.API, 6, list_offsets(1_000)),
        (
            k03_metadata.API,
            9,
            m03.MetadataRequest(
                topics=[m03.MetadataRequestTopic(name=name) for name in NAMES],
                allow_auto_topic_creation=False,
            ),
        ),
        (
            k09_offset_fetch.API,
            8,
            m09.OffsetFetchRequest(
                groups=[m09.OffsetFetchRequestGroup(group_id=name) for name in NAMES]
            ),
        ),
        (k10_find_coordinator.API, 4, m10.FindCoordinatorRequest(coordinator_keys=NAMES)),
        (k15_describe_groups.API, 5, m15.DescribeGroupsRequest(groups=NAMES)),
        (
            k23_offset_for_leader_epoch.API,
            4,
            m23.OffsetForLeaderEpochRequest(
                topics=[
                    m23.OffsetForLeaderTopic(
                        topic="t",
                        partitions=[
                            m23.OffsetForLeaderPartition(partition=number)
                            for number in range(COUNT)
                        ],
                    )
                ]
            ),
        ),
        (
            k32_describe_configs.API,
            4,
            m32.DescribeConfigsRequest(
                resources=[
                    m32.DescribeConfigsResource(resource_type=2, resource_name=name)
                    for name in NAMES
                ]
            ),
        ),
        (k42_delete_groups.API, 2, m42.DeleteGroupsRequest(groups_names=NAMES)),
    ],
)
def test_others_get_their_turn_during_a_request_with_many_entries(
    with_groups, api, version, request_
):
    async def body(asker):
        turns = 0

        async def others():
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        turns = 0
        await asker.ask(api, version, request_)
        task.cancel()
        return turns

    assert with_groups(body) >= TURNS_MIN


def test_what_is_named_often_is_told_once(with_groups):
    async def body(asker):
        groups = [m09.OffsetFetchRequestGroup(group_id="g", topics=None)] * 3
        fetched = await asker.ask(k09_offset_fetch.API, 8, m09.OffsetFetchRequest(groups=groups))
        assert [group.group_id for group in fetched.groups] == ["g"]
        described = await asker.ask(
            k15_describe_groups.API, 5, m15.DescribeGroupsRequest(groups=["g", "h", "g"])
        )
        assert [group.group_id for group in described.groups] == ["g", "h"]
        topic = m32.DescribeConfigsResource(resource_type=2, resource_name="t")
        shown = await asker.ask(
            k32_describe_configs.API, 4, m32.DescribeConfigsRequest(resources=[topic] * 3)
        )
        assert len(shown.results) == 1
        parts = [m35.DescribableLogDirTopic("t", [0]), m35.DescribableLogDirTopic("t", [0, 1])]
        sizes = await asker.ask(k35_describe_log_dirs.API, 4, m35.DescribeLogDirsRequest(parts))
        (told,) = sizes.results[0].topics
        assert [partition.partition_index for partition in told.partitions] == [0, 1]

    with_groups(body)
