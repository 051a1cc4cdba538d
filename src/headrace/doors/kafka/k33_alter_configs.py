"""AlterConfigs (key 33), versions 0-2: replaces everything that is set on a resource.

- a configuration that occurs twice in a resource is refused with INVALID_REQUEST
- resources: see `alter_resources`
"""

from headrace.broker.admin_configs import Resource, replace_configs
from headrace.doors.kafka.alter_resources import alter_each
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.messages.k33_alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


async def handle(context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    async def alter(key: Resource, resource: AlterConfigsResource) -> None:
        values = [(config.name, config.value) for config in resource.configs]
        await replace_configs(context.broker, key, values, validate_only=request.validate_only)

    answers = await alter_each(request.resources, alter)
    return AlterConfigsResponse(
        responses=[AlterConfigsResourceResponse(*answer) for answer in answers]
    )


API = Api(ApiKey.ALTER_CONFIGS, versions=(0, 2), request=AlterConfigsRequest, handle=handle)
