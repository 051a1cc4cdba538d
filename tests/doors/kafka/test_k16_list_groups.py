import pytest

from headrace.doors.kafka.k16_list_groups import API
from headrace.groups.requests import Commit, OffsetToCommit
from headrace.wire.messages.k16_list_groups import ListGroupsRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_groups_are_listed_and_filtered(with_groups, enter, version):
    async def body(asker):
        await enter(asker)
        await asker.broker.groups.commit("plain", Commit((OffsetToCommit("t", 0, 1, -1, ""),)))

        async def names(**filters):
            answer = await asker.ask(API, version, ListGroupsRequest(**filters))
            assert answer.error_code == 0
            return [group.group_id for group in answer.groups]

        answer = await asker.ask(API, version, ListGroupsRequest())
        assert [(group.group_id, group.protocol_type) for group in answer.groups] == [
            ("g", "consumer"),
            ("plain", ""),
        ]
        if version >= 4:
            assert [group.group_state for group in answer.groups] == ["Stable", "Empty"]
            assert await names(states_filter=["stable"]) == ["g"]
            assert await names(states_filter=["Empty", "Stable"]) == ["g", "plain"]
            assert await names(states_filter=["nonsense"]) == []
        if version >= 5:
            assert {group.group_type for group in answer.groups} == {"classic"}
            assert await names(types_filter=["Classic"]) == ["g", "plain"]
            assert await names(types_filter=["share"]) == []

    with_groups(body)
