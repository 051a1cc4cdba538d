"""A group as the catalog keeps it, and back.

The columns are for people; `state` holds what only the coordinator needs, as JSON with version
(`v` 1) so that an SQLite shell shows it:

    {"v": 1, "state": "Stable", "members": [{"id", "instance", "client", "host", "session_ms",
     "rebalance_ms", "protocols": [[name, base64], ...], "assignment": base64}, ...]}

Next-generation groups have "v": 2, or 4 if some members are of the classic protocol, and members as
`consumer_group_rows` says; their assignor is in the column of the protocol, their epoch in that of
the generation. Share groups have "v": 3 and members as `share_group_rows` says.
"""

import json
from base64 import b64decode, b64encode
from typing import Any, Final

from headrace.broker import consumer_group_rows, share_group_rows
from headrace.catalog.groups import GroupRow
from headrace.catalog.schema import CatalogError
from headrace.groups.changes import GroupRecord, MemberRecord, SavedRecord
from headrace.groups.consumer_records import ConsumerGroupRecord
from headrace.groups.share_assignor import SIMPLE
from headrace.groups.share_records import ShareGroupRecord
from headrace.groups.states import State

__all__ = ["record_of", "row_of"]

_VERSION: Final = 1
_CONSUMER_VERSION: Final = 2
_SHARE_VERSION: Final = 3
_MIXED_VERSION: Final = 4


def row_of(record: SavedRecord, emptied_ms: int | None) -> GroupRow:
    if isinstance(record, ShareGroupRecord):
        return _share_row_of(record, emptied_ms)
    if isinstance(record, ConsumerGroupRecord):
        return _consumer_row_of(record, emptied_ms)
    state = {
        "v": _VERSION,
        "state": record.state.value,
        "members": [_packed(member) for member in record.members],
    }
    return GroupRow(
        group_id=record.group_id,
        protocol_type=record.protocol_type or "",
        generation=record.generation,
        protocol=record.protocol,
        leader=record.leader,
        state=json.dumps(state, separators=(",", ":")).encode(),
        emptied_ms=emptied_ms,
    )


def record_of(row: GroupRow) -> SavedRecord:
    """Raises CatalogError."""
    try:
        state = json.loads(row.state)
        if state["v"] in (_CONSUMER_VERSION, _MIXED_VERSION):
            return ConsumerGroupRecord(
                group_id=row.group_id,
                state=State(state["state"]),
                generation=row.generation,
                assignor=row.protocol or "",
                members=consumer_group_rows.members_of(state["members"]),
            )
        if state["v"] == _SHARE_VERSION:
            return ShareGroupRecord(
                group_id=row.group_id,
                state=State(state["state"]),
                generation=row.generation,
                members=share_group_rows.members_of(state["members"]),
            )
        if state["v"] != _VERSION:
            raise CatalogError(f"group {row.group_id!r} was saved in format {state['v']}")
        return GroupRecord(
            group_id=row.group_id,
            state=State(state["state"]),
            generation=row.generation,
            protocol_type=row.protocol_type or None,
            protocol=row.protocol,
            leader=row.leader,
            members=tuple(_unpacked(member) for member in state["members"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogError(
            f"group {row.group_id!r} cannot be read from the catalog: {error!r}"
        ) from error


def _consumer_row_of(record: ConsumerGroupRecord, emptied_ms: int | None) -> GroupRow:
    is_mixed = any(member.classic is not None for member in record.members)
    state = {
        "v": _MIXED_VERSION if is_mixed else _CONSUMER_VERSION,
        "state": record.state.value,
        "members": consumer_group_rows.packed_members(record.members),
    }
    return GroupRow(
        group_id=record.group_id,
        protocol_type="consumer",
        generation=record.generation,
        protocol=record.assignor,
        leader=None,
        state=json.dumps(state, separators=(",", ":")).encode(),
        emptied_ms=emptied_ms,
    )


def _share_row_of(record: ShareGroupRecord, emptied_ms: int | None) -> GroupRow:
    state = {
        "v": _SHARE_VERSION,
        "state": record.state.value,
        "members": share_group_rows.packed_members(record.members),
    }
    return GroupRow(
        group_id=record.group_id,
        protocol_type="share",
        generation=record.generation,
        protocol=SIMPLE,
        leader=None,
        state=json.dumps(state, separators=(",", ":")).encode(),
        emptied_ms=emptied_ms,
    )


def _packed(member: MemberRecord) -> dict[str, Any]:
    return {
        "id": member.member_id,
        "instance": member.instance_id,
        "client": member.client_id,
        "host": member.client_host,
        "session_ms": member.session_timeout_ms,
        "rebalance_ms": member.rebalance_timeout_ms,
        "protocols": consumer_group_rows.packed_protocols(member.protocols),
        "assignment": b64encode(member.assignment).decode(),
    }


def _unpacked(packed: dict[str, Any]) -> MemberRecord:
    return MemberRecord(
        member_id=packed["id"],
        instance_id=packed["instance"],
        client_id=packed["client"],
        client_host=packed["host"],
        session_timeout_ms=packed["session_ms"],
        rebalance_timeout_ms=packed["rebalance_ms"],
        protocols=consumer_group_rows.protocols_of(packed["protocols"]),
        assignment=b64decode(packed["assignment"]),
    )
