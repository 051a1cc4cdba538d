"""DescribeConfigs (key 32), versions 1-4.

- topics by name, the broker by its number, and "" for what was changed at run time for all brokers
- every configuration with the value in force and where it comes from; synonyms and documentation
  when asked; configurations that the request names and nobody knows are left out
- nothing here is secret, so nothing is marked sensitive
"""

from functools import partial

from headrace.broker.admin_configs import Resource, describe_configs
from headrace.broker.configs import ConfigEntry
from headrace.doors.kafka.api import Api, RequestContext
from headrace.doors.kafka.side_by_side import in_turns
from headrace.wire.apis import ApiKey
from headrace.wire.errors import RequestError
from headrace.wire.messages.k32_describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)


async def handle(
    context: RequestContext, request: DescribeConfigsRequest
) -> DescribeConfigsResponse:
    resources = {(asked.resource_type, asked.resource_name): asked for asked in request.resources}
    results = await in_turns(partial(_describe, context, request), resources.values())
    return DescribeConfigsResponse(results=results)


def _describe(
    context: RequestContext, request: DescribeConfigsRequest, resource: DescribeConfigsResource
) -> DescribeConfigsResult:
    kind, name = resource.resource_type, resource.resource_name
    try:
        entries = describe_configs(
            context.broker, Resource(kind, name), resource.configuration_keys
        )
    except RequestError as error:
        return DescribeConfigsResult(error.code, error.message, kind, name)
    configs = [_config(request, entry) for entry in entries]
    return DescribeConfigsResult(0, None, kind, name, configs)


def _config(request: DescribeConfigsRequest, entry: ConfigEntry) -> DescribeConfigsResourceResult:
    config = entry.config
    synonyms = entry.synonyms if request.include_synonyms else ()
    return DescribeConfigsResourceResult(
        name=config.name,
        value=entry.value,
        read_only=config.read_only,
        config_source=entry.source,
        synonyms=[DescribeConfigsSynonym(*synonym) for synonym in synonyms],
        config_type=config.kind,
        documentation=config.doc if request.include_documentation else None,
    )


API = Api(ApiKey.DESCRIBE_CONFIGS, versions=(1, 4), request=DescribeConfigsRequest, handle=handle)
