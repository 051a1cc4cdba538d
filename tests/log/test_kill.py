"""A real process, really killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.log.store import DataDirectoryInUse
from headrace.wire.batch import peek
from headrace.wire.records import read_records

APPENDER = Path(__file__).with_name("appender.py")
ROUNDS = 4


def kill_after(lab, epoch: int, acks: int) -> tuple[int, list[int]]:
    """Where the log ended as the process began, and the offsets it acknowledged."""
    command = [sys.executable, str(APPENDER), str(lab.path), lab.durability, str(epoch)]
    with (
        open(lab.path.with_suffix(".stderr"), "w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        assert process.stdout
        try:
            word, end = process.stdout.readline().split()
            assert word == "open"
            offsets = [int(process.stdout.readline()) for _ in range(acks)]
        finally:
            process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    # The last line may have been cut off by the end of the process.
    offsets += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    return int(end), offsets


def test_what_was_acknowledged_before_a_kill_is_there_once_and_in_order(any_lab):
    acked: list[int] = []
    for epoch in range(ROUNDS):
        end, offsets = kill_after(any_lab, epoch, acks=150 + 70 * epoch)
        assert not acked or end > acked[-1]
        acked += offsets
    assert acked == sorted(set(acked))

    async def check(log):
        batches = await any_lab.batches(log)
        assert [peek(batch).base_offset for batch in batches] == list(range(len(batches)))
        assert len(batches) > acked[-1]
        for offset, batch in enumerate(batches):
            [record] = read_records(batch)
            assert record.value == b"%d" % offset * (1 + offset % 400)
        [producer] = log.producers()
        assert producer.producer_epoch == ROUNDS - 1

    any_lab.run(check)


def test_a_second_process_is_refused_by_name(lab):
    async def scenario(_):
        process = subprocess.run(
            [sys.executable, str(APPENDER), str(lab.path), "fsync", "0"],
            capture_output=True,
            text=True,
        )
        assert process.returncode != 0
        return process.stderr

    message = lab.run(scenario).splitlines()[-1]
    assert "DataDirectoryInUse" in message
    assert str(lab.path) in message
    assert f"process {os.getpid()}" in message

    async def again(_):
        with pytest.raises(DataDirectoryInUse, match=str(lab.path)):
            lab.store()

    lab.run(again)
