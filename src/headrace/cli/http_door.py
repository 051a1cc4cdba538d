"""Asking a broker's HTTP door for what Kafka's protocol has no words for.

What must not enter: what is asked.
"""

import http.client
import json
from typing import Any, Final

from headrace.cli.failure import Failure
from headrace.server.address import Address

__all__ = ["ask_door", "not_as_headrace"]

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
REASON_BYTES_MAX: Final = 1000


def ask_door(text: str, path: str, what: str, timeout_s: float, method: str = "GET") -> Any:
    """The JSON at `path` of the HTTP door at `text` (HOST:PORT); `what` it is about is for people.

    Raises Failure.
    """
    try:
        address = Address.parse(text, port_min=1)
    except ValueError as expected:
        raise Failure(f'--http: expected {expected}, got "{text}"') from None
    door = http.client.HTTPConnection(address.host, address.port, timeout=timeout_s)
    try:
        door.request(method, path)
        answer = door.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
        if answer.status != http.client.OK:
            if answer.getheader("Content-Type", "").startswith("text/plain") and body.strip():
                raise Failure(f"{what}: {body[:REASON_BYTES_MAX].decode(errors='replace').strip()}")
            raise Failure(
                f"{what}: {address} answers {answer.status} {answer.reason}; "
                "is that a Headrace broker's HTTP door (headrace serve --http)?"
            )
        return json.loads(body)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the HTTP door {address} cannot be asked: {error}") from None
    except ValueError:
        raise not_as_headrace(text) from None
    finally:
        door.close()


def not_as_headrace(text: str) -> Failure:
    """For an answer that has not what it should have."""
    return Failure(f"{text} answers, but not as a Headrace broker does")
