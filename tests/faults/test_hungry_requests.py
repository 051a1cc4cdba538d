"""Requests whose counts and lengths lie: refused quickly, by their kind of error, in little memory.

Every request of every version, as a client would send it, with each place of it overwritten by
numbers at the ends of their ranges; so every length field and count is hit, wherever it stands.
"""

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from headrace.testing.raw_client import RawClient, batch, frame
from headrace.wire.apis import is_flexible
from proof.fuzz.requests import REQUESTS
from proof.fuzz.samples import Sample, frame_of, request_classes, samples

Connect = Callable[..., RawClient]

WIDE = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xfe", b"\x00\x7f\xff\xff")
SHORT = (b"\x7f\xff", b"\xff\xfe")
VARINTS = (b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x07", b"\xff\xff\x03")
GROWTH_BYTES_MAX = 64 << 20
FRAME_S_MAX = 0.5


def lies(sample: Sample) -> list[bytes]:
    """Frames with one number each that promises too much."""
    body = sample.body
    flexible = is_flexible(sample.api_key, sample.version)
    made = []
    for at in range(len(body)):
        made += [body[:at] + number + body[at + len(number) :] for number in (*WIDE, *SHORT)]
        if flexible:
            made += [body[:at] + number + body[at + 1 :] for number in VARINTS]
    return [frame_of(sample, each) for each in made]


def tell_all() -> None:
    """In a process of its own: its memory is its own too."""
    for sample in samples():
        REQUESTS.try_one(frame_of(sample))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, count = 0.0, 0
    newest = {key: versions[-1] for key, (_, versions) in request_classes().items()}
    for sample in samples():
        if sample.version != newest[sample.api_key]:
            continue
        for data in lies(sample):
            began_s = time.process_time()
            REQUESTS.try_one(data)
            slowest = max(slowest, time.process_time() - began_s)
            count += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{count} {grown * 1024} {slowest}")


def test_numbers_that_promise_too_much_cost_nothing() -> None:
    program = "from tests.faults.test_hungry_requests import tell_all; tell_all()"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50
    )
    assert ran.returncode == 0, ran.stderr
    count, grown, slowest = ran.stdout.split()
    assert int(count) > 10_000
    assert int(grown) < GROWTH_BYTES_MAX
    assert float(slowest) < FRAME_S_MAX


def test_a_broker_is_told_such_and_serves_others(
    broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    process = broker_process("--durability", "os")
    create_topic(process, "live")
    live = connect(process)
    for number, sample in enumerate(samples()):
        if number % 10:
            continue
        told = lies(sample)
        for data in told[:: max(len(told) // 3, 1)]:
            with contextlib.suppress(OSError), RawClient("127.0.0.1", process.port) as liar:
                liar.send(frame(data))
        assert live.produce("live", 0, batch([b"v"])).error_code == 0
    assert "Traceback" not in process.log()
