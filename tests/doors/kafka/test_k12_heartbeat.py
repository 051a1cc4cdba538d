import pytest

from headrace.doors.kafka.k12_heartbeat import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k12_heartbeat import HeartbeatRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_members_are_told_how_they_stand(with_groups, enter, version):
    async def body(asker):
        member_id = await enter(asker)

        async def code(group_id="g", generation=1, member_id=member_id, instance=None):
            request = HeartbeatRequest(
                group_id=group_id,
                generation_id=generation,
                member_id=member_id,
                group_instance_id=instance,
            )
            return (await asker.ask(API, version, request)).error_code

        assert await code() == 0
        assert await code(generation=2) == ErrorCode.ILLEGAL_GENERATION
        assert await code(member_id="x") == ErrorCode.UNKNOWN_MEMBER_ID
        assert await code(group_id="none") == ErrorCode.UNKNOWN_MEMBER_ID
        assert await code(group_id="") == ErrorCode.INVALID_GROUP_ID
        if version >= 3:
            assert await code(instance="i") == 0
            assert await code(instance="i", member_id="x") == ErrorCode.FENCED_INSTANCE_ID

    with_groups(body)
