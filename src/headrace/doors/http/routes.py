"""Which path answers what. The broker is asked; only POST /streams/drain changes anything.

/oidc/v1/token gives tokens for the gRPC door to who POSTs an id and secret (`token`).

/healthz answers 200 while the process lives. /readyz answers 200 when clients are accepted and the
catalog can be written, else 503; offline partitions are named in it and do not make it 503, since
taking the whole broker out of service would not bring them back. A stuck consumer does not either.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from headrace.doors.http.groups import groups_json
from headrace.doors.http.head import Answer, Request
from headrace.doors.http.metrics import CONTENT_TYPE, render
from headrace.doors.http.streams import drain, streams_json
from headrace.doors.http.token import PATH as TOKEN_PATH
from headrace.doors.http.token import answer_token
from headrace.doors.http.topics import topic_json

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["SCRAPE_FRESH_S", "Routes"]

SCRAPE_FRESH_S: Final = 1.0
"""For so long a scrape is shown again: however many ask, the work is done once a second."""
OFFLINE_NAMED_MAX: Final = 100

_INDEX: Final = b"Headrace: /metrics /healthz /readyz /groups /topics?topic=NAME /streams\n"


class Routes:
    """`is_ready` is set by whoever opens and closes the doors."""

    def __init__(self, broker: "Broker") -> None:
        self.is_ready = False
        self._broker = broker
        self._rendering = asyncio.Lock()
        self._rendered = b""
        self._rendered_s = float("-inf")
        self._paths: dict[str, Callable[[Request], Awaitable[Answer]]] = {
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/groups": self._groups,
            "/topics": self._topics,
            "/streams": self._streams,
        }
        self.bodies = frozenset({TOKEN_PATH})
        """Paths whose POST may have a body."""

    async def answer(self, request: Request) -> Answer:
        found = self._paths.get(request.path)
        if request.path == "/streams/drain":
            if not request.is_post:
                return Answer(b"POST it\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
            return await drain(self._broker, request.query)
        if request.path == TOKEN_PATH:
            return answer_token(self._broker.tokens, request)
        if request.is_post and found is not None:
            return Answer(b"this is to be read only\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
        if found is None:
            return Answer(b"not found; there is " + _INDEX[10:], status=HTTPStatus.NOT_FOUND)
        return await found(request)

    async def _index(self, _: Request) -> Answer:
        return Answer(_INDEX)

    async def _healthz(self, _: Request) -> Answer:
        return Answer(b"ok\n")

    async def _readyz(self, _: Request) -> Answer:
        reasons = []
        if not self.is_ready:
            reasons.append("not accepting clients")
        if not await self._broker.can_write_catalog():
            reasons.append("the catalog cannot be written")
        offline = self._broker.topics.offline_partitions()
        lines = ["; ".join(reasons) or "ready"]
        lines += [f"offline: {name}-{index}" for name, index in offline[:OFFLINE_NAMED_MAX]]
        if len(offline) > OFFLINE_NAMED_MAX:
            lines.append(f"offline: {len(offline) - OFFLINE_NAMED_MAX} more")
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return Answer("\n".join([*lines, ""]).encode(), status=status)

    async def _metrics(self, _: Request) -> Answer:
        async with self._rendering:
            if time.monotonic() - self._rendered_s >= SCRAPE_FRESH_S:
                self._rendered = await render(self._broker)
                self._rendered_s = time.monotonic()
            return Answer(self._rendered, CONTENT_TYPE)

    async def _groups(self, request: Request) -> Answer:
        """All groups, or `?group=NAME`."""
        only = request.query.get("group", [None])[0]
        body = await groups_json(self._broker, only)
        if body is None:
            return Answer(b"there is no such group\n", status=HTTPStatus.NOT_FOUND)
        return Answer(body, "application/json")

    async def _topics(self, request: Request) -> Answer:
        """One topic: `?topic=NAME`."""
        name = request.query.get("topic", [""])[0]
        if not name:
            return Answer(b"say which: /topics?topic=NAME\n", status=HTTPStatus.BAD_REQUEST)
        body = await topic_json(self._broker, name)
        if body is None:
            return Answer(b"there is no such topic\n", status=HTTPStatus.NOT_FOUND)
        return Answer(body, "application/json")

    async def _streams(self, request: Request) -> Answer:
        """All that are open, those of `?topic=NAME`, or `?stream=ID`."""
        topic = request.query.get("topic", [None])[0]
        stream = request.query.get("stream", [None])[0]
        body = await streams_json(self._broker, topic, stream)
        if body is None:
            return Answer(b"there is no such stream\n", status=HTTPStatus.NOT_FOUND)
        return Answer(body, "application/json")
