"""The words in which doors talk with the transaction coordinator: `headrace.transactions`' own."""

from headrace.transactions.record import NO_PRODUCER, ProducerIdentity
from headrace.transactions.requests import Add, End, Init
from headrace.wire.markers import Marker

__all__ = ["NO_PRODUCER", "Add", "End", "Init", "Marker", "ProducerIdentity"]
