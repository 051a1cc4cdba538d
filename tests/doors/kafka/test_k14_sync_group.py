import pytest

from headrace.doors.kafka.k14_sync_group import API
from headrace.groups.requests import Join
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k14_sync_group import SyncGroupRequest, SyncGroupRequestAssignment

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_leader_assigns_and_everyone_reads(with_groups, version):
    async def body(asker):
        join = Join("", "consumer", (("range", b""),), 10_000, 10_000, "i")
        member_id = (await asker.broker.groups.join("g", join)).member_id

        def request(member_id=member_id, generation=1, **rest):
            return SyncGroupRequest(
                group_id="g", member_id=member_id, generation_id=generation, **rest
            )

        assignment = SyncGroupRequestAssignment(member_id=member_id, assignment=b"all")
        answer = await asker.ask(API, version, request(assignments=[assignment]))
        assert (answer.error_code, answer.assignment) == (0, b"all")
        if version >= 5:
            assert (answer.protocol_type, answer.protocol_name) == ("consumer", "range")
            other = await asker.ask(API, version, request(protocol_name="sticky"))
            assert other.error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        assert (await asker.ask(API, version, request())).assignment == b"all"
        stale = await asker.ask(API, version, request(generation=0))
        assert (stale.error_code, stale.assignment) == (ErrorCode.ILLEGAL_GENERATION, b"")
        stranger = await asker.ask(API, version, request("x"))
        assert stranger.error_code == ErrorCode.UNKNOWN_MEMBER_ID

    with_groups(body)


def test_empty_group_id_is_refused(with_groups):
    async def body(asker):
        answer = await asker.ask(API, 5, SyncGroupRequest(group_id=""))
        assert answer.error_code == ErrorCode.INVALID_GROUP_ID

    with_groups(body)
