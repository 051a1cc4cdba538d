"""Who has a turn when, and what becomes of those who fail."""

import contextlib
from collections.abc import Iterator

from bench.compare import YARDSTICK, Case, ComparedRow, Sample, Settings, compare
from bench.systems import Durability, Running

SETTINGS = Settings("/nowhere", 0.0, 1, rounds=3)


class Scripted:
    """A system that does nothing but say that it was started and stopped."""

    def __init__(self, name: str, seen: list[str], pids: list[int] | None = None) -> None:
        self.name = name
        self._seen = seen
        self._pids = [1] if pids is None else pids

    @contextlib.contextmanager
    def start(self, directory: str, durability: Durability) -> Iterator[Running]:
        self._seen.append(f"{self.name} starts with {durability}")
        yield Running(
            self.name,
            "1",
            durability,
            "",
            "",
            self._pids,
            None,  # type: ignore[arg-type]
            "redis" if self.name == "c" else "kafka",
            self,
        )
        self._seen.append(f"{self.name} ends")


def run(cases: list[Case], *systems: Scripted) -> list[ComparedRow]:
    found = compare(cases, systems, SETTINGS, lambda running, settings: None)
    return [one for one in found if isinstance(one, ComparedRow)]


def a_case(seen: list[str], durability: Durability = "os", **more: object) -> Case:
    def turn(running: Running, settings: Settings) -> Sample:
        seen.append(running.name)
        return Sample(len(seen))

    return Case("w", "what", durability, "s", turn, **more)  # type: ignore[arg-type]


def test_systems_take_turns_and_each_round_begins_with_another() -> None:
    seen: list[str] = []
    systems = [Scripted(name, []) for name in "abc"]
    [row] = run([a_case(seen)], *systems)
    assert "".join(seen) == "abcbcacab"
    assert {name: len(samples) for name, samples in row.samples.items()} == {
        "a": 3,
        "b": 3,
        "c": 3,
    }


def test_all_of_one_durability_run_side_by_side_and_end_before_the_other() -> None:
    seen: list[str] = []
    run([a_case([], "fsync"), a_case([], "os")], Scripted("a", seen), Scripted("b", seen))
    assert seen == [
        *("a starts with os", "b starts with os", "b ends", "a ends"),
        *("a starts with fsync", "b starts with fsync", "b ends", "a ends"),
    ]


def test_a_durability_that_nobody_wants_is_not_started() -> None:
    seen: list[str] = []
    run([a_case([], "fsync")], Scripted("a", seen))
    assert seen == ["a starts with fsync", "a ends"]


def test_who_fails_has_no_more_turns_and_the_others_go_on() -> None:
    seen: list[str] = []

    def turn(running: Running, settings: Settings) -> Sample:
        seen.append(running.name)
        if running.name == "a" and len(seen) > 2:
            raise TimeoutError("nothing came")
        return Sample(1.0)

    [row] = run([Case("w", "what", "os", "s", turn)], Scripted("a", []), Scripted("b", []))
    assert "".join(seen) == "abbab"
    assert row.failures == {"a": "TimeoutError: nothing came"}
    assert len(row.samples["b"]) == 3


def test_a_case_is_for_those_who_can_do_it() -> None:
    systems = [Scripted("a", []), Scripted("b", [], pids=[]), Scripted("c", [])]
    kafka = a_case([], families=frozenset({"kafka"}))
    started = a_case([], needs_processes=True)
    by_family, by_process = run([kafka, started], *systems)
    assert set(by_family.samples) == {"a", "b"}
    assert set(by_process.samples) == {"a", "c"}


def test_a_yardstick_has_its_turn_in_each_round() -> None:
    [row] = run([a_case([], yardstick=lambda _: Sample(7.0), rounds=2)], Scripted("a", []))
    assert [sample.value for sample in row.samples[YARDSTICK]] == [7.0, 7.0]
    assert len(row.samples["a"]) == 2
