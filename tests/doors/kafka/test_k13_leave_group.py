import pytest

from headrace.doors.kafka.k13_leave_group import API
from headrace.groups.states import State
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k13_leave_group import LeaveGroupRequest, LeaveGroupRequestMember

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS[:3])
def test_one_member_leaves(with_groups, enter, version):
    async def body(asker):
        member_id = await enter(asker)
        request = LeaveGroupRequest(group_id="g", member_id="x")
        answer = await asker.ask(API, version, request)
        assert answer.error_code == ErrorCode.UNKNOWN_MEMBER_ID
        request = LeaveGroupRequest(group_id="g", member_id=member_id)
        assert (await asker.ask(API, version, request)).error_code == 0
        assert asker.broker.groups.describe("g").state is State.EMPTY

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS[3:])
def test_many_members_leave_with_an_answer_each(with_groups, enter, version):
    async def body(asker):
        await enter(asker)
        members = [
            LeaveGroupRequestMember(member_id="x", reason="tired"),
            LeaveGroupRequestMember(member_id="", group_instance_id="i"),
            LeaveGroupRequestMember(member_id="", group_instance_id="i"),
        ]
        answer = await asker.ask(API, version, LeaveGroupRequest(group_id="g", members=members))
        assert answer.error_code == 0
        assert [
            (member.member_id, member.group_instance_id, member.error_code)
            for member in answer.members
        ] == [
            ("x", None, ErrorCode.UNKNOWN_MEMBER_ID),
            ("", "i", 0),
            ("", "i", ErrorCode.UNKNOWN_MEMBER_ID),
        ]

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_leaves_the_empty_group_id(with_groups, version):
    async def body(asker):
        answer = await asker.ask(API, version, LeaveGroupRequest(group_id=""))
        assert answer.error_code == ErrorCode.INVALID_GROUP_ID

    with_groups(body)
