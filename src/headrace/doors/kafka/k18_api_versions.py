"""ApiVersions (key 18), versions 0-4.

- answers what the registry serves, which is what the handlers declare
- an unknown newer version is answered in version 0 with UNSUPPORTED_VERSION and our own range, so
  that the client can ask again (KIP-511); see `dispatch`
- v3 the features that are in force; v4 those that there are, since they begin at level 0
- v3 client software name and version must look like one, else INVALID_REQUEST
"""

import re
from typing import Final

from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.registry import advertised
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode
from headrace.wire.messages.k18_api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_FEATURES: Final = {"group.version": 1, "transaction.version": 2}
"""Name and level, in force from the start. group.version 1: next-generation groups (KIP-848);
transaction.version 2: an epoch for every transaction, partitions added by writing (KIP-890)."""

_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


_FROM_ZERO_VERSION: Final = 4
"""Clients that ask in version 3 take a feature that begins at level 0 for a mistake (KIP-1022)."""


async def handle(context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    if context.api_version > API.versions[1]:
        own = ApiVersion(ApiKey.API_VERSIONS, *API.versions)
        return ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=[own])
    if context.api_version >= 3 and not (
        _SOFTWARE.fullmatch(request.client_software_name)
        and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
    keys = [ApiVersion(key, *versions) for key, versions in advertised().items()]
    return ApiVersionsResponse(
        api_keys=keys,
        supported_features=_supported() if context.api_version >= _FROM_ZERO_VERSION else [],
        finalized_features_epoch=0,
        finalized_features=[FinalizedFeatureKey(name, at, at) for name, at in _FEATURES.items()],
    )


def _supported() -> list[SupportedFeatureKey]:
    return [SupportedFeatureKey(name, 0, top) for name, top in _FEATURES.items()]


API = Api(ApiKey.API_VERSIONS, versions=(0, 4), request=ApiVersionsRequest, handle=handle)
