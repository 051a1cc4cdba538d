"""A share partition's record as a row of the catalog, and back.

`runs` is JSON for people with an SQLite shell: `[[length, state, delivery count], ...]`, end to end
from the start offset on. States are Kafka's numbers, but for FINISHED, which is ARCHIVED there:

    0 available   3 archiving   4 finished
"""

import json
from typing import Final
from uuid import UUID

from headrace.catalog.schema import CatalogError
from headrace.catalog.share_partitions import SharePartitionRow
from headrace.groups.share_steps import SharePartitionRecord
from headrace.groups.share_window import RecordState

__all__ = ["record_of", "row_of"]

_NUMBERS: Final = {
    RecordState.AVAILABLE: 0,
    RecordState.ARCHIVING: 3,
    RecordState.FINISHED: 4,
}
_STATES: Final = {number: state for state, number in _NUMBERS.items()}


def row_of(
    group_id: str, topic_id: UUID, partition: int, record: SharePartitionRecord
) -> SharePartitionRow:
    runs = [[last - first + 1, _NUMBERS[state], count] for first, last, state, count in record.runs]
    return SharePartitionRow(
        group_id,
        topic_id,
        partition,
        record.start_offset,
        record.state_epoch,
        json.dumps(runs, separators=(",", ":")),
    )


def record_of(row: SharePartitionRow) -> SharePartitionRecord:
    """Raises CatalogError for a row that was not made here."""
    runs = []
    first = row.start_offset
    try:
        for length, number, count in json.loads(row.runs):
            runs.append((first, first + length - 1, _STATES[number], int(count)))
            if length < 1:
                raise ValueError(f"a run of {length} records")
            first += length
    except (ValueError, TypeError, KeyError) as error:
        raise CatalogError(
            f"share group {row.group_id!r}, topic id {row.topic_id.hex}, partition "
            f"{row.partition}: its state cannot be read: {error!r}"
        ) from error
    return SharePartitionRecord(row.start_offset, row.state_epoch, tuple(runs))
