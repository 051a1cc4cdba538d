"""Apache Kafka 4.3.1: one KRaft node from the jars of Maven Central, on the Java that is here.

Its settings are its own defaults but for what one node cannot have (three replicas of its internal
topics) and for `log.segment.delete.delay.ms=1000`, so that what one round wrote is not on the disk
for a minute of the next ones (0 would keep its cleaner busy). The JVM is started as
kafka-server-start.sh does it: 1 GB of heap, G1. With `fsync` topics have `flush.messages=1`
(`bench.raw_kafka`).

`kafka_jars.txt` beside this file names each jar's SHA-256 and its path in a Maven repository.
"""

import contextlib
import hashlib
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator

from bench.peers.installed import NotInstalled, cache
from bench.processes import free_port, started
from bench.raw_kafka import KafkaDriver
from bench.systems import Durability, Running

__all__ = ["Kafka"]

VERSION = "4.3.1"
CENTRAL = "https://repo1.maven.org/maven2/"
JAVA_OLDEST = 17
POLICIES: dict[Durability, str] = {
    "os": "its default: acknowledged from the page cache",
    "fsync": "flush.messages=1: each batch is synced before it is acknowledged",
}
NOTES = ["one KRaft node, 1 GB heap and G1 as its start script has them"]
HEAP = ("-Xmx1G", "-Xms1G")
JVM = (
    *("-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true"),
    *("-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
)
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.segment.delete.delay.ms=1000
"""


class Kafka:
    name = "Kafka"
    port: int | None = None
    """A free one unless it is set."""

    def install(self) -> str:
        for digest, path in jars():
            target = jar_file(path)
            if not os.path.exists(target):
                download(path, digest, target)
        return f"Kafka {VERSION}: {cache('kafka', VERSION)}, {java_version()}"

    @contextlib.contextmanager
    def start(self, directory: str, durability: Durability) -> Iterator[Running]:
        classpath = _classpath()
        java_version()
        port, controller = self.port or free_port(), free_port()
        address = f"127.0.0.1:{port}"
        with tempfile.TemporaryDirectory(prefix="kafka-", dir=directory) as data:
            properties = os.path.join(data, "server.properties")
            logs = os.path.join(data, "logs")
            with open(properties, "w", encoding="utf-8") as file:
                file.write(PROPERTIES.format(port=port, controller=controller, data=logs))
            _format(classpath, properties)
            with started(
                ["java", *HEAP, *JVM, "-cp", classpath, "kafka.Kafka", properties],
                log=os.path.join(data, "log"),
                is_ready=lambda: answers(address),
            ) as (process, ready_s):
                yield Running(
                    name=self.name,
                    version=VERSION,
                    durability=durability,
                    policy=POLICIES[durability],
                    bootstrap=address,
                    pids=[process.pid],
                    driver=KafkaDriver(address, durability),
                    family="kafka",
                    system=self,
                    ready_s=ready_s,
                    notes=NOTES,
                )


def jars() -> list[tuple[str, str]]:
    """(SHA-256, path in a repository) of each."""
    with open(os.path.join(os.path.dirname(__file__), "kafka_jars.txt"), encoding="ascii") as file:
        return [(digest, path) for digest, path in map(str.split, file)]


def jar_file(path: str) -> str:
    return cache("kafka", VERSION, os.path.basename(path))


def download(path: str, digest: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        with urllib.request.urlopen(CENTRAL + path, timeout=60) as answer:  # noqa: S310 - https
            data = answer.read()
    except OSError as error:
        raise NotInstalled(f"{CENTRAL}{path} could not be fetched: {error}") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise NotInstalled(f"{CENTRAL}{path} is not what it was: its SHA-256 is another")
    with open(f"{target}.part", "wb") as file:
        file.write(data)
    os.rename(f"{target}.part", target)


def _classpath() -> str:
    files = [jar_file(path) for _, path in jars()]
    if not all(map(os.path.exists, files)):
        raise NotInstalled(
            "the jars of Apache Kafka are not here: `scripts/bench --install-peers` fetches them"
        )
    return os.pathsep.join(files)


def java_version() -> str:
    """Raises NotInstalled where there is no Java, or one that Kafka does not run on."""
    if not shutil.which("java"):
        raise NotInstalled(f"Apache Kafka needs Java {JAVA_OLDEST} or newer; there is no `java`")
    shown = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
    found = re.search(r'^.* version "(\d+).*$', shown.stderr, re.MULTILINE)
    line = found[0] if found else shown.stderr
    if not found or int(found[1]) < JAVA_OLDEST:
        raise NotInstalled(f"Apache Kafka needs Java {JAVA_OLDEST} or newer; this is {line}")
    return line


def _format(classpath: str, properties: str) -> None:
    tool = ["java", "-Xmx256m", "-cp", classpath, "kafka.tools.StorageTool"]
    made = subprocess.run([*tool, "random-uuid"], capture_output=True, text=True, check=True)
    subprocess.run(
        [*tool, "format", "-t", made.stdout.split()[-1], "-c", properties],
        capture_output=True,
        check=True,
    )


def answers(address: str) -> bool:
    """It answers what clients ask first, ApiVersions (KIP-35)."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), 1) as connection:
            request = struct.pack(">hhih", 18, 0, 1, -1)
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(4)) == 4
    except OSError:
        return False
