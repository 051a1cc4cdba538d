"""Looking at transactions from outside: which there are, by what an administrator asks for."""

import asyncio
from collections.abc import Collection, Iterable
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.groups.topic_pattern import PatternError, compiled
from headrace.transactions.record import TransactionRecord
from headrace.transactions.states import PREPARED, State
from headrace.wire.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = [
    "OpenKind",
    "OpenTransactions",
    "TransactionFilter",
    "list_transactions",
    "open_transactions",
    "unknown_states",
]

IDS_PER_TURN_MAX: Final = 1000
"""Transactional ids looked at before the event loop gets its turn."""

_NEVER_HERE: Final = frozenset({"Dead", "PrepareEpochFence"})
"""States of Kafka's that no transactional id of this broker is ever in."""


class OpenKind(Enum):
    """Why a transaction is open."""

    ONGOING = "ongoing"
    """Its producer has not ended it, and the timeout has not."""
    TWO_PHASE = "two_phase"
    """The same, and there is no timeout."""
    ENDING = "ending"
    """It is decided, and some partition or group has not been told."""


class OpenTransactions(NamedTuple):
    transactions: int = 0
    oldest_age_ms: int = 0


class TransactionFilter(NamedTuple):
    """Empty, negative or None lets everything through."""

    states: Collection[str] = ()
    """By Kafka's names."""
    producer_ids: Collection[int] = ()
    duration_ms_min: int = -1
    """Only transactions that have lasted for longer."""
    pattern: str | None = None
    """Of the whole transactional id."""


def unknown_states(names: Iterable[str]) -> list[str]:
    """Those that are no states."""
    known = {state.value for state in State} | _NEVER_HERE
    return [name for name in names if name not in known]


async def list_transactions(broker: "Broker", wanted: TransactionFilter) -> list[TransactionRecord]:
    """In the order of ids, as each was when its turn came or shortly before. Raises RequestError
    INVALID_REGULAR_EXPRESSION."""
    pattern = None
    if wanted.pattern:
        try:
            pattern = compiled(wanted.pattern)
        except PatternError as error:
            raise RequestError(ErrorCode.INVALID_REGULAR_EXPRESSION, str(error)) from error
    now_ms = broker.now_ms()
    found = []
    for count, record in enumerate(broker.transactions.records().values(), start=1):
        if (
            (not wanted.states or record.state.value in wanted.states)
            and (not wanted.producer_ids or record.producer_id in wanted.producer_ids)
            and (wanted.duration_ms_min < 0 or _lasts(record, now_ms) > wanted.duration_ms_min)
            and (pattern is None or pattern.matches(record.transactional_id))
        ):
            found.append(record)
        if count % IDS_PER_TURN_MAX == 0:
            await asyncio.sleep(0)
    found.sort(key=attrgetter("transactional_id"))
    return found


def open_transactions(broker: "Broker") -> dict[OpenKind, OpenTransactions]:
    """How many of each kind, and for how long."""
    now_ms = broker.now_ms()
    found = dict.fromkeys(OpenKind, OpenTransactions())
    for record in broker.transactions.open_records():
        kind = OpenKind.TWO_PHASE if record.two_phase else OpenKind.ONGOING
        if record.state in PREPARED:
            kind = OpenKind.ENDING
        transactions, oldest_age_ms = found[kind]
        found[kind] = OpenTransactions(transactions + 1, max(oldest_age_ms, _lasts(record, now_ms)))
    return found


def _lasts(record: TransactionRecord, now_ms: int) -> int:
    return now_ms - record.started_ms if record.started_ms >= 0 else -1
