"""`python -m bench [WORKLOAD ...]`: measure, print a table and, with --json, one JSON object."""

import argparse
import sys
import tempfile

from bench.report import Row, as_json, print_table
from bench.workloads import WORKLOADS, Settings


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--seconds", type=float, default=5, help="per measurement (default 5)")
    parser.add_argument("--gigabytes", type=float, default=1, help="at most, per measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of each; the median is reported")
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
            rounds=options.rounds,
            peer=options.peer,
            peer_name=options.peer_name,
        )
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
