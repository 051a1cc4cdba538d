"""A member of a share group that lives in the broker: what one partition lacks is not others'."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.append import find_partition
from headrace.broker.broker import Broker, BrokerOptions
from headrace.broker.share.share_groups import EARLIEST
from headrace.testing.raw_client import batch
from headrace.wire.errors import ErrorCode, RequestError

ACKS_LEADER = 1


def test_a_partition_that_cannot_be_read_holds_up_no_other_and_no_file(tmp_path: Path) -> None:
    async def refused(*_: Any, **__: Any) -> Any:
        raise RequestError(ErrorCode.CORRUPT_MESSAGE, "damaged")

    async def body(broker: Broker) -> None:
        await broker.topics.create("one", 2)
        bad, good = (find_partition(broker, "one", index).log for index in (0, 1))
        bad.append(memoryview(bytearray(batch([b"lost"]))), ACKS_LEADER, None)
        bad.read = refused  # type: ignore[method-assign]
        subscription = await broker.subscriptions.open(
            "one", "group", durable=None, since_ms=EARLIEST, client="here:1"
        )
        try:
            for value in (b"a", b"b", b"c"):  # both are first in turn
                good.append(memoryview(bytearray(batch([value]))), ACKS_LEADER, None)
                delivered = await subscription.fetch(10, 500)
                assert [each.record.value for each in delivered] == [value]
            with pytest.raises(RequestError, match="damaged"):
                await subscription.fetch(10, 0)
        finally:
            await subscription.close()
        assert good.segments.active.file._users == 1  # type: ignore[attr-defined]

    async def main() -> None:
        broker = await Broker.open(BrokerOptions(str(tmp_path), durability="os"))
        try:
            await body(broker)
        finally:
            await broker.close()

    asyncio.run(main())
