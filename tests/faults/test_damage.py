"""Bytes that change while no broker runs: see `proof.damage`, of which this is a sample."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from proof.damage import catalog
from proof.damage.reading import look
from proof.damage.specimen import TOPIC, Specimen, make
from proof.damage.sweep import Change, Report, flips, judge, moved, starts_of, sweep

SEED = 11
SHARE = 0.05

STATES = ("killed", "closed")


def swept(
    directory: Path, state: str, changes_of: Callable[[Specimen], Iterable[Change]]
) -> Report:
    async def main() -> Report:
        specimen = (await make(directory / "made"))[state]
        return await sweep(specimen, directory / "tried", changes_of(specimen))

    return asyncio.run(main())


@pytest.mark.parametrize("state", STATES)
def test_a_flipped_bit_is_told_or_makes_no_difference(state: str, tmp_path: Path) -> None:
    report = swept(tmp_path, state, lambda specimen: flips(specimen, SEED, SHARE))
    assert sum(report.ends.values()) > 50
    assert report.problems == []


@pytest.mark.parametrize("state", STATES)
def test_no_byte_of_a_header_is_believed_unchecked(state: str, tmp_path: Path) -> None:
    """The CRC does not cover the first 17: base offset, length, leader epoch, magic."""

    def second_header(specimen: Specimen) -> list[Change]:
        name, data = next((n, d) for n, d in specimen.files.items() if n.endswith(".log"))
        start = 12 + int.from_bytes(data[8:12], "big")
        return [Change(name, at, bytes([data[at] ^ 4])) for at in range(start, start + 61)]

    assert swept(tmp_path, state, second_header).problems == []


@pytest.mark.parametrize("state", STATES)
def test_a_batch_in_the_place_of_another_is_told(state: str, tmp_path: Path) -> None:
    report = swept(tmp_path, state, lambda specimen: list(moved(specimen))[::3])
    assert sum(report.ends.values()) > 10
    assert report.problems == []


def exchanged(directory: Path, change: dict[str, bytes], state: str, salt: str = "") -> list[str]:
    """What is wrong when files hold something else: names in the partition -> bytes."""

    async def main() -> list[str]:
        specimen = (await make(directory / "made", TOPIC, salt))[state]
        specimen.put(directory / "whole")
        starts = sorted(starts_of(specimen, directory / "whole"))
        truth = await look(directory / "whole", starts)
        for name in specimen.files:
            if name.endswith(tuple(change)):
                specimen.files[name] = change[Path(name).name]
        specimen.put(directory / "tried")
        return judge(await look(directory / "tried", starts), truth, "")[1]

    return asyncio.run(main())


def segments_of(directory: Path, state: str, salt: str = "") -> dict[str, bytes]:
    specimen = asyncio.run(make(directory, TOPIC, salt))[state]
    return {Path(name).name: data for name, data in specimen.files.items() if name.endswith(".log")}


@pytest.mark.parametrize("state", STATES)
def test_segments_that_changed_places_are_told(state: str, tmp_path: Path) -> None:
    files = segments_of(tmp_path / "source", state)
    first, second = sorted(files)[:2]
    told = exchanged(tmp_path, {first: files[second], second: files[first]}, state)
    assert [problem for problem in told if "cannot be read" not in problem] == []


@pytest.mark.parametrize("state", STATES)
def test_segments_of_another_partition_are_told_unless_they_fit_exactly(
    state: str, tmp_path: Path
) -> None:
    """What is said of identity in the files is offsets and sizes: no more can be seen."""
    longer = segments_of(tmp_path / "longer", state, "other ")
    assert not believed(exchanged(tmp_path / "a", longer, state))
    same_sizes = segments_of(tmp_path / "same", state, "~")
    if state == "closed":
        assert believed(exchanged(tmp_path / "b", same_sizes, state, salt="!"))


def believed(problems: list[str]) -> bool:
    return any("is believed" in problem for problem in problems)


@pytest.fixture(scope="module")
def catalog_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("catalog") / "data"
    catalog.make(directory)
    return directory


def test_a_flipped_bit_in_a_closed_catalog_is_refused_by_name(
    catalog_source: Path, tmp_path: Path
) -> None:
    ends, problems = catalog.sweep(catalog_source, tmp_path / "tried", count=30, seed=SEED)
    assert problems == []
    assert ends["catalog.db", "refused by name"] == 30


def test_a_start_ends_whatever_happened_to_a_killed_catalog(
    catalog_source: Path, tmp_path: Path
) -> None:
    ends, problems = catalog.sweep(
        catalog_source, tmp_path / "tried", count=60, seed=SEED, sealed=False
    )
    assert problems == []
    assert ends["catalog.db", "refused by name"] > ends["catalog.db", "changed rows"]
