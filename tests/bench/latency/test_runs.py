from bench.latency import runs
from bench.latency.runs import Plan, loads_of, measure

PLAN = Plan("", run_s=1, trial_s=1, trials=3)


class Answering:
    """A system that takes so many records a second, or fails."""

    durability = "os"

    def __init__(self, name: str, rate: int) -> None:
        self.name = name
        self.rate = rate

    def cpu_s(self) -> float:
        return 0.0


def run_at(running, rate, seconds, **_):
    if not running.rate:
        raise RuntimeError("it is broken")
    records = int(rate * seconds)
    is_flood = rate == runs.FLOOD_RATE
    behind_ms = 0.0 if rate <= running.rate * 0.9 else 500.0
    received = running.rate if is_flood else records
    return {
        "due": records,
        "sent": received,
        "received": received,
        "seconds": seconds,
        "behind_at_the_end_ms": behind_ms,
        "end_to_end": {},
    }


def test_loads_are_parts_of_ones_own_most_and_common_rates_that_one_sustains():
    assert [(load.rate, load.share) for load in loads_of(200_000, 5_000)] == [
        (20_000, 0.1),
        (100_000, 0.5),
        (160_000, 0.8),
        (1_000, None),
        (10_000, None),
        (4_000, None),
    ]
    assert [load.rate for load in loads_of(5_000, 700)] == [500, 2_500, 4_000, 1_000, 560]


def test_all_systems_run_at_common_rates_and_a_broken_one_only_says_so(monkeypatch):
    monkeypatch.setattr(runs, "run_at", run_at)
    systems = [Answering("quick", 100_000), Answering("broken", 0), Answering("slow", 6_000)]
    rows = list(measure(systems, PLAN))
    most = {row["system"]: row.get("most") for row in rows[:3]}
    assert most["broken"] is None
    assert rows[1]["failure"] == "RuntimeError: it is broken"
    for name, rate in (("quick", 99_000), ("slow", 5_000)):
        assert 0.9 * rate / 5 ** (1 / 8) <= most[name] <= 0.9 * (rate + 1000)
    ran = rows[3:]
    assert {row["system"] for row in ran} == {"quick", "slow"}
    assert all(row["is_sustained"] for row in ran)
    common = [(row["system"], row["rate"]) for row in ran if row["share"] is None]
    assert common == [
        ("quick", 1_000),
        ("slow", 1_000),
        ("quick", 10_000),
        ("quick", int(most["slow"] * 0.8)),
        ("slow", int(most["slow"] * 0.8)),
    ]


def test_a_system_is_flooded_until_it_is_warm(monkeypatch):
    floods = [20_000, 40_000, 41_000, 90_000]

    def warming(running, rate, seconds, **more):
        if rate == runs.FLOOD_RATE:
            running.rate = floods.pop(0)
        return run_at(running, rate, seconds, **more)

    monkeypatch.setattr(runs, "run_at", warming)
    assert runs.find_most(Answering("java", 0), PLAN)["flooded"] == 41_000
    assert floods == [90_000]
