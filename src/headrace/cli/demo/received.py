"""A record as it came from the topic, and what the consumers and the verifier read in it."""

import json
from typing import Final, NamedTuple, cast

from confluent_kafka import Message

from headrace.cli.demo.board import Happening
from headrace.cli.demo.checker import Record
from headrace.cli.demo.events import AIRCRAFT, SOURCE, TYPES
from headrace.cli.demo.ledger import fingerprint

__all__ = ["Received", "happening", "receive", "record"]

_AIRCRAFT: Final = AIRCRAFT.encode()
_KINDS: Final = {name: kind for kind, name in TYPES.items()}


class Received(NamedTuple):
    """What a client gets of a record."""

    partition: int
    offset: int
    time_ms: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


def receive(message: Message) -> Received:
    """The record in a message that is no error: there, the client leaves nothing out."""
    return Received(
        cast("int", message.partition()),
        cast("int", message.offset()),
        message.timestamp()[1],
        cast("bytes", message.key()),
        cast("bytes", message.value()),
        cast("dict[str, bytes]", dict(message.headers() or ())),
    )


def happening(received: Received) -> Happening:
    """What happened. Raises KeyError or ValueError if the record is none of ours."""
    headers = received.headers
    body = json.loads(received.value)
    return Happening(
        key=received.key.decode(),
        aircraft=headers["ce_subject"].startswith(_AIRCRAFT),
        origin=body["origin"],
        sequence=int(headers["ce_sequence"]),
        time_ms=received.time_ms,
        kind=_KINDS[headers["ce_type"]],
        carrier=body["carrier"],
        destination=body["destination"],
        delay_min=body.get("delay_min", 0),
    )


def record(received: Received) -> Record:
    """What the check needs. Raises KeyError or ValueError if the record is none of ours."""
    headers = received.headers
    return Record(
        partition=received.partition,
        offset=received.offset,
        origin=headers["ce_source"].decode().removeprefix(SOURCE),
        sequence=int(headers["ce_sequence"]),
        subject=headers["ce_subject"],
        time_ms=received.time_ms,
        mark=fingerprint(received.key, received.value, received.time_ms),
    )
