"""Every API that is served, by key. ApiVersions advertises exactly this, and the tests walk it."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from headrace.doors import kafka
from headrace.doors.kafka import k00_produce, k01_fetch
from headrace.doors.kafka.api import Api
from headrace.wire.apis import ApiKey

__all__ = ["advertised", "apis", "is_served"]

_HOT: Final[dict[int, tuple[int, int]]] = {
    ApiKey.PRODUCE: k00_produce.VERSIONS,
    ApiKey.FETCH: k01_fetch.VERSIONS,
}
"""Coded by hand and called by the connection itself."""

_SHARED: Final = frozenset(
    {
        ApiKey.SHARE_GROUP_HEARTBEAT,
        ApiKey.SHARE_GROUP_DESCRIBE,
        ApiKey.SHARE_FETCH,
        ApiKey.SHARE_ACKNOWLEDGE,
        ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS,
        ApiKey.ALTER_SHARE_GROUP_OFFSETS,
        ApiKey.DELETE_SHARE_GROUP_OFFSETS,
    }
)
"""Those of share groups, which one process serves alone or nobody."""


@cache
def apis() -> dict[int, Api]:
    """The handlers found in this package, one per `kNN_*` module."""
    found: dict[int, Api] = {}
    for module in iter_modules(kafka.__path__):
        if not (module.name[0] == "k" and module.name[1:3].isdigit()):
            continue
        api = getattr(import_module(f"{kafka.__name__}.{module.name}"), "API", None)
        if api is not None:
            found[api.key] = api
    return found


def advertised(*, alone: bool = True) -> dict[int, tuple[int, int]]:
    """First and last version of every API, in the order of their keys; `alone`: by one process."""
    ranges = dict(_HOT)
    ranges.update((key, api.versions) for key, api in apis().items())
    return {key: ranges[key] for key in sorted(ranges) if alone or key not in _SHARED}


def is_served(api_key: int, *, alone: bool) -> bool:
    """Whether the API is there, and by several processes too unless `alone`."""
    return api_key in apis() and (alone or api_key not in _SHARED)
