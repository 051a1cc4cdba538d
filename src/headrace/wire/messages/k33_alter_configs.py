"""AlterConfigs (key 33): replaces the whole set of a resource's settings; whatever is not named
goes back to its default. Old clients still use it; key 44 is its successor."""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, boolean, int8, int16, int32, message, string, struct

__all__ = [
    "AlterConfigsRequest",
    "AlterConfigsResource",
    "AlterConfigsResourceResponse",
    "AlterConfigsResponse",
    "AlterableConfig",
]


@struct
class AlterableConfig:
    name: str = string()
    value: str | None = string(nullable=0)


@struct
class AlterConfigsResource:
    resource_type: int = int8()
    resource_name: str = string()
    configs: list[AlterableConfig] = array(AlterableConfig)


@message(ApiKey.ALTER_CONFIGS, versions=(0, 2))
class AlterConfigsRequest:
    resources: list[AlterConfigsResource] = array(AlterConfigsResource)
    validate_only: bool = boolean()


@struct
class AlterConfigsResourceResponse:
    error_code: int = int16()
    error_message: str | None = string(nullable=0)
    resource_type: int = int8()
    resource_name: str = string()


@message(ApiKey.ALTER_CONFIGS, versions=(0, 2))
class AlterConfigsResponse:
    throttle_time_ms: int = int32()
    responses: list[AlterConfigsResourceResponse] = array(AlterConfigsResourceResponse)
