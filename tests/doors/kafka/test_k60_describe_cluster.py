import pytest

from headrace.doors.kafka.k60_describe_cluster import API
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import OPERATIONS_NOT_ASKED
from headrace.wire.messages.k60_describe_cluster import DescribeClusterRequest, EndpointType

VERSIONS = range(API.versions[0], API.versions[1] + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_cluster_is_one_broker(with_broker, version):
    async def body(asker):
        answer = await asker.ask(API, version, DescribeClusterRequest())
        assert (answer.error_code, answer.error_message) == (0, None)
        assert (answer.cluster_id, answer.controller_id) == (asker.broker.cluster_id, 1)
        (broker,) = answer.brokers
        assert (broker.broker_id, broker.host, broker.port) == (1, "127.0.0.1", 9092)
        assert answer.cluster_authorized_operations == OPERATIONS_NOT_ASKED
        request = DescribeClusterRequest(include_cluster_authorized_operations=True)
        answer = await asker.ask(API, version, request)
        assert answer.cluster_authorized_operations & (1 << 8)

    with_broker(body)


@pytest.mark.parametrize(
    ("endpoint_type", "code"),
    [
        (EndpointType.CONTROLLERS, ErrorCode.MISMATCHED_ENDPOINT_TYPE),
        (7, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE),
    ],
)
def test_only_brokers_have_endpoints(with_broker, endpoint_type, code):
    async def body(asker):
        request = DescribeClusterRequest(endpoint_type=endpoint_type)
        answer = await asker.ask(API, 1, request)
        assert answer.error_code == code
        assert answer.error_message

    with_broker(body)
