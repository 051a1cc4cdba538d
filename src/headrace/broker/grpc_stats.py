"""What the gRPC door counts: as `stats`, plain integers, at most once a call or a read.

What must not enter: anything per client, or per path that a client may invent.
"""

from collections import Counter

__all__ = ["GrpcStats"]


class GrpcStats:
    """One for a broker."""

    def __init__(self) -> None:
        self.connections = 0
        """Open now."""
        self.connections_accepted = 0
        self.connections_refused = 0
        """Above the door's bound."""
        self.faults: Counter[str] = Counter()
        """Connections that were ended for what their client did, by RFC 9113's error code."""
        self.calls = 0
        """Open now."""
        self.calls_ended: Counter[tuple[str, str]] = Counter()
        """By path, empty where it leads nowhere, and status."""
        self.messages_received = 0
        self.bytes_received = 0
        """Of messages, with their prefixes."""
        self.bytes_waiting = 0
        """Received, and not taken by a call yet, as of the last read."""
