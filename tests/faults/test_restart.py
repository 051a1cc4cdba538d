"""How a broker ends and begins again: refused, drained, torn or damaged, and always told."""

import contextlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from headrace.testing.history import judge
from headrace.testing.hot_messages import ProduceResponse
from headrace.testing.raw_client import RawClient, batch, produce_request
from headrace.wire.batch import peek
from headrace.wire.errors import ErrorCode

Connect = Callable[..., RawClient]

UNCLEAN = "was not closed cleanly"


def segment(process: Any, partition: int) -> Path:
    """The only segment of that partition of the only topic."""
    (found,) = process.data.glob(f"topics/*/{partition}/*.log")
    return Path(found)


def fill(client: RawClient, partition: int, count: int) -> None:
    for number in range(count):
        answer = client.produce("t", partition, batch([b"value %d" % number]))
        assert (answer.error_code, answer.base_offset) == (0, number)


def values(client: RawClient, partition: int) -> list[bytes | None]:
    return [record.value for record in client.read_all("t", partition)]


# One house, one owner


def test_a_second_broker_on_the_same_directory_is_refused(
    broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    first = broker_process()
    create_topic(first, "t")
    second = subprocess.run(
        [sys.executable, "-m", "headrace", "serve", "--data", first.data, "--kafka", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert second.returncode not in (0, -signal.SIGKILL)
    assert "ready" not in second.stdout
    (line,) = second.stderr.strip().splitlines()
    assert str(first.data) in line
    assert f"in use by process {first.process.pid}" in line
    fill(connect(first), 0, 3)
    first.kill()
    first.start()  # a killed process holds nothing
    assert len(values(connect(first), 0)) == 3


def test_a_port_that_is_taken_is_named_and_leaves_the_directory_clean(
    broker_process: Any, tmp_path: Path
) -> None:
    first = broker_process()
    command = [sys.executable, "-m", "headrace", "serve", "--data", str(tmp_path / "other")]
    second = subprocess.run(
        [*command, "--kafka", first.bootstrap], capture_output=True, text=True, timeout=30
    )
    assert second.returncode not in (0, -signal.SIGKILL)
    assert first.bootstrap in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert (tmp_path / "other" / "headrace.clean").exists()


# The clean end


def test_sigterm_answers_what_was_appended_and_the_next_start_reads_nothing_anew(
    broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    process = broker_process()
    create_topic(process, "t")
    fill(connect(process), 0, 1)
    client = connect(process)
    frames = [client.framed(produce_request("t", 0, batch([b"x" * 200])), 9) for _ in range(2000)]
    sending = threading.Thread(target=_send_what_goes, args=(client, b"".join(frames)))
    sending.start()
    answered = 0
    with contextlib.suppress(ConnectionError):
        while True:
            _, answer = client.read_answer(ProduceResponse, 9)
            assert answer.responses[0].partition_responses[0].error_code == 0
            answered += 1
            if answered == 100:
                process.process.send_signal(signal.SIGTERM)
    sending.join(20)
    assert process.process.wait(20) == 0
    assert answered >= 100
    process.stop()
    process.start()
    assert len(values(connect(process), 0)) == 1 + answered
    assert UNCLEAN not in process.log()


def _send_what_goes(client: RawClient, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.send(data)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_restarts_under_load_lose_and_repeat_nothing(
    broker_process: Any, create_topic: Any, load: Any, until: Any
) -> None:
    process = broker_process()
    create_topic(process, "load", 2)
    running = load(process, "load", 2).start(2)
    for _ in range(4):
        before = running.acked_count()
        until(lambda b=before: running.acked_count() > b + 500, "acknowledgements")  # type: ignore[misc]
        assert process.stop() == 0
        process.start()
    running.stop()
    assert not judge(running.history, running.final_log())
    assert not running.failures
    assert UNCLEAN not in process.log()


# The unclean end


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"\0" * 5000, id="zeros"),
        pytest.param(b"garbage" * 100, id="garbage"),
        pytest.param(batch([b"half a batch" * 50])[:-20], id="half a batch"),
        pytest.param(b"\0\0\0", id="three bytes"),
    ],
)
def test_a_torn_tail_is_cut_and_said(
    tail: bytes, broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    process = broker_process()
    create_topic(process, "t", 2)
    fill(connect(process), 0, 20)
    fill(connect(process), 1, 5)
    process.kill()
    path = segment(process, 0)
    end = path.stat().st_size
    with open(path, "ab") as file:
        file.write(tail)
    process.start()
    client = connect(process)
    assert values(client, 0) == [b"value %d" % number for number in range(20)]
    assert len(values(client, 1)) == 5
    assert client.produce("t", 0, batch([b"next"])).base_offset == 20
    assert UNCLEAN in process.log()
    (told,) = [line for line in process.log().splitlines() if "torn tail" in line]
    assert str(path) in told
    assert f"{len(tail)} bytes" in told
    assert f"position {end}" in told


def test_a_flipped_byte_takes_its_partition_offline_by_name(
    broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    process = broker_process()
    create_topic(process, "t", 2)
    for partition in (0, 1):
        fill(connect(process), partition, 20)
    process.kill()
    path = segment(process, 0)
    data = bytearray(path.read_bytes())
    damaged_at = 10 * peek(data).size_bytes  # batches 0 to 9 have one size
    data[damaged_at + 70] ^= 0x10
    path.write_bytes(data)
    for _ in range(2):  # it stays so, and nothing is cut
        process.start()
        client = connect(process)
        answer = client.produce("t", 0, batch([b"no"]))
        assert answer.error_code == ErrorCode.KAFKA_STORAGE_ERROR
        assert f"damaged at position {damaged_at} (offset 10)" in (answer.error_message or "")
        assert client.fetch("t", 0, 0).error_code == ErrorCode.KAFKA_STORAGE_ERROR
        assert len(values(client, 1)) == 20
        told = re.findall(rf"t-0 is offline: .*{path.name}.*position {damaged_at}.*", process.log())
        assert told
        process.kill()
        assert path.read_bytes() == data
    data[damaged_at + 70] ^= 0x10  # repaired by hand, as the message invites to
    path.write_bytes(data)
    process.start()
    assert len(values(connect(process), 0)) == 20


def test_a_byte_that_flips_after_a_clean_end_is_refused_when_it_is_read(
    broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    process = broker_process()
    create_topic(process, "t")
    fill(connect(process), 0, 20)
    process.stop()
    path = segment(process, 0)
    data = bytearray(path.read_bytes())
    data[10 * peek(data).size_bytes + 70] ^= 0x10
    path.write_bytes(data)
    process.start()  # reads nothing anew
    consumer = Consumer({"bootstrap.servers": process.bootstrap, "group.id": "g"})
    consumer.assign([TopicPartition("t", 0, 0)])
    messages = consumer.consume(11, 20)
    consumer.close()
    assert f"{path.name} is damaged at position" in process.log()
    beyond = [record.value for record in connect(process).read_all("t", 0, 11)]
    assert beyond == [b"value %d" % number for number in range(11, 20)]
    assert [message.value() for message in messages[:10]] == [b"value %d" % n for n in range(10)]
    error = messages[10].error()
    assert error is not None
    assert error.code() == KafkaError.INVALID_MSG
    command = [sys.executable, "-m", "headrace", "consume", "t", "--bootstrap", process.bootstrap]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    assert ran.stderr.startswith("headrace: t, partition 0: ")
    assert "INVALID_MSG" in ran.stderr


def test_a_missing_segment_takes_its_partition_offline(
    broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    process = broker_process()
    create_topic(process, "t", 2)
    for partition in (0, 1):
        fill(connect(process), partition, 3)
    process.stop()
    segment(process, 0).unlink()
    process.start()
    client = connect(process)
    assert client.fetch("t", 0, 0).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert len(values(client, 1)) == 3


@pytest.mark.parametrize("what", ["checkpoint", "index", "marks", "clean"])
@pytest.mark.parametrize("how", ["removed", "flipped", "emptied"])
def test_what_only_speeds_up_the_start_may_be_lost(
    what: str, how: str, broker_process: Any, connect: Connect, create_topic: Any
) -> None:
    patterns = {
        "checkpoint": "topics/*/*/checkpoint",
        "index": "topics/*/*/*.index",
        "marks": "headrace.marks",
        "clean": "headrace.clean",
    }
    process = broker_process()
    create_topic(process, "t")
    fill(connect(process), 0, 30)
    process.stop()
    for path in process.data.glob(patterns[what]):
        data = bytearray(path.read_bytes())
        if how == "removed":
            path.unlink()
        elif how == "emptied":
            path.write_bytes(b"")
        elif data:
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(data)
    process.start()
    client = connect(process)
    assert values(client, 0) == [b"value %d" % number for number in range(30)]
    assert client.produce("t", 0, batch([b"next"])).base_offset == 30
