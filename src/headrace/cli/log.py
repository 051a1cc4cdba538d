"""`headrace log`: verify, dump and repair a data directory that no broker holds.

With --json one object a line, with these keys:

    verify  topic, partition, sound, start, end, segments, batches, records, bytes, notes,
            damages [file, position, end, first_offset, last_offset, why, cut],
            indexes [file, why]
    dump    `log_dump` says
    repair  topic, partition, cut [first_offset, last_offset], copies, sound

`cut` of a damage is what `repair --cut` wants to hear, null where nothing can be cut. What must
not enter: files' formats.
"""

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from headrace.cli.failure import Exit, Failure, note, reporting
from headrace.cli.log_dump import dump
from headrace.cli.offline import Data, Partitions, chosen, opened
from headrace.cli.options import Json, Yes, command_group, confirm
from headrace.cli.output import bytes_text, count_text, print_json

if TYPE_CHECKING:
    from headrace.server.offline import Damage, DataDirectory, PartitionPlace, PartitionReport

__all__ = ["app"]

app = command_group("Look into a data directory that no broker holds, and repair it.")
app.command("dump")(dump)

END: Final = "end"
"""Of a range: whatever follows."""

_PARTITION: Final = re.compile(r"[^/]+/\d+")

_Cut = Annotated[
    list[str] | None,
    typer.Option(
        "--cut",
        metavar="TOPIC/PARTITION:FIRST-LAST",
        help="A damaged range of offsets, as `headrace log verify` names it (repeatable).",
    ),
]


@app.command("verify")
@reporting
def verify(partitions: Partitions = None, data: Data = None, json_output: Json = False) -> Exit:
    """Read every byte and say exactly what is damaged; exit code 1 if anything is."""
    damaged = 0
    with opened(data) as directory:
        for place in chosen(directory, partitions):
            report = directory.inspect(place)
            damaged += not report.is_sound
            if json_output:
                print_json(_as_json(place, report))
            else:
                _show(directory, place, report)
    if damaged:
        raise Failure(f"{count_text(damaged, 'partition')} damaged")
    return Exit.OK


@app.command("repair")
@reporting
def repair(
    data: Data = None,
    cut: _Cut = None,
    indexes: Annotated[
        bool, typer.Option("--indexes", help="Remove indexes that are wrong; they are made anew.")
    ] = False,
    yes: Yes = False,
    json_output: Json = False,
) -> Exit:
    """Cut damaged ranges out, keeping a copy of their bytes in DIR/lost+found."""
    if not cut and not indexes:
        raise Failure(
            "nothing is cut that was not named: run `headrace log verify`, then give --cut "
            "TOPIC/PARTITION:FIRST-LAST as it says",
            Exit.USAGE,
        )
    wanted = _by_partition(cut or [])
    damaged = 0
    with opened(data) as directory:
        ranges = {chosen(directory, [label])[0]: texts for label, texts in wanted.items()}
        for place, texts in ranges.items():
            _named(place, directory.inspect(place), texts)  # all of it, before any of it is done
        if ranges:
            confirm(f"Cut {', '.join(cut or [])} out of {directory.path}?", yes)
        for place in ranges or chosen(directory, None):
            after = _repaired(directory, place, ranges.get(place, []), indexes, json_output)
            damaged += not after.is_sound
    if damaged:
        raise Failure(f"{count_text(damaged, 'partition')} still damaged")
    return Exit.OK


def _by_partition(texts: list[str]) -> dict[str, list[str]]:
    """`TOPIC/PARTITION` -> the ranges named for it. Raises Failure (USAGE)."""
    wanted: dict[str, list[str]] = {}
    for text in texts:
        label, colon, offsets = text.rpartition(":")
        first, dash, last = offsets.partition("-")
        is_range = colon and dash and first.isdigit() and (last.isdigit() or last == END)
        if not (is_range and _PARTITION.fullmatch(label)):
            expected = "TOPIC/PARTITION:FIRST-LAST, such as orders/0:17-20 or orders/0:17-end"
            raise Failure(f'--cut: expected {expected}, got "{text}"', Exit.USAGE)
        wanted.setdefault(label, []).append(offsets)
    return wanted


