"""What every accepted connection is told about peers that vanish.

A peer whose machine or network is gone says no more: without this the kernel would ask after two
hours, and send again for a quarter of one. What must not enter: who speaks what.
"""

import socket
from typing import Final

__all__ = ["look_after"]

QUIET_S: Final = 30
"""So long a peer may say nothing before the kernel asks whether it is there."""
ASK_S: Final = 10
"""Between two such questions."""
ASKED_MAX: Final = 3
"""Questions without an answer until the connection is closed."""
UNTAKEN_S: Final = 60
"""How long what was sent may stay without an acknowledgement of the peer's kernel, or the peer keep
its window closed."""


def look_after(connected: socket.socket) -> None:
    """Let the kernel close the connection when its peer has vanished: within QUIET_S +
    ASKED_MAX * ASK_S while nothing is under way, else UNTAKEN_S. Raises OSError."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", QUIET_S),
        ("TCP_KEEPALIVE", QUIET_S),  # macOS's name for it
        ("TCP_KEEPINTVL", ASK_S),
        ("TCP_KEEPCNT", ASKED_MAX),
        ("TCP_USER_TIMEOUT", UNTAKEN_S * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
