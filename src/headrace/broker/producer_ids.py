"""Producer ids: numbers that no two producers ever share, not even across a crash.

Ids are handed out from a block that was reserved durably first; what a crash leaves of a block is
never used. 64 bits last for longer than anyone will care.
"""

import asyncio
from typing import Final

from headrace.catalog.producer_ids import ProducerIdBlocks

__all__ = ["ProducerIds"]

BLOCK_IDS: Final = 1000
"""Ids reserved by one commit."""


class ProducerIds:
    def __init__(self, blocks: ProducerIdBlocks) -> None:
        self._blocks = blocks
        self._next = 0
        self._after = 0
        self._reserving = asyncio.Lock()

    async def next(self) -> int:
        """A producer id that was never handed out before.

        Raises RequestError(KAFKA_STORAGE_ERROR) when no new block can be reserved.
        """
        if self._next == self._after:
            async with self._reserving:
                if self._next == self._after:
                    self._next = await self._blocks.reserve(BLOCK_IDS)
                    self._after = self._next + BLOCK_IDS
        producer_id = self._next
        self._next += 1
        return producer_id
