"""What the numbers of rounds become: medians, ratios, tables, JSON."""

import json
import math

import pytest

from bench.compare import Case, ComparedRow, Sample
from bench.report import Results, Row, as_json, as_markdown, number
from bench.systems import Running


def a_case(*, lower_is_better: bool = False) -> Case:
    return Case(
        "large",
        "produce",
        "os",
        "MB/s",
        lambda running, settings: Sample(1.0),
        lower_is_better=lower_is_better,
        at={"batch_bytes": 1024},
    )


def a_row(*, lower_is_better: bool = False) -> ComparedRow:
    ours = [Sample(v, size_bytes=10**9, cpu_s=2.0, detail={"p99 ms": v}) for v in (9.0, 10.0, 99.0)]
    other = [Sample(5.0), Sample(4.0)]
    return ComparedRow(a_case(lower_is_better=lower_is_better), {"ours": ours, "other": other})


def results(row: ComparedRow) -> Results:
    systems = [
        Running(name, "1", "os", "its way", "", [], None, "kafka", None)  # type: ignore[arg-type]
        for name in ("ours", "other")
    ]
    settings = {"seconds": 1.0}
    return Results(
        {"cores": 2}, "scripts/bench", settings, "ours", systems, [row], [Row("x", "os", 1.0, "s")]
    )


def test_a_row_is_the_median_of_its_rounds() -> None:
    assert a_row().value("ours") == 10.0
    assert a_row().value("other") == 4.5
    assert math.isnan(a_row().value("nobody"))
    assert a_row().detail("ours") == {"p99 ms": 10.0}


@pytest.mark.parametrize(("lower_is_better", "ratio"), [(False, 10 / 4.5), (True, 4.5 / 10)])
def test_a_ratio_above_one_is_ahead_whichever_way_the_unit_points(
    lower_is_better: bool, ratio: float
) -> None:
    row = a_row(lower_is_better=lower_is_better)
    assert row.ratio("ours", "other") == pytest.approx(ratio)


def test_processor_seconds_are_those_of_all_rounds_by_all_their_bytes() -> None:
    assert a_row().cpu_s_per_gb("ours") == pytest.approx(2.0)
    assert math.isnan(a_row().cpu_s_per_gb("other"))


def test_json_keeps_every_round_and_has_no_nan() -> None:
    row = a_row()
    row.failures["other"] = "went away"
    text = as_json(results(row))
    whole = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    [found] = whole["rows"]
    assert [one["value"] for one in found["rounds"]["ours"]] == [9.0, 10.0, 99.0]
    assert found["rounds"]["other"][0]["cpu_s"] is None
    assert found["at"] == {"batch_bytes": 1024}
    assert found["failures"] == {"other": "went away"}
    assert whole["systems"]["other"]["policy"] == {"os": "its way"}
    assert whole["machine"] == {"cores": 2}
    assert whole["alone"][0]["what"] == "x"


def test_markdown_has_a_ratio_to_each_other_system_and_the_policies() -> None:
    header, _, line, *rest = as_markdown(results(a_row())).splitlines()
    assert header == "| what | durability | ours | other | / other | aim | cpu s/GB |"
    assert line == "| produce | os | 10 MB/s | 4.5 | 2.22 |  | 2 / - |"
    assert "- other 1, os: its way" in rest


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0386, "0.0386"), (12345.6, "12,346"), (float("nan"), "")]
)
def test_numbers_have_the_digits_that_matter(value: float, shown: str) -> None:
    assert number(value) == shown
