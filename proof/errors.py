"""Which errors a client may show to its program, because real Kafka lets it show them too.

TRANSPORT: the broker is not there. Expected from when it is killed until a while after it is back.
MEMBERSHIP: a commit that came too late, because the group has gone on without the member; whoever
has the partition now reads again what was not committed. Kafka answers the same codes.
UNEXPECTED: everything else, and a transport error when the broker was there all the time.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from proof.journal import Event

__all__ = ["Outage", "Sort", "sort_of"]

AFTERMATH_S = 15.0
"""How long after a restart a client may still notice that its connection has gone."""

Outage = tuple[float, float]
"""From the kill until the ready line, monotonic seconds."""


class Sort(StrEnum):
    TRANSPORT = "transport"
    MEMBERSHIP = "membership"
    UNEXPECTED = "unexpected"


TRANSPORT = {
    # librdkafka
    *("_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_WAIT_COORD", "_DESTROY", "_RESOLVE"),
    # kafka-python, aiokafka
    *("KafkaConnectionError", "NodeNotReadyError", "NoBrokersAvailable", "KafkaTimeoutError"),
    *("RequestTimedOutError", "CommitTimeoutError", "StaleMetadata", "Cancelled"),
    # @platformatic/kafka
    *("PLT_KFK_NETWORK", "PLT_KFK_TIMEOUT", "ECONNREFUSED", "ECONNRESET", "EPIPE"),
    # Codes of the protocol, in all spellings: the coordinator starts.
    *("COORDINATOR_LOAD_IN_PROGRESS", "CoordinatorLoadInProgressError"),
    *("COORDINATOR_NOT_AVAILABLE", "CoordinatorNotAvailableError"),
    *("NOT_COORDINATOR", "NotCoordinatorError"),
    # Said by librdkafka itself of acknowledgements while it knows no leader, never by our broker.
    "NOT_LEADER_FOR_PARTITION",
    # What a broker that was killed has forgotten: who had acquired which records.
    *("INVALID_RECORD_STATE", "SHARE_SESSION_NOT_FOUND", "INVALID_SHARE_SESSION_EPOCH"),
}
MEMBERSHIP = {
    *("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "STALE_MEMBER_EPOCH"),
    *("IllegalGenerationError", "UnknownMemberIdError", "RebalanceInProgressError"),
    "CommitFailedError",
}


def sort_of(event: Event, outages: Sequence[Outage]) -> Sort:
    """Of a `failed` event."""
    error = event["error"]
    if event["where"] in ("commit", "close") and error in MEMBERSHIP:
        return Sort.MEMBERSHIP
    if error in TRANSPORT and _during(outages, event["t"]):
        return Sort.TRANSPORT
    return Sort.UNEXPECTED


def _during(outages: Iterable[Outage], t: float) -> bool:
    return any(down <= t <= up + AFTERMATH_S for down, up in outages)
