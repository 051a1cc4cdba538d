"""kcat -G, as Debian ships it (librdkafka 2.0): reads in a group, dies, is replaced."""

import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")

PARTITIONS = 4


@pytest.fixture
def kcat(tmp_path):
    """`kcat(broker)` reads topic `t` in group `g`; what it printed is in the file it returns."""
    running = []

    def start(broker):
        output = tmp_path / f"kcat{len(running)}"
        options = ("session.timeout.ms=6000", "heartbeat.interval.ms=300")
        command = ["kcat", "-b", broker.bootstrap, "-o", "beginning", "-u", "-q"]
        for option in (*options, "auto.offset.reset=earliest"):
            command += ["-X", option]
        with open(output, "wb") as file:
            process = subprocess.Popen(
                [*command, "-f", "%s\\n", "-G", "g", "t"], stdout=file, stderr=subprocess.DEVNULL
            )
        running.append(process)
        return process, output

    yield start
    for process in running:
        process.kill()
        process.wait()


def read(*outputs):
    return [int(line) for output in outputs for line in output.read_text().split()]


def members(broker):
    async def ask(node):
        group = node.broker.groups.describe("g")
        return () if group is None else group.members

    return broker.call(ask)


def test_kcat_shares_a_group_with_another_kcat(broker, kcat, write, until):
    broker.create_topic("t", PARTITIONS)
    first, first_output = kcat(broker)
    second, second_output = kcat(broker)
    until(lambda: sum(bool(member.assignment) for member in members(broker)) == 2, "two members")
    write(broker, 0, 400)
    until(lambda: set(read(first_output, second_output)) == set(range(400)), "reading everything")
    assert read(first_output)
    assert read(second_output)
    first.terminate()
    assert first.wait(20) == 0
    until(lambda: len(members(broker)) == 1, "the first leaving")
    second.terminate()
    assert second.wait(20) == 0
    until(lambda: not members(broker), "the second leaving")


def test_killed_kcat_is_replaced_when_its_session_ends(broker, kcat, reader, write, until):
    broker.create_topic("t", PARTITIONS)
    process, _ = kcat(broker)
    other = reader("confluent", broker)
    until(lambda: sum(bool(member.assignment) for member in members(broker)) == 2, "two members")
    process.kill()
    until(lambda: len(other.assigned) == PARTITIONS, "taking over its partitions")
    write(broker, 0, 100)
    until(lambda: set(map(int, other.values())) == set(range(100)), "reading everything")
