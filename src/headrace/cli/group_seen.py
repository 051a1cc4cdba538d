"""What the broker itself says of a group: lag in time, and members that are stuck.

Kafka's protocol has no words for either, so this asks the broker's HTTP door (`/groups`), and only
when a command is told where that is. What must not enter: how it is shown (`group`).
"""

import http.client
import json
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from headrace.cli.failure import Failure
from headrace.server.address import Address

__all__ = ["SeenGroup", "StuckMember", "ask"]

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class StuckMember(NamedTuple):
    """Alive, with data to read, and without progress for so long."""

    member_id: str
    client_id: str
    stuck_for_s: float


class SeenGroup(NamedTuple):
    lag_s: float | None
    """The age of the oldest record that the group reads next; None if it is not known."""
    stuck: list[StuckMember]


def ask(text: str, group: str, timeout_s: float) -> SeenGroup:
    """Ask the HTTP door at `text` (HOST:PORT). Raises Failure."""
    try:
        address = Address.parse(text, port_min=1)
    except ValueError as expected:
        raise Failure(f'--http: expected {expected}, got "{text}"') from None
    door = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    try:
        door.request("GET", f"/groups?group={quote(group, safe='')}")
        answer = door.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
        if answer.status != http.client.OK:
            raise Failure(
                f"group {group}: {address} answers {answer.status} {answer.reason}; "
                "is that a Headrace broker's HTTP door (headrace serve --http)?"
            )
        (found,) = json.loads(body)
        return _read(found)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the HTTP door {address} cannot be asked: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise Failure(f"{address} answers, but not as a Headrace broker does") from None
    finally:
        door.close()


def _read(found: dict[str, Any]) -> SeenGroup:
    stuck = [
        StuckMember(member["member_id"], member["client_id"], float(member["stuck_for_s"]))
        for member in found["members"]
        if member["stuck"]
    ]
    return SeenGroup(found["lag_s"], stuck)
