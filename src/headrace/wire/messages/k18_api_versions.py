"""ApiVersions (key 18): what a broker speaks (KIP-35, KIP-511; features KIP-584).

The one API whose request may come in a version that the broker does not know: it is answered with
UNSUPPORTED_VERSION and `api_keys` in version 0, whatever was asked.
"""

from headrace.wire.apis import ApiKey
from headrace.wire.schema import array, boolean, int16, int32, int64, message, string, struct

__all__ = [
    "ApiVersion",
    "ApiVersionsRequest",
    "ApiVersionsResponse",
    "FinalizedFeatureKey",
    "SupportedFeatureKey",
]


@message(ApiKey.API_VERSIONS, versions=(0, 4))
class ApiVersionsRequest:
    client_software_name: str = string(since=3, ignorable=True)
    client_software_version: str = string(since=3, ignorable=True)


@struct
class ApiVersion:
    """An API and the first and last version of it that are served."""

    api_key: int = int16()
    min_version: int = int16()
    max_version: int = int16()


@struct
class SupportedFeatureKey:
    name: str = string()
    min_version: int = int16()
    max_version: int = int16()


@struct
class FinalizedFeatureKey:
    name: str = string()
    max_version_level: int = int16()
    min_version_level: int = int16()


@message(ApiKey.API_VERSIONS, versions=(0, 4))
class ApiVersionsResponse:
    error_code: int = int16()
    api_keys: list[ApiVersion] = array(ApiVersion)
    throttle_time_ms: int = int32(since=1, ignorable=True)
    supported_features: list[SupportedFeatureKey] = array(
        SupportedFeatureKey, since=3, tag=0, ignorable=True
    )
    finalized_features_epoch: int = int64(since=3, tag=1, default=-1, ignorable=True)
    finalized_features: list[FinalizedFeatureKey] = array(
        FinalizedFeatureKey, since=3, tag=2, ignorable=True
    )
    zk_migration_ready: bool = boolean(since=3, tag=3, ignorable=True)
