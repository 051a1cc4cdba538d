"""IncrementalAlterConfigs (key 44): changes the named settings and leaves the others (KIP-339)."""

from enum import IntEnum

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, boolean, int8, int16, int32, message, string, struct

__all__ = [
    "ConfigOperation",
    "IncrementalAlterConfigsRequest",
    "IncrementalAlterConfigsResource",
    "IncrementalAlterConfigsResourceResponse",
    "IncrementalAlterConfigsResponse",
    "IncrementalAlterableConfig",
]


class ConfigOperation(IntEnum):
    """Values of `config_operation`; the last two are for settings that hold a list."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@struct
class IncrementalAlterableConfig:
    name: str = string()
    config_operation: int = int8()
    value: str | None = string(nullable=0)


@struct
class IncrementalAlterConfigsResource:
    resource_type: int = int8()
    resource_name: str = string()
    configs: list[IncrementalAlterableConfig] = array(IncrementalAlterableConfig)


@message(ApiKey.INCREMENTAL_ALTER_CONFIGS, versions=(0, 1))
class IncrementalAlterConfigsRequest:
    resources: list[IncrementalAlterConfigsResource] = array(IncrementalAlterConfigsResource)
    validate_only: bool = boolean()


@struct
class IncrementalAlterConfigsResourceResponse:
    error_code: int = int16()
    error_message: str | None = string(nullable=0)
    resource_type: int = int8()
    resource_name: str = string()


@message(ApiKey.INCREMENTAL_ALTER_CONFIGS, versions=(0, 1))
class IncrementalAlterConfigsResponse:
    throttle_time_ms: int = int32()
    responses: list[IncrementalAlterConfigsResourceResponse] = array(
        IncrementalAlterConfigsResourceResponse
    )
