"""`headrace capacity`: does it fit, and if not, what would; with the arithmetic.

Of disk, write rate and retention all three are checked (exit code 1 if they do not fit), and of two
the third follows. With --json one object:

    disk_bytes, write_bytes_per_s, retention_s   the third one computed if two were given
    computed            "disk", "write" or "retention"; null if all three were given
    fits                true or false; null if something was computed
    needed_bytes        the disk that this write rate and retention need
    retention_s_max, write_bytes_per_s_max       what this disk allows
    replicas, headroom, index_share, partitions, segment_bytes

What must not enter: the arithmetic itself (`capacity_plan`), brokers.
"""

from typing import Annotated, Any, NamedTuple

import typer

from headrace.cli.capacity_plan import CHECK_S, INDEX_SHARE, REPLICAS, SEGMENT_BYTES, Terms
from headrace.cli.failure import Exit, Failure, reporting
from headrace.cli.options import Json
from headrace.cli.output import bytes_text, count_text, print_json
from headrace.cli.quantities import duration_text, parse_duration_s, parse_rate, parse_size

__all__ = ["capacity"]

_Disk = Annotated[
    str | None, typer.Option("--disk", metavar="SIZE", help="Of the volume, such as 6TB.")
]
_Write = Annotated[
    str | None,
    typer.Option(
        "--write",
        metavar="RATE",
        help="Of all producers together, as it goes over the wire (compressed), such as 150MB/s.",
    ),
]
_Retention = Annotated[
    str | None,
    typer.Option("--retention", metavar="DURATION", help="How long records are kept, such as 7d."),
]
_Headroom = Annotated[
    float,
    typer.Option(
        "--headroom",
        metavar="PERCENT",
        min=0,
        max=99,
        help="Of the disk that stays free, for bursts and until somebody acts.",
    ),
]


class _Plan(NamedTuple):
    disk: float
    write: float
    retention_s: float
    terms: Terms
    computed: str | None

    @property
    def needed(self) -> float:
        return self.terms.disk_bytes(self.write, self.retention_s)

    @property
    def fits(self) -> bool:
        return self.needed <= self.disk


@reporting
def capacity(
    disk: _Disk = None,
    write: _Write = None,
    retention: _Retention = None,
    partitions: Annotated[
        int, typer.Option("--partitions", "-p", min=1, help="Of all topics together.")
    ] = 1,
    headroom: _Headroom = 20,
    segment: Annotated[
        str | None,
        typer.Option("--segment", metavar="SIZE", help="segment.bytes. Default: 1GiB."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Plan a disk: give two of --disk, --write and --retention, or all three to check them."""
    segment_bytes = parse_size(segment, "--segment") if segment else SEGMENT_BYTES
    plan = _plan(
        None if disk is None else parse_size(disk, "--disk"),
        None if write is None else parse_rate(write, "--write"),
        None if retention is None else parse_duration_s(retention, "--retention"),
        Terms(headroom / 100, partitions, segment_bytes),
    )
    if json_output:
        print_json(_described(plan))
    else:
        _show(plan)
    if plan.computed is None and not plan.fits:
        raise Failure(f"it does not fit: {_claim(plan)}")


def _plan(
    disk: float | None, write: float | None, retention_s: float | None, terms: Terms
) -> _Plan:
    if disk is not None and write is not None and retention_s is not None:
        return _Plan(disk, write, retention_s, terms, None)
    if write is not None and retention_s is not None:
        return _Plan(terms.disk_bytes(write, retention_s), write, retention_s, terms, "disk")
    if disk is not None and retention_s is not None:
        return _Plan(disk, terms.write(disk, retention_s), retention_s, terms, "write")
    if disk is None or write is None:
        raise Failure("give two of --disk, --write and --retention, or all three", Exit.USAGE)
    longest_s = terms.retention_s(disk, write)
    if longest_s <= 0:
        segments = bytes_text(terms.segments_bytes(write))
        raise Failure(
            f"a disk of {bytes_text(disk)} keeps nothing at {bytes_text(write)}/s: the segments "
            f"being written take {segments}. A smaller --segment or fewer --partitions need less"
        )
    return _Plan(disk, write, longest_s, terms, "retention")


def _described(plan: _Plan) -> dict[str, Any]:
    terms = plan.terms
    return {
        "disk_bytes": round(plan.disk),
        "write_bytes_per_s": round(plan.write),
        "retention_s": round(plan.retention_s),
        "computed": plan.computed,
        "fits": plan.fits if plan.computed is None else None,
        "needed_bytes": round(plan.needed),
        "retention_s_max": max(0, int(terms.retention_s(plan.disk, plan.write))),
        "write_bytes_per_s_max": int(terms.write(plan.disk, plan.retention_s)),
        "replicas": REPLICAS,
        "headroom": terms.headroom,
        "index_share": INDEX_SHARE,
        "partitions": terms.partitions,
        "segment_bytes": terms.segment_bytes,
    }


def _show(plan: _Plan) -> None:
    rate, kept_for = f"{bytes_text(plan.write)}/s", duration_text(plan.retention_s)
    disk = bytes_text(plan.disk)
    if plan.computed == "write":
        print(f"a disk of {disk} that keeps records for {kept_for} takes up to {rate}\n")
    elif plan.computed:
        print(f"a disk of {disk} keeps {rate} for {kept_for}\n")
    elif plan.fits:
        print(f"it fits: {_claim(plan)}\n")
    _show_steps(plan)
    if plan.computed is None:
        longest_s = plan.terms.retention_s(plan.disk, plan.write)
        longest = f"{duration_text(longest_s)} at {rate}" if longest_s > 0 else f"nothing at {rate}"
        fastest = bytes_text(plan.terms.write(plan.disk, plan.retention_s))
        print(f"\nthis disk keeps {longest}, and for {kept_for} at most {fastest}/s")
    print(
        "\nBatches lie on the disk once, as they came over the wire; fsync costs time, not space."
    )


def _claim(plan: _Plan) -> str:
    needed, disk = bytes_text(plan.needed), bytes_text(plan.disk)
    kept_for = duration_text(plan.retention_s)
    return f"{bytes_text(plan.write)}/s for {kept_for} need {needed}, the disk has {disk}"


def _show_steps(plan: _Plan) -> None:
    terms = plan.terms
    written = plan.write * plan.retention_s
    segments = count_text(terms.partitions, "partition")
    kept = terms.kept_bytes(plan.write, plan.retention_s)
    steps = (
        ("", written, f"{bytes_text(plan.write)}/s for {plan.retention_s:,.0f} s"),
        ("x", None, f"{REPLICAS} copy (replication factor {REPLICAS})"),
        ("+", plan.write * CHECK_S, f"until retention looks again, every {CHECK_S} s"),
        (
            "+",
            terms.segments_bytes(plan.write),
            f"whole segments: {segments} x {bytes_text(terms.segment_bytes)}, or less",
        ),
        ("+", kept * INDEX_SHARE, f"index, {INDEX_SHARE:.2%}"),
        ("+", plan.needed * terms.headroom, f"headroom, {terms.headroom:.0%} of the disk"),
        ("=", plan.needed, "needed"),
    )
    for sign, size, what in steps:
        print(f"  {sign or ' '} {'' if size is None else bytes_text(size):>10}  {what}")
