"""A change goes on without who asked for it, and what becomes of it then is told if it matters."""

import asyncio
import gc

import pytest

from headrace.broker.changes import Changes
from headrace.wire.errors import ErrorCode, RequestError


async def abandon(error: Exception) -> list[str]:
    """A change whose caller hangs up, and which then fails; what the loop had to complain about."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(context["message"])
    )
    changes, go_on = Changes(), asyncio.Event()

    async def change() -> None:
        await go_on.wait()
        raise error

    caller = asyncio.ensure_future(changes.run(change()))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    go_on.set()
    await changes.wait()
    await asyncio.sleep(0)
    gc.collect()
    return complaints


def test_a_refusal_that_nobody_hears_is_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    refusal = RequestError(ErrorCode.COORDINATOR_NOT_AVAILABLE, "the disk is full")
    assert asyncio.run(abandon(refusal)) == []
    assert caplog.text == ""


def test_a_mistake_that_nobody_hears_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert asyncio.run(abandon(ZeroDivisionError("of ours"))) == []
    assert "ZeroDivisionError: of ours" in caplog.text


def test_who_waits_is_told() -> None:
    async def change() -> int:
        return 3

    async def mistake() -> int:
        raise ZeroDivisionError

    assert asyncio.run(Changes().run(change())) == 3
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Changes().run(mistake()))
