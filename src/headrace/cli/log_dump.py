"""`headrace log dump`: the batches of a partition, or its records, as lines.

With --json one object a line: of records what `headrace consume --format json` writes, of batches

    topic, partition, file, position, bytes, base_offset, last_offset, records, codec,
    base_timestamp_ms, max_timestamp_ms, producer_id, producer_epoch, base_sequence,
    leader_epoch, flags (of: append_time, transactional, control, delete_horizon)

It stops in each segment at the first bytes that are no batch; `verify` says what they are. What
must not enter: changing anything.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.failure import reporting
from headrace.cli.offline import Data, Partitions, chosen, opened
from headrace.cli.options import Json
from headrace.cli.output import print_json
from headrace.cli.records import as_json, as_text

if TYPE_CHECKING:
    from headrace.server.offline import DataDirectory, PartitionPlace
    from headrace.wire.batch import BatchHeader

__all__ = ["dump"]


@reporting
def dump(
    partitions: Partitions = None,
    data: Data = None,
    first: Annotated[
        int, typer.Option("--from", metavar="OFFSET", min=0, help="Not what is before it.")
    ] = 0,
    last: Annotated[
        int | None, typer.Option("--to", metavar="OFFSET", min=0, help="Not what is after it.")
    ] = None,
    records: Annotated[bool, typer.Option("--records", help="Records instead of batches.")] = False,
    json_output: Json = False,
) -> None:
    """Print what is in the log, batch by batch or record by record."""
    from headrace.cli.dumped import batch_json, batch_text, received

    show = as_json if json_output else as_text
    with opened(data) as directory:
        for place in chosen(directory, partitions):
            for path, header, position, batch in _between(directory, place, first, last):
                if records:
                    for record in received(place, header, batch):
                        if record.offset >= first and (last is None or record.offset <= last):
                            print(show(record).decode())
                elif json_output:
                    print_json(batch_json(place, path, header, position))
                else:
                    print(batch_text(place, path, header, position))


def _between(
    directory: "DataDirectory", place: "PartitionPlace", first: int, last: int | None
) -> "Iterator[tuple[str, BatchHeader, int, bytes]]":
    for found in directory.batches(place):
        header = found[1]
        if header.last_offset >= first and (last is None or header.base_offset <= last):
            yield found
