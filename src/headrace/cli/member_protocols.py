"""Which protocol each member of a next-generation group speaks: some may be classic ones, while the
group changes over (KIP-848). Version 1 of ConsumerGroupDescribe tells; librdkafka's admin client
does not hand it on (2.16). What must not enter: how it is shown (`group`).
"""

from types import MappingProxyType
from typing import Final

from headrace.cli.connection import Connection
from headrace.cli.failure import Failure
from headrace.cli.plain_requests import UNSUPPORTED, PlainRequests
from headrace.wire.messages.k69_consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
)

__all__ = ["member_protocols"]

_MEMBER_TYPE_SINCE: Final = 1
_NAMES: Final = MappingProxyType({0: "classic", 1: "consumer"})


def member_protocols(connection: Connection, coordinator: str, group: str) -> dict[str, str]:
    """By member id; nothing where the broker does not tell, or the connection is encrypted.
    `coordinator` is HOST:PORT. Raises Failure if it does not answer."""
    host, _, port = coordinator.rpartition(":")
    if not connection.is_plain or not host:
        return {}
    with PlainRequests(host, int(port), connection.timeout_s) as requests:
        try:
            answer = requests.ask(
                ConsumerGroupDescribeRequest([group]),
                ConsumerGroupDescribeResponse,
                version_min=_MEMBER_TYPE_SINCE,
            )
        except Failure as failure:
            if failure.reason != UNSUPPORTED:
                raise
            return {}
    return {
        member.member_id: _NAMES[member.member_type]
        for found in answer.groups
        for member in found.members
        if member.member_type in _NAMES
    }