def _named(place: "PartitionPlace", report: "PartitionReport", ranges: list[str]) -> "list[Damage]":
    """The damages that `ranges` are. Raises Failure for anything else."""
    found = {_range(damage): damage for damage in report.damages if damage.can_be_cut}
    for text in ranges:
        if text not in found:
            there = ", ".join(found) or "nothing"
            raise Failure(
                f"{place.label}: offsets {text} are no damaged range; damaged is: {there}. "
                "Nothing was changed"
            )
    paths = {found[text].path for text in ranges}
    for text, damage in found.items():
        if damage.path in paths and text not in ranges:
            raise Failure(
                f"{place.label}: {damage.path} is damaged at offsets {text} too: name both. "
                "Nothing was changed"
            )
    return [damage for text, damage in found.items() if text in ranges]


def _repaired(
    directory: "DataDirectory",
    place: "PartitionPlace",
    ranges: list[str],
    indexes: bool,
    json_output: bool,
) -> "PartitionReport":
    copies = None
    report = directory.inspect(place)
    damages: list[Damage] = []
    if ranges:
        directory.make_ready(place)
        report = directory.inspect(place)
        damages = _named(place, report, ranges)
        copies = directory.cut(place, report, damages)
        report = directory.inspect(place)
    if indexes and report.bad_indexes:
        directory.remove_indexes(report)
        report = directory.inspect(place)
    if json_output:
        cuts = [_json_of(place, damage) for damage in damages]
        print_json(
            {
                "topic": place.topic,
                "partition": place.partition,
                "cut": [{key: one[key] for key in ("first_offset", "last_offset")} for one in cuts],
                "copies": copies,
                "sound": report.is_sound,
            }
        )
    elif copies is not None:
        print(f"{place.label}: cut offsets {', '.join(ranges)}; their bytes are in {copies}")
        _show(directory, place, report)
    elif indexes:
        _show(directory, place, report)
    return report


def _range(damage: "Damage") -> str:
    last = END if damage.next_offset is None else str(damage.next_offset - 1)
    return f"{damage.first_offset}-{last}"


def _show(directory: "DataDirectory", place: "PartitionPlace", report: "PartitionReport") -> None:
    state = "sound" if report.is_sound else "DAMAGED"
    print(
        f"{place.label}: {state}, offsets {report.start_offset} to {report.end_offset}, "
        f"{report.batches:,} {'batch' if report.batches == 1 else 'batches'}, "
        f"{count_text(report.records, 'record')}, {bytes_text(report.size_bytes)}"
    )
    for damage in report.damages:
        print(
            f"  {damage.path}: bytes {damage.position} to {damage.end}, offsets {_range(damage)}: "
            f"{damage.why}"
        )
        if damage.can_be_cut:
            cut = f"{place.label}:{_range(damage)}"
            print(f"    headrace log repair --data {directory.path} --cut {cut}")
    for path, why in report.bad_indexes.items():
        print(f"  {path}: {why}")
        print(f"    headrace log repair --data {directory.path} --indexes")
    for text in report.notes:
        note(f"{place.label}: {text}")


def _as_json(place: "PartitionPlace", report: "PartitionReport") -> dict[str, Any]:
    return {
        "topic": place.topic,
        "partition": place.partition,
        "sound": report.is_sound,
        "start": report.start_offset,
        "end": report.end_offset,
        "segments": report.segments,
        "batches": report.batches,
        "records": report.records,
        "bytes": report.size_bytes,
        "notes": report.notes,
        "damages": [_json_of(place, damage) for damage in report.damages],
        "indexes": [{"file": path, "why": why} for path, why in report.bad_indexes.items()],
    }


def _json_of(place: "PartitionPlace", damage: "Damage") -> dict[str, Any]:
    return {
        "file": damage.path,
        "position": damage.position,
        "end": damage.end,
        "first_offset": damage.first_offset,
        "last_offset": None if damage.next_offset is None else damage.next_offset - 1,
        "why": damage.why,
        "cut": f"{place.label}:{_range(damage)}" if damage.can_be_cut else None,
    }
