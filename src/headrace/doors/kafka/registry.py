"""Every API that is served, by key. ApiVersions advertises exactly this, and the tests walk it."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from headrace.doors import kafka
from headrace.doors.kafka import k00_produce, k01_fetch
from headrace.doors.kafka.api import Api
from headrace.wire.apis import ApiKey

__all__ = ["advertised", "apis"]

_HOT: Final[dict[int, tuple[int, int]]] = {
    ApiKey.PRODUCE: k00_produce.VERSIONS,
    ApiKey.FETCH: k01_fetch.VERSIONS,
}
"""Coded by hand and called by the connection itself."""


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


def advertised() -> dict[int, tuple[int, int]]:
    """First and last version of every API, in the order of their keys."""
    ranges = dict(_HOT)
    ranges.update((key, api.versions) for key, api in apis().items())
    return dict(sorted(ranges.items()))
