"""DescribeCluster (key 60), versions 0-2.

- every worker is a broker, and the first one the controller, too
- controllers have no address of their own: asking for theirs is MISMATCHED_ENDPOINT_TYPE (KIP-919)
"""

from headrace.doors.kafka.acl_operations import CLUSTER_OPERATIONS
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k03_metadata import OPERATIONS_NOT_ASKED
from headrace.wire.messages.k60_describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
    EndpointType,
)


async def handle(
    context: RequestContext, request: DescribeClusterRequest
) -> DescribeClusterResponse:
    broker = context.broker
    if request.endpoint_type == EndpointType.CONTROLLERS:
        return _refuse(ErrorCode.MISMATCHED_ENDPOINT_TYPE, "brokers listen here, not controllers")
    if request.endpoint_type != EndpointType.BROKERS:
        return _refuse(
            ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
            f"there is no endpoint type {request.endpoint_type}",
        )
    return DescribeClusterResponse(
        cluster_id=broker.cluster_id,
        controller_id=broker.ownership.controller_id,
        brokers=[DescribeClusterBroker(*member) for member in broker.members],
        cluster_authorized_operations=(
            CLUSTER_OPERATIONS
            if request.include_cluster_authorized_operations
            else OPERATIONS_NOT_ASKED
        ),
    )


def _refuse(code: ErrorCode, message: str) -> DescribeClusterResponse:
    return DescribeClusterResponse(error_code=code, error_message=message)


API = Api(ApiKey.DESCRIBE_CLUSTER, versions=(0, 2), request=DescribeClusterRequest, handle=handle)
