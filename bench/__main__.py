"""`python -m bench [WORKLOAD ...]`: measure, print a table and, with --json, one JSON object."""

import argparse
import os
import sys
import tempfile

from bench.report import Row, as_json, print_table
from bench.workloads import WORKLOADS, Settings


def touch_memory(directory: str, size_bytes: int) -> None:
    """Write and remove a file as large as the largest run.

    A virtual machine gets each page of memory from its host when it is first touched, which is ten
    times as slow as writing a file; what was touched once is quick. Without this the first run on
    a fresh machine measures the host.
    """
    path = os.path.join(directory, "touched")
    block = bytes(1 << 20)
    with open(path, "wb", buffering=0) as file:
        file.writelines(block for _ in range(size_bytes >> 20))
    os.unlink(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=5, help="per measurement (default 5)")
    parser.add_argument("--gigabytes", type=float, default=8, help="at most, per measurement")
    parser.add_argument("--dir", help="where data directories are made (default: a temporary one)")
    parser.add_argument("--peer", metavar="HOST:PORT", help="another Kafka broker to run beside")
    parser.add_argument("--peer-name", default="peer", help="what to call it in the table")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON, - for stdout")
    options = parser.parse_args()
    unknown = set(options.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; there are {list(WORKLOADS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=options.dir) as directory:
        settings = Settings(
            directory=directory,
            seconds=options.seconds,
            bytes_max=int(options.gigabytes * 1e9),
            peer=options.peer,
            peer_name=options.peer_name,
        )
        touch_memory(directory, settings.bytes_max)
        for name in options.workloads or WORKLOADS:
            for row in WORKLOADS[name](settings):
                rows.append(row)
                print(
                    f"{row.what} ({row.durability}): {row.value:,.3g} {row.unit}", file=sys.stderr
                )
    if options.json == "-":
        print(as_json(rows))
        return 0
    print_table(rows)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(as_json(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
