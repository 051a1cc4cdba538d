"""`/groups`: every group as JSON, for people and for `headrace group describe`.

    [{"group", "state", "type", "generation", "rebalances", "rebalance_reason",
      "lag", "lag_s", "stuck_members",
      "members": [{"member_id", "client_id", "host", "instance_id", "stuck", "stuck_for_s"}],
      "partitions": [{"topic", "partition", "committed", "end", "lag", "lag_s",
                      "since_commit_s"}]}]

Durations in seconds; null where something is not known. What must not enter: metrics.
"""

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from headrace.broker.group_lag import GroupLag
from headrace.wire.errors import RequestError

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["groups_json"]

GROUPS_PER_TURN_MAX: Final = 16
"""Groups written before the event loop gets its turn."""


async def groups_json(broker: "Broker", only: str | None) -> bytes | None:
    """All groups, or `only` this one; None if there is no such group."""
    try:
        found = await broker.lags.measure(only)
    except RequestError:  # no group can have such a name
        found = []
    if only is not None and not found:
        return None
    texts = []
    for count, lag in enumerate(found, start=1):
        texts.append(json.dumps(_described(broker, lag)))
        if count % GROUPS_PER_TURN_MAX == 0:
            await asyncio.sleep(0)
    return f"[{','.join(texts)}]\n".encode()


def _described(broker: "Broker", lag: GroupLag) -> dict[str, Any]:
    group = lag.group
    now_ms = broker.now_ms()
    members = []
    for member in group.members:
        stuck_for_s = broker.stuck.stuck_for_s(group.group_id, member.member_id)
        members.append(
            {
                "member_id": member.member_id,
                "client_id": member.client_id,
                "host": member.client_host,
                "instance_id": member.instance_id,
                "stuck": stuck_for_s is not None,
                "stuck_for_s": stuck_for_s,
            }
        )
    ages = [part.lag_s for part in lag.partitions if part.lag_s is not None]
    return {
        "group": group.group_id,
        "state": group.state.value,
        "type": group.protocol_type,
        "generation": group.generation,
        "rebalances": group.rebalances,
        "rebalance_reason": group.rebalance_reason,
        "lag": sum(part.lag for part in lag.partitions),
        "lag_s": max(ages, default=None),
        "stuck_members": sum(member["stuck"] is True for member in members),
        "members": members,
        "partitions": [
            {
                "topic": part.topic,
                "partition": part.partition,
                "committed": part.committed,
                "end": part.end,
                "lag": part.lag,
                "lag_s": part.lag_s,
                "since_commit_s": (
                    None if part.committed_ms is None else max(0, now_ms - part.committed_ms) / 1000
                ),
            }
            for part in lag.partitions
        ],
    }
