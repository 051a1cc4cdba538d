"""All targets, by name."""

from typing import Final

from proof.fuzz.messages import HTTP, HTTP2, MESSAGES
from proof.fuzz.requests import DOOR, REQUESTS
from proof.fuzz.stored import BATCHES, FILES, SEGMENTS
from proof.fuzz.target import Target
from proof.fuzz.texts import CONFIG, PATTERNS, SUBSCRIPTIONS

__all__ = ["TARGETS"]

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        *(REQUESTS, DOOR, BATCHES, SEGMENTS, FILES, HTTP, HTTP2, MESSAGES),
        *(CONFIG, PATTERNS, SUBSCRIPTIONS),
    )
}
