"""DescribeCluster (key 60): who is in the cluster, without its topics (KIP-700).

`endpoint_type` 1 asks for brokers, 2 for controllers (version 1, KIP-919).
"""

from enum import IntEnum

from headrace.wire.apis import ApiKey
from headrace.wire.messages.k03_metadata import OPERATIONS_NOT_ASKED
from headrace.wire.schema import array, boolean, int8, int16, int32, message, string, struct

__all__ = [
    "DescribeClusterBroker",
    "DescribeClusterRequest",
    "DescribeClusterResponse",
    "EndpointType",
]


class EndpointType(IntEnum):
    BROKERS = 1
    CONTROLLERS = 2


@message(ApiKey.DESCRIBE_CLUSTER, versions=(0, 2))
class DescribeClusterRequest:
    include_cluster_authorized_operations: bool = boolean()
    endpoint_type: int = int8(since=1, default=EndpointType.BROKERS.value)
    include_fenced_brokers: bool = boolean(since=2)


@struct
class DescribeClusterBroker:
    broker_id: int = int32()
    host: str = string()
    port: int = int32()
    rack: str | None = string(nullable=0, default=None)
    is_fenced: bool = boolean(since=2, ignorable=True)


@message(ApiKey.DESCRIBE_CLUSTER, versions=(0, 2))
class DescribeClusterResponse:
    throttle_time_ms: int = int32()
    error_code: int = int16()
    error_message: str | None = string(nullable=0, default=None)
    endpoint_type: int = int8(since=1, default=EndpointType.BROKERS.value)
    cluster_id: str = string()
    controller_id: int = int32(default=-1)
    brokers: list[DescribeClusterBroker] = array(DescribeClusterBroker)
    cluster_authorized_operations: int = int32(default=OPERATIONS_NOT_ASKED)
