"""Methods of one request and one response, written as coroutines.

What must not enter: what any of them does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from headrace.doors.http2.call import Call, Handler, Method
from headrace.doors.http2.messages import Messages
from headrace.doors.http2.status import GrpcError, Status

__all__ = ["Answer", "unary"]

Answer = Callable[[memoryview, Call], Awaitable[bytes]]
"""Request and call in, response out. Raises GrpcError."""


def unary(answer: Answer) -> Method:
    """A method of one request and one response."""
    return Method(lambda call: _Unary(call, answer), answers_at_once=False)


_NO_REQUEST: Final = "a unary call takes one message, not {}"


class _Unary(Handler):
    """Waits for the end of the request, then answers in a task, which a cancel takes along."""

    def __init__(self, call: Call, answer: Answer) -> None:
        self._call = call
        self._answer = answer
        self._requests: list[memoryview] = []
        self._task: asyncio.Task[None] | None = None

    def on_messages(self, messages: Messages) -> None:
        self._requests += messages
        if len(self._requests) > 1:
            raise GrpcError(Status.INTERNAL, _NO_REQUEST.format("more"))

    def on_end(self) -> None:
        if not self._requests:
            raise GrpcError(Status.INTERNAL, _NO_REQUEST.format("none"))
        request = self._requests.pop()
        self._task = asyncio.get_running_loop().create_task(self._run(request))

    async def _run(self, request: memoryview) -> None:
        call = self._call
        with call.ends_on_error():
            response = await self._answer(request, call)
            call.send([response])
            call.finish()

    def on_cancel(self, why: str) -> None:
        if self._task is not None:
            self._task.cancel()
