"""IncrementalAlterConfigs (key 44), versions 0-1: changes what is named, leaves the rest (KIP-339).

- set, delete (back to the default), append and subtract (lists only); all of a resource's or none
- a configuration that occurs twice in a resource is refused with INVALID_REQUEST
- resources: see `alter_resources`
"""

from headrace.broker.admin_configs import ConfigChange, Resource, amend_configs
from headrace.doors.kafka.alter_resources import alter_each
from headrace.doors.kafka.api import Api, RequestContext
from headrace.wire.apis import ApiKey
from headrace.wire.messages.k44_incremental_alter_configs import (
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResource,
    IncrementalAlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse,
)


async def handle(
    context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    async def alter(key: Resource, resource: IncrementalAlterConfigsResource) -> None:
        changes = [
            ConfigChange(config.name, config.config_operation, config.value)
            for config in resource.configs
        ]
        await amend_configs(context.broker, key, changes, validate_only=request.validate_only)

    answers = await alter_each(request.resources, alter)
    return IncrementalAlterConfigsResponse(
        responses=[IncrementalAlterConfigsResourceResponse(*answer) for answer in answers]
    )


API = Api(
    ApiKey.INCREMENTAL_ALTER_CONFIGS,
    versions=(0, 1),
    request=IncrementalAlterConfigsRequest,
    handle=handle,
)
