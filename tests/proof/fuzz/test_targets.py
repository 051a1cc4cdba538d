"""What fuzzers start from, what they found before, and some inputs more, of every target."""

import random
import time
from typing import Any

import pytest

from proof.fuzz.__main__ import CORPUS
from proof.fuzz.engine import by_hand
from proof.fuzz.mutating import mutated
from proof.fuzz.target import Target
from proof.fuzz.targets import TARGETS

SEED = 3
MUTATED_S = 0.4
"""For each target."""
SLOW = {"door"}


def corpus(target: Target) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target.name).glob("*"))]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_past_finds_do_no_harm(name: str) -> None:
    target = TARGETS[name]
    for data in [*target.seeds(), *corpus(target)]:
        target.try_one(data)


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in SLOW])
def test_mutations_do_no_harm_and_take_no_time(name: str) -> None:
    target, rng = TARGETS[name], random.Random(SEED)
    known = [*target.seeds(), *corpus(target)]
    until = time.monotonic() + MUTATED_S
    while time.monotonic() < until:
        data = mutated(rng.choice(known), known, rng, target.input_bytes_max)
        began_s = time.process_time()
        target.try_one(data)
        assert time.process_time() - began_s < target.input_s_max, data


def test_every_past_find_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= TARGETS.keys()


def test_without_atheris_a_hidden_fault_is_found(capsys: Any) -> None:
    def try_one(data: bytes) -> None:
        if data[:1] == b"\x7f" and _reached(data):
            raise KeyError("deep inside")

    target = Target("t", try_one, lambda: [b"seed"], (__name__,), 64)
    found = by_hand(target, target.seeds(), SEED, 3)
    assert [data[:1] for data in found] == [b"\x7f"]
    assert "deep inside" in capsys.readouterr().out


def _reached(data: bytes) -> bool:
    return b"\xff" in data
