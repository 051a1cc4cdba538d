import pytest

from headrace.doors.kafka.k10_find_coordinator import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k10_find_coordinator import CoordinatorType, FindCoordinatorRequest

VERSIONS = range(API.versions[0], API.versions[1] + 1)


async def find(asker, version, *keys, key_type=CoordinatorType.GROUP):
    if version < 4:
        request = FindCoordinatorRequest(key=keys[0], key_type=key_type)
        return [await asker.ask(API, version, request)]
    request = FindCoordinatorRequest(coordinator_keys=list(keys), key_type=key_type)
    return (await asker.ask(API, version, request)).coordinators


@pytest.mark.parametrize(
    ("key_type", "version"),
    [(CoordinatorType.GROUP, version) for version in VERSIONS]
    + [(CoordinatorType.TRANSACTION, version) for version in VERSIONS[1:]],
)
def test_this_broker_keeps_every_group_and_transactional_id(with_groups, key_type, version):
    async def body(asker):
        keys = ["a", "b"][: 1 if version < 4 else 2]
        found = await find(asker, version, *keys, key_type=key_type)
        for coordinator in found:
            assert coordinator.error_code == 0
            assert (coordinator.node_id, coordinator.host, coordinator.port) == (
                1,
                "127.0.0.1",
                9092,
            )
        if version >= 4:
            assert [coordinator.key for coordinator in found] == ["a", "b"]

    with_groups(body)


def test_this_broker_keeps_every_share_partition(with_groups):
    async def body(asker):
        keys = ["g:h:AAAAAAAAAAAAAAAAAAAAAA:0", "g:AAAAAAAAAAAAAAAAAAAAAA:x", "g"]
        good, *bad = await find(asker, 6, *keys, key_type=CoordinatorType.SHARE)
        assert (good.error_code, good.node_id, good.port) == (0, 1, 9092)
        assert [found.error_code for found in bad] == [ErrorCode.INVALID_REQUEST] * 2

    with_groups(body)


@pytest.mark.parametrize("version", VERSIONS[1:])
@pytest.mark.parametrize(
    ("key_type", "error"),
    [
        (CoordinatorType.SHARE, ErrorCode.INVALID_REQUEST),
        (9, ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_is_not_built_is_refused_with_a_reason(with_groups, version, key_type, error):
    async def body(asker):
        (found,) = await find(asker, version, "x", key_type=key_type)
        assert (found.error_code, found.node_id, found.port) == (error, -1, -1)
        assert found.error_message

    with_groups(body)
