"""The named bounds of the gRPC door, and the two things that keep count of them.

What must not enter: what happens to a peer that exceeds one.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["Allowance", "GrpcLimits", "MemoryBudget", "Rate"]

KIB: Final = 1024
MIB: Final = 1024 * 1024


class Rate(NamedTuple):
    """So many at once, and so many more each second."""

    burst: int
    per_s: float


_RESETS: Final = Rate(5000, 200)
_SETTINGS: Final = Rate(32, 1)
_PINGS: Final = Rate(1000, 1000)
_EMPTY_FRAMES: Final = Rate(20_000, 10_000)


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """Bounds of the door, of a connection, of a stream. Tests make them small."""

    # The door
    connections_max: int = 10_000
    receive_bytes_max: int = 256 * MIB
    """Received and not yet handed to a call, all streams of all connections together."""
    unsent_total_bytes_max: int = 256 * MIB
    """Answers that clients have not taken, of all calls together."""
    handshake_s: float = 10.0
    """How long a client may take for TLS and for the first SETTINGS."""
    idle_s: float = 600.0
    """How long a connection without calls stays."""
    ping_after_s: float = 45.0
    """How long a connection with calls may be silent before it is asked whether it lives."""
    ping_answer_s: float = 20.0
    send_s: float = 60.0
    """How long a client may take nothing of what was sent."""
    drain_s: float = 3.0
    """How long calls may go on once the door closes; what is open then is ended (UNAVAILABLE)."""

    # A connection
    streams_max: int = 4096
    frame_bytes_max: int = MIB
    """SETTINGS_MAX_FRAME_SIZE: large ones save a client work (38% more throughput than 16 KiB)."""
    header_list_bytes_max: int = 16 * KIB
    """SETTINGS_MAX_HEADER_LIST_SIZE; a call with more is refused (RESOURCE_EXHAUSTED)."""
    header_block_bytes_max: int = 32 * KIB
    """Encoded, and again decoded: beyond it the connection ends, as its table is lost."""
    continuations_max: int = 16
    """CONTINUATION frames of one header block (CVE-2024-27316)."""
    window_bytes: int = 16 * MIB
    """Of the connection. Given back on receipt: what bounds memory is the streams' windows."""
    control_bytes_max: int = MIB
    """Frames other than DATA that the client has not taken."""
    resets: Rate = _RESETS
    """Streams reset by the client, or by us for its faults (CVE-2023-44487, CVE-2025-8671).
    A client that gives up all its streams at once is none of those."""
    settings: Rate = _SETTINGS
    pings: Rate = _PINGS
    empty_frames: Rate = _EMPTY_FRAMES
    """Frames that bring nothing: empty DATA, PRIORITY, WINDOW_UPDATE, unknown ones, and those for
    streams that are closed (CVE-2019-9518 and its kin)."""

    # A stream
    stream_window_bytes_min: int = 64 * KIB
    """What every stream begins with (SETTINGS_INITIAL_WINDOW_SIZE) and keeps under pressure; not
    less than the 65,535 that a client may count on until it has read our SETTINGS."""
    stream_window_bytes_max: int = 4 * MIB
    message_bytes_max: int = 10 * MIB
    unsent_bytes_max: int = 16 * MIB
    """Answers of a call that its client has not taken; a call that piles up more is ended."""
    unsent_bytes_room: int = MIB
    """Below it a call `has_room`."""


class Allowance:
    """How often something may happen: a bucket of `burst` that fills by `per_s`."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._left = float(rate.burst)
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether it may happen once more at `now` (seconds)."""
        rate = self._rate
        self._left = min(rate.burst, self._left + (now - self._at) * rate.per_s) - 1
        self._at = now
        return self._left >= 0


class MemoryBudget:
    """The memory of one door: what all streams hold, and what each may ask for."""

    __slots__ = ("_limits", "held_bytes", "streams", "unsent_bytes")

    def __init__(self, limits: GrpcLimits) -> None:
        self._limits = limits
        self.held_bytes = 0
        """Received."""
        self.unsent_bytes = 0
        self.streams = 0

    def stream_window_bytes(self) -> int:
        """The window of a stream now: all of them together ask for half of the budget, the other
        half is for messages larger than a window."""
        limits = self._limits
        share = limits.receive_bytes_max // (2 * max(self.streams, 1))
        return max(limits.stream_window_bytes_min, min(share, limits.stream_window_bytes_max))

    def receives_too_much(self) -> bool:
        return self.held_bytes > self._limits.receive_bytes_max

    def sends_too_much(self) -> bool:
        return self.unsent_bytes > self._limits.unsent_total_bytes_max
