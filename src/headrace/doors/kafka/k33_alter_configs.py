"""AlterConfigs (key 33), versions 0-2: replaces everything that is set on a resource.

- each resource succeeds or fails alone and is durable before the answer
- a resource or a configuration that occurs twice is refused with INVALID_REQUEST
"""

from collections import Counter

from headrace.broker.admin_configs import Resource, replace_configs
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k33_alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


async def handle(context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    wanted = {Resource(r.resource_type, r.resource_name): r for r in request.resources}
    times = Counter(Resource(r.resource_type, r.resource_name) for r in request.resources)
    responses = []
    for key, resource in wanted.items():
        error = await _alter(context, key, resource, times[key], request.validate_only)
        code, message = (error.code, error.message) if error else (ErrorCode.NONE, None)
        responses.append(AlterConfigsResourceResponse(code, message, *key))
    return AlterConfigsResponse(responses=responses)


async def _alter(
    context: RequestContext,
    key: Resource,
    resource: AlterConfigsResource,
    times: int,
    validate_only: bool,
) -> RequestError | None:
    if times > 1:
        return RequestError(ErrorCode.INVALID_REQUEST, f"{key.name!r} is named {times} times")
    values = [(config.name, config.value) for config in resource.configs]
    try:
        await replace_configs(context.broker, key, values, validate_only=validate_only)
    except RequestError as error:
        return error
    return None


API = Api(ApiKey.ALTER_CONFIGS, versions=(0, 2), request=AlterConfigsRequest, handle=handle)
