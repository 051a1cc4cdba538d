"""Records of a compacted log need a key, for compaction keeps the latest of each.

The one look into batches on the road of an append, and on that of compacted logs only. What must
not enter: other logs' batches.
"""

from typing import Final

from headrace.wire.batch import peek
from headrace.wire.errors import ErrorCode, InvalidRecordsError, MalformedError, RequestError
from headrace.wire.filtering import keyless_records

__all__ = ["check_keys"]

OPENED_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of a batch for a compacted log, decompressed."""
RECORDS_MAX: Final = 250_000
"""Of such a batch: 0.5 us each, in which nobody else is served. A megabyte has 150,000 of the
smallest; compressed, it could have a million and more."""
NAMED_MAX: Final = 100
"""Records without a key that are named one by one."""


def check_keys(batch: memoryview) -> None:
    """Whether every record of a checked batch has a key.

    Raises InvalidRecordsError for those that have none, RequestError INVALID_RECORD for records
    that cannot be opened.
    """
    count = peek(batch).records_count
    if count > RECORDS_MAX:
        raise RequestError(
            ErrorCode.INVALID_RECORD,
            f"{count} records in a batch; a compacted topic takes {RECORDS_MAX} at once",
        )
    try:
        keyless = keyless_records(
            batch, decompressed_bytes_max=OPENED_BYTES_MAX, count_max=NAMED_MAX
        )
    except MalformedError as error:
        raise RequestError(
            ErrorCode.INVALID_RECORD, f"the records cannot be opened: {error}"
        ) from error
    if keyless:
        raise InvalidRecordsError(
            "a compacted topic takes no records without a key",
            [(place, "a compacted topic takes no record without a key") for place in keyless],
        )
