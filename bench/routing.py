"""How evenly the stream router spreads load, and how quickly it follows: `python -m bench.routing`.

Simulated, on a virtual clock: every trace of `headrace.testing.routing` with static hashing over
16 partitions, the router over the same 16, and an elastic topic of 1 to 32. Prints Markdown.
"""

import random

from headrace.broker.streams.router import ElasticRule
from headrace.testing.routing import TRACES, Report, simulate

HOT_BYTES_PER_S = 8_000_000
PARTITIONS = 16
SEED = 1


def main() -> None:
    print(
        "| trace | how | heaviest / least possible | worst | bytes to hot partitions | all hot for "
        "| partitions, mean (most) | streams moved |\n|---|---|---|---|---|---|---|---|"
    )
    for name, make in TRACES.items():
        trace = make(random.Random(SEED))
        rule = ElasticRule(1, 32, HOT_BYTES_PER_S, 20_000)
        for how, report in (
            ("hashed", simulate(trace, PARTITIONS, HOT_BYTES_PER_S, hashed=True)),
            ("routed", simulate(trace, PARTITIONS, HOT_BYTES_PER_S)),
            ("elastic", simulate(trace, 1, HOT_BYTES_PER_S, rule=rule)),
        ):
            print(_row(name, how, report))


def _row(name: str, how: str, report: Report) -> str:
    return (
        f"| {name} | {how} | {report.imbalance:.2f} | {report.worst:.2f} | {report.hot_share:.0%} "
        f"| {report.reaction_s:.1f} s | {report.partitions_mean:.1f} ({report.partitions_most}) "
        f"| {report.moved_streams} |"
    )


if __name__ == "__main__":
    main()
