import pytest

from headrace.doors.kafka.k15_describe_groups import API
from headrace.groups.requests import Leave, Leaving
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k15_describe_groups import DescribeGroupsRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_members_are_shown_with_what_they_read(with_groups, enter, version):
    async def body(asker):
        member_id = await enter(asker)
        request = DescribeGroupsRequest(groups=["g"], include_authorized_operations=version >= 3)
        (group,) = (await asker.ask(API, version, request)).groups
        assert (group.error_code, group.group_id, group.group_state) == (0, "g", "Stable")
        assert (group.protocol_type, group.protocol_data) == ("consumer", "range")
        (member,) = group.members
        assert (member.member_id, member.client_id, member.client_host) == (
            member_id,
            "tests",
            "127.0.0.1",
        )
        assert (member.member_metadata, member.member_assignment) == (b"mine", b"all")
        assert member.group_instance_id == ("i" if version >= 4 else None)
        if version >= 3:
            assert group.authorized_operations & (1 << 8)

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS)
def test_missing_group_is_dead(with_groups, version):
    async def body(asker):
        request = DescribeGroupsRequest(groups=["none", "g" * 300])
        missing, refused = (await asker.ask(API, version, request)).groups
        assert missing.group_state == "Dead"
        assert missing.error_code == (ErrorCode.GROUP_ID_NOT_FOUND if version >= 6 else 0)
        assert refused.error_code == ErrorCode.INVALID_GROUP_ID

    with_groups(body)


def test_empty_group_keeps_its_kind(with_groups, enter):
    async def body(asker):
        await enter(asker)
        await asker.broker.groups.leave("g", Leave((Leaving("", "i"),)))
        (group,) = (await asker.ask(API, 5, DescribeGroupsRequest(groups=["g"]))).groups
        assert (group.group_state, group.protocol_type, group.protocol_data) == (
            "Empty",
            "consumer",
            "",
        )

    with_groups(body)
