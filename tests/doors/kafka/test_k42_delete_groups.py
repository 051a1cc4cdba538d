import pytest

from headrace.doors.kafka.k42_delete_groups import API
from headrace.groups.requests import Commit, OffsetToCommit
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k42_delete_groups import DeleteGroupsRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_empty_groups_are_deleted_and_others_named(with_groups, enter, version):
    async def body(asker):
        await enter(asker)
        offset = OffsetToCommit("t", 0, 1, -1, "")
        await asker.broker.groups.commit("plain", Commit((offset,)))
        request = DeleteGroupsRequest(groups_names=["g", "plain", "none", "g" * 300])
        answer = await asker.ask(API, version, request)
        assert {result.group_id: result.error_code for result in answer.results} == {
            "g": ErrorCode.NON_EMPTY_GROUP,
            "plain": 0,
            "none": ErrorCode.GROUP_ID_NOT_FOUND,
            "g" * 300: ErrorCode.INVALID_GROUP_ID,
        }
        assert asker.broker.groups.offsets("plain") == {}

    async def after_a_restart(asker):
        assert [group.group_id for group in asker.broker.groups.list()] == ["g"]

    with_groups(body)
    with_groups(after_a_restart)
