"""Which calls there are: paths and what they lead to.

What must not enter: what any of them does.
"""

from collections.abc import Mapping

from headrace.doors.http2.call import Method
from headrace.doors.http2.status import GrpcError, Status

__all__ = ["Services"]


class Services:
    """The methods of one door by path: `/package.Service/Method`."""

    def __init__(self) -> None:
        self._methods: dict[str, Method] = {}

    def add(self, service: str, methods: Mapping[str, Method]) -> None:
        """`service` with its package; methods by name."""
        for name, method in methods.items():
            self._methods[f"/{service}/{name}"] = method

    def find(self, path: str) -> Method:
        """Raises GrpcError for a path that leads nowhere."""
        method = self._methods.get(path)
        if method is None:
            raise GrpcError(Status.UNIMPLEMENTED, f"there is no method {path[:200]}")
        return method
