"""SIGKILL again and again under load: what was acknowledged is there, once and in order."""

import os
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace.testing.history import judge

KILLS = 20
PRODUCERS = 3
PARTITIONS = 4


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_twenty_kills_under_load_lose_and_repeat_nothing(
    broker_process: Any, create_topic: Callable[..., None], load: Callable[..., Any], until: Any
) -> None:
    seed = int(os.environ.get("HEADRACE_TEST_SEED", random.SystemRandom().randrange(10**6)))
    print(f"HEADRACE_TEST_SEED={seed}")  # shown when the test fails
    rng = random.Random(seed)
    process = broker_process("--durability", "fsync")
    # Small segments: kills hit rolls and checkpoints too.
    create_topic(process, "load", PARTITIONS, segment_bytes=str(1 << 20))
    running = load(process, "load", PARTITIONS).start(PRODUCERS)
    pause = threading.Event()
    for _ in range(KILLS):
        before = running.acked_count()
        until(lambda b=before: running.acked_count() > b, "an acknowledgement")  # type: ignore[misc]
        pause.wait(rng.uniform(0, 0.25))
        process.kill()
        process.start()
    running.stop()
    log = running.final_log()
    assert not judge(running.history, log)
    assert not running.failures
    assert len(running.history.acks) == len(log) > 1000 * PRODUCERS
    assert len(running.history.sightings) > 1000
