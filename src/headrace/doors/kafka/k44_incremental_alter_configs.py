"""IncrementalAlterConfigs (key 44), versions 0-1: changes what is named, leaves the rest (KIP-339).

- set, delete (back to the default), append and subtract (lists only)
- each resource succeeds or fails as a whole and alone, and is durable before the answer
- a resource or a configuration that occurs twice is refused with INVALID_REQUEST
"""

from collections import Counter

from headrace.broker.admin_configs import ConfigChange, Resource, amend_configs
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k44_incremental_alter_configs import (
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse,
)


async def handle(
    context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    wanted = {Resource(r.resource_type, r.resource_name): r for r in request.resources}
    times = Counter(Resource(r.resource_type, r.resource_name) for r in request.resources)
    responses = []
    for key, resource in wanted.items():
        error = await _alter(context, key, resource, times[key], request.validate_only)
        code, message = (error.code, error.message) if error else (ErrorCode.NONE, None)
        responses.append(IncrementalAlterConfigsResourceResponse(code, message, *key))
    return IncrementalAlterConfigsResponse(responses=responses)


async def _alter(
    context: RequestContext,
    key: Resource,
    resource: IncrementalAlterConfigsResource,
    times: int,
    validate_only: bool,
) -> RequestError | None:
    if times > 1:
        return RequestError(ErrorCode.INVALID_REQUEST, f"{key.name!r} is named {times} times")
    changes = [
        ConfigChange(config.name, config.config_operation, config.value)
        for config in resource.configs
    ]
    try:
        await amend_configs(context.broker, key, changes, validate_only=validate_only)
    except RequestError as error:
        return error
    return None


API = Api(
    ApiKey.INCREMENTAL_ALTER_CONFIGS,
    versions=(0, 1),
    request=IncrementalAlterConfigsRequest,
    handle=handle,
)
