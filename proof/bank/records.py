"""What stands in the four topics, as JSON. Who writes a record in a transaction names the attempt.

`attempt` is unique to a try at a transaction; `of` is how many records it wrote. A reader of
committed records sees all of them or none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = [
    "ACCOUNTS",
    "LEDGER",
    "OPENING",
    "ORDERS",
    "PARTITIONS",
    "RECEIPTS",
    "TOPICS",
    "Account",
    "Attempted",
    "Place",
    "decoded",
    "encoded",
    "outputs_of",
    "partition_of",
]

ORDERS, ACCOUNTS, LEDGER, RECEIPTS = TOPICS = (
    "bank-orders",
    "bank-accounts",
    "bank-ledger",
    "bank-receipts",
)
PARTITIONS = 4
OPENING = 1000
"""What is in each account before the first order."""


class Place(NamedTuple):
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"offset {self.offset} of {self.topic}/{self.partition}"


@dataclass(frozen=True)
class Account:
    """After `version` changes."""

    version: int = 0
    balance: int = OPENING


class Attempted(NamedTuple):
    topic: str
    partition: int
    facts: dict[str, Any]


def partition_of(account: int) -> int:
    return account % PARTITIONS


def encoded(facts: Mapping[str, Any]) -> bytes:
    return json.dumps(facts, separators=(",", ":")).encode()


def decoded(value: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(value)
    return facts


def outputs_of(
    orders: Sequence[tuple[Place, dict[str, Any]]], accounts: dict[int, Account]
) -> Iterator[Attempted]:
    """What follows from the orders. `accounts` has those that they are for, and is changed."""
    for place, order in orders:
        name, amount = order["account"], order["amount"]
        home = partition_of(name)
        at = {"order": order["order"], "kind": order["kind"], "at": [place.partition, place.offset]}
        account = accounts[name]
        if order["kind"] == "transfer":
            done = account.balance >= amount
            yield Attempted(RECEIPTS, home, {**at, "result": "done" if done else "refused"})
            if not done:
                continue
            deposit = {"order": order["order"], "kind": "deposit", "amount": amount}
            to = order["to"]
            yield Attempted(ORDERS, partition_of(to), {**deposit, "account": to})
        delta = -amount if order["kind"] == "transfer" else amount
        account = accounts[name] = Account(account.version + 1, account.balance + delta)
        state = {"account": name, "version": account.version, "balance": account.balance}
        yield Attempted(ACCOUNTS, home, {**at, **state, "delta": delta})
        yield Attempted(LEDGER, home, {**at, "account": name, "delta": delta})
