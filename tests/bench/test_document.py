import pytest

from bench.document import filled, milliseconds, number
from bench.results import merge


def row(**changed):
    values = {"Headrace": 2050.4, "Kafka": 570.0, "NATS": None}
    return {
        "workload": "large",
        "what": "produce, 1 MB",
        "durability": "os",
        "unit": "MB/s",
        "lower_is_better": False,
        "aim": "2,500",
        "at": {},
        "values": values,
        "ratios": {"Kafka": 3.597, "NATS": None},
        "cpu_s_per_gb": {"Headrace": 0.52, "Kafka": 1.4, "NATS": None},
        "failures": {"NATS": "ConnectionError"},
        "rounds": {},
        **changed,
    }


def load(system: str, load: str, share, rate: int, p50_ms: float):
    summary = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms"), p50_ms)
    return {
        "system": system,
        "durability": "os",
        "load": load,
        "share": share,
        "rate": rate,
        "is_sustained": rate < 50_000,
        "end_to_end": summary,
        "ack": summary,
    }


def most(system: str, rate: int):
    return {
        "system": system,
        "durability": "os",
        "load": "most",
        "most": rate,
        "flooded": rate + 1,
    }


RESULTS = {
    "machine": {"date": "2026-11-20T12:00:00Z", "cores": 2},
    "command": "scripts/bench --quick",
    "ours": "Headrace",
    "systems": {
        "Kafka": {"version": "4.3.1", "policy": {"os": "page cache"}, "notes": ["512 MB heap"]},
        "Headrace": {"version": "0.1", "policy": {"os": "page cache"}},
        "NATS": {"version": "2.9", "policy": {}},
    },
    "rows": [row()],
    "latency": [
        most("Headrace", 100_000),
        load("Headrace", "10% of its most", 0.1, 10_000, 1.234),
        load("Headrace", "1,000 /s", None, 1000, 0.8),
        load("Kafka", "10% of its most", 0.1, 50_000, 12.3),
    ],
}


def part(name: str, results=RESULTS) -> list[str]:
    page = f"before\n<!-- bench:begin {name} -->\nold\n<!-- bench:end -->\nafter\n"
    written, stayed = filled(page, merge([results]))
    assert stayed == []
    before, begin, *lines, end, after = [line for line in written.splitlines() if line]
    assert (before, begin, end, after) == (
        ("before", f"<!-- bench:begin {name} -->", "<!-- bench:end -->", "after")
    )
    return lines


def test_a_table_of_rows_has_ours_first_then_the_others_with_their_ratios():
    assert part("rows small large") == [
        "| what | durability | Headrace | Kafka | NATS | CPU s/GB |",
        "| --- | --- | --- | --- | --- | --- |",
        "| produce, 1 MB; aim 2,500 | os | **2,050 MB/s** | 570 (3.60) | failed | 0.52 / 1.4 / - |",
    ]


def test_latencies_of_one_load_stand_together_and_who_falls_behind_is_named():
    lines = part("latency os")[2:]
    assert [line.split(" | ")[:4] for line in lines] == [
        ["| 10% of its most", "Headrace", "10,000", "1.23"],
        ["| ", "Kafka", "50,000, falls behind", "12"],
        ["| 1,000 /s", "Headrace", "1,000", "0.80"],
    ]


def test_the_rest_of_what_a_run_says():
    assert part("most")[2:] == [
        "| Headrace | 100,000 | 100,001 |",
        "| Kafka |  |  |",
        "| NATS |  |  |",
    ]
    assert part("systems")[2:] == [
        "| Headrace 0.1 | os | page cache |",
        "| Kafka 4.3.1 | os | page cache |",
        "|  |  | 512 MB heap |",
    ]
    assert part("runs") == ["- `scripts/bench --quick`, 2026-11-20T12:00:00Z: cores 2"]


def test_latencies_of_rows_have_their_p99():
    rounds = {"Kafka": [{"detail": {"p99 ms": value}} for value in (3.0, 1.0, 2.0)]}
    [line] = part("rows large", {**RESULTS, "rows": [row(rounds=rounds)]})[2:]
    assert "| 570 (3.60), p99 2 |" in line


def test_drawings_are_shown_where_there_are_numbers_for_them():
    assert part("plot latency-rate-os latency-share-os throughput-batch-size") == [
        "![latency rate os](plots/latency-rate-os.svg)",
        "![latency share os](plots/latency-share-os.svg)",
    ]


def test_what_the_files_do_not_have_stays():
    page = "<!-- bench:begin rows small -->\nold\n<!-- bench:end -->\n"
    assert filled(page, merge([RESULTS])) == (page, ["rows small"])


def test_filling_a_page_twice_changes_nothing():
    page = "<!-- bench:begin rows large -->\n<!-- bench:end -->\n\n<!-- bench:begin most -->\n"
    page += "<!-- bench:end -->\n"
    once, _ = filled(page, merge([RESULTS]))
    assert filled(once, merge([RESULTS]))[0] == once


@pytest.mark.parametrize(
    "page",
    [
        "<!-- bench:begin nonsense -->\n<!-- bench:end -->",
        "<!-- bench:begin rows large -->\n",
        "<!-- bench:end -->\n",
    ],
)
def test_a_page_with_a_mistake_is_refused(page):
    with pytest.raises(ValueError, match=r"bench:|is no part"):
        filled(page, merge([RESULTS]))


def test_a_later_file_replaces_the_rows_it_has_and_all_latencies_of_its_durability():
    again = {"rows": [row(values={"Headrace": 1.0})], "latency": [most("Headrace", 5)]}
    whole = merge([RESULTS, {**RESULTS, **again}])
    assert [one["values"]["Headrace"] for one in whole["rows"]] == [1.0]
    assert [one.get("most") for one in whole["latency"]] == [5]
    other = row(durability="fsync")
    assert len(merge([RESULTS, {"rows": [other]}])["rows"]) == 2


def test_what_systems_promise_is_kept_of_all_files():
    again = {"systems": {"Kafka": {"version": "4.3.1", "policy": {"fsync": "synced"}}}}
    policies = merge([RESULTS, again])["systems"]["Kafka"]["policy"]
    assert policies == {"os": "page cache", "fsync": "synced"}


def test_systems_that_were_not_there_have_no_column():
    alone = row(values={"Headrace": 1.0}, ratios={}, failures={}, cpu_s_per_gb={"Headrace": None})
    assert part("rows large", {**RESULTS, "rows": [alone]})[0] == "| what | durability | Headrace |"


def test_numbers_have_three_digits_that_matter():
    assert [number(value) for value in (None, 0.1234, 12.34, 1234.5)] == (
        ["", "0.123", "12.3", "1,234"]
    )
    assert [milliseconds(value) for value in (0.123, 9.5, 1234.5)] == ["0.12", "9.50", "1,234"]
