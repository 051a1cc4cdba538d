"""Asking a transaction's coordinator, whichever worker that is, whether it writes here.

A partition's worker asks before the first batch of a transaction is in the log, a group's before
offsets wait for one. Where the coordinator is in this process the answer and what follows from it
are one moment of the event loop. Where it is another worker they are not: the transaction may be
ended in between, and what is written after its end would belong to none, or to the next one. So
who asks is entered here (`Asking`) until it has written, and the end of the transaction, which
passes through here too, makes that void: it is refused, and its client asks again.

What must not enter: what a transactional id may do, requests' versions.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from headrace.broker.cluster.ownership import Ownership
from headrace.broker.cluster.peers import Peers
from headrace.broker.transaction_coordinator import TransactionCoordinator
from headrace.links.errors import LinkDown, LinkLost
from headrace.transactions.record import ProducerIdentity, TopicPartition
from headrace.transactions.requests import Add
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.wire.workers import Enter

__all__ = ["Asking", "TransactionEntries", "enter"]

PATIENCE_S: Final = 8.0
"""How long a coordinator that is down is waited for: its worker starts in much less."""
RETRY_S: Final = 0.05

Place = TopicPartition | str
"""A partition, or a group."""


class Asking:
    """One question on its way."""

    __slots__ = ("is_void",)

    def __init__(self) -> None:
        self.is_void = False
        """The transaction has ended meanwhile, whatever the answer is."""


class TransactionEntries:
    """One for a broker."""

    def __init__(
        self, coordinator: TransactionCoordinator, ownership: Ownership, peers: Peers
    ) -> None:
        self._coordinator = coordinator
        self._ownership = ownership
        self._peers = peers
        self._asking: dict[tuple[int, Place], set[Asking]] = {}
        """By producer id and place; as many as requests are being handled."""
        self._is_closing = False

    async def close(self) -> None:
        """Ask no coordinator again that is down: it may be stopping too."""
        self._is_closing = True

    def is_elsewhere(self, transactional_id: str) -> bool:
        """Whether another worker coordinates it."""
        return not self._ownership.is_my_transaction(transactional_id)

    @contextmanager
    def asking(self, producer_id: int, place: Place) -> Iterator[Asking]:
        """For as long as it takes to ask and then to write, without a pause in between."""
        asking = Asking()
        key = producer_id, place
        self._asking.setdefault(key, set()).add(asking)
        try:
            yield asking
        finally:
            left = self._asking[key]
            left.discard(asking)
            if not left:
                del self._asking[key]

    def ended(self, producer_id: int, place: Place) -> None:
        """The producer's transaction ends at this place now."""
        for asking in self._asking.get((producer_id, place), ()):
            asking.is_void = True

    async def enter(
        self, transactional_id: str, producer: ProducerIdentity, place: Place, *, adds: bool
    ) -> None:
        """Ask the coordinator; with `adds` it may add the place to the transaction. A coordinator
        that is down is asked again for some time: asking twice changes nothing.

        Raises RequestError: what `enter` raises; LinkDown, LinkLost when time is up.
        """
        owner = self._ownership.owner_of_transaction(transactional_id)
        if owner == self._ownership.index:
            await enter(self._coordinator, transactional_id, producer, place, adds=adds)
            return
        asked = _enter_message(transactional_id, producer, place, adds=adds)
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        while True:
            try:
                await self._peers.enter(owner, asked)
            except (LinkDown, LinkLost):
                if self._is_closing or loop.time() >= until_s:
                    raise
            else:
                return
            await asyncio.sleep(RETRY_S)


def _enter_message(
    transactional_id: str, producer: ProducerIdentity, place: Place, *, adds: bool
) -> "Enter":
    from headrace.wire.workers import Enter  # needed only where there are others to ask

    asked = Enter(transactional_id, *producer, adds=adds)
    if isinstance(place, str):
        asked.group_id = place
    else:
        asked.topic, asked.partition = place
    return asked


async def enter(
    coordinator: TransactionCoordinator,
    transactional_id: str,
    producer: ProducerIdentity,
    place: Place,
    *,
    adds: bool,
) -> None:
    """Whether the producer has a transaction with the place; with `adds` it is durably added.

    Raises RequestError: INVALID_TXN_STATE if it is not in the transaction, and what
    `TransactionCoordinator.check_write`, `check_commit` and `add` raise.
    """
    if isinstance(place, str):
        if adds:
            await coordinator.add(transactional_id, Add(producer, groups=frozenset({place})))
        coordinator.check_commit(transactional_id, producer, place)
        return
    try:
        coordinator.check_write(transactional_id, producer, place)
    except RequestError as error:
        if error.code is not ErrorCode.INVALID_TXN_STATE or not adds:
            raise
        await coordinator.add(transactional_id, Add(producer, partitions=frozenset({place})))
