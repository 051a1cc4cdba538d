import pytest

from headrace.doors.kafka.k11_join_group import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k11_join_group import JoinGroupRequest, JoinGroupRequestProtocol

VERSIONS = range(API.versions[0], API.versions[1] + 1)


def join(member_id="", **rest):
    rest.setdefault("group_id", "g")
    rest.setdefault("session_timeout_ms", 10_000)
    return JoinGroupRequest(
        member_id=member_id,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"mine")],
        **rest,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_first_member_leads(with_groups, version):
    async def body(asker):
        answer = await asker.ask(API, version, join())
        if version >= 4:
            assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED
            assert answer.generation_id == -1
            answer = await asker.ask(API, version, join(answer.member_id))
        assert (answer.error_code, answer.generation_id) == (0, 1)
        assert answer.protocol_name == "range"
        assert answer.protocol_type == ("consumer" if version >= 7 else None)
        assert answer.leader == answer.member_id
        assert answer.member_id.startswith("tests-")
        assert [(member.member_id, member.metadata) for member in answer.members] == [
            (answer.member_id, b"mine")
        ]

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS[5:])
def test_static_member_joins_at_once(with_groups, enter, version):
    async def body(asker):
        first = await enter(asker)
        answer = await asker.ask(API, version, join(group_instance_id="i"))
        assert (answer.error_code, answer.generation_id) == (0, 1)
        assert answer.member_id != first
        assert answer.skip_assignment == (version >= 9)
        assert answer.leader == (answer.member_id if version >= 9 else first)
        fenced = await asker.ask(API, version, join(first, group_instance_id="i"))
        assert fenced.error_code == ErrorCode.FENCED_INSTANCE_ID
        assert fenced.member_id == first

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_GROUP_ID),
        ({"group_id": "g" * 10_000}, ErrorCode.INVALID_GROUP_ID),
        ({"session_timeout_ms": 100}, ErrorCode.INVALID_SESSION_TIMEOUT),
        ({"member_id": "x"}, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
)
def test_wrong_join_is_refused(with_groups, version, what, error):
    async def body(asker):
        answer = await asker.ask(API, version, join(**what))
        assert (answer.error_code, answer.generation_id) == (error, -1)
        assert answer.protocol_name == (None if version >= 7 else "")
        assert answer.members == []

    with_groups(body)
