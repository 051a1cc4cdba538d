"""The clients that are put to the proof, and how a process with members of each is started."""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CLIENTS", "Client", "Unavailable"]

NODE = Path(__file__).parent / "node"
NODE_LIBRARY = Path("node_modules/@platformatic/kafka/dist/index.js")
NODE_MAJOR_MIN = 20
INSTALL_S_MAX = 120

Command = Callable[[Mapping[str, Any]], list[str]]


class Unavailable(Exception):
    """The client cannot run here; the message says what is missing."""


@dataclass(frozen=True)
class Client:
    """`command` makes the command line of a process from what its members have in common."""

    name: str
    library: str
    options: Mapping[str, Any] = field(default_factory=dict)
    is_share: bool = False
    keeps_positions: bool = False
    """See `judge.GroupHistory`."""
    partner: "Client | None" = None
    """Another client, whose members live in the same group, in every second process."""

    def of_process(self, number: int) -> "Client":
        """Whose members the process is for."""
        return self.partner if self.partner is not None and number % 2 else self

    def command(self, common: Mapping[str, Any]) -> list[str]:
        """Raises Unavailable."""
        given = {**common, "options": dict(self.options)}
        if self.library == "node":
            given["library"] = str(node_library())
            return ["node", str(NODE / "worker.mjs"), json.dumps(given)]
        self.check()
        return [sys.executable, "-m", "proof.worker", self.library, json.dumps(given)]

    def check(self) -> None:
        """Raises Unavailable."""
        if self.partner is not None:
            self.partner.check()
        if self.library == "node":
            node_library()
            return
        module = {"kafka-python": "kafka", "aiokafka": "aiokafka"}.get(
            self.library, "confluent_kafka"
        )
        if importlib.util.find_spec(module) is None:
            raise Unavailable(f"{module} is not installed")
        if self.is_share:
            import confluent_kafka

            if not hasattr(confluent_kafka, "ShareConsumer"):
                raise Unavailable(
                    f"confluent-kafka {confluent_kafka.__version__} has no share consumer"
                )


_RANGE = {"partition.assignment.strategy": "range"}
_COOPERATIVE = {"partition.assignment.strategy": "cooperative-sticky"}
_CONSUMER = Client("confluent-consumer", "confluent", {"group.protocol": "consumer"})
_PLATFORMATIC = Client("platformatic", "node")

CLIENTS = {
    client.name: client
    for client in (
        Client("confluent-range", "confluent", _RANGE),
        Client("confluent-cooperative", "confluent", _COOPERATIVE),
        _CONSUMER,
        Client("aiokafka", "aiokafka"),
        Client("kafka-python", "kafka-python", keeps_positions=True),
        _PLATFORMATIC,
        # Members of both protocols in one group, which changes from one to the other and back. Not
        # sticky ones: what they add to assignments would be lost, so Kafka refuses the change.
        Client("confluent-mixed", "confluent", _RANGE, partner=_CONSUMER),
        Client("aiokafka-mixed", "aiokafka", partner=_PLATFORMATIC),
        Client("confluent-share", "confluent-share", is_share=True),
    )
}


def node_library() -> Path:
    """The entry of the npm package, installed into the user's cache on first use, by its lockfile.

    Raises Unavailable without Node or npm, or when the registry does not answer.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None:
        raise Unavailable("node is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < NODE_MAJOR_MIN:
        raise Unavailable(f"node {version.strip()} is older than {NODE_MAJOR_MIN}")
    lock = (NODE / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
    place = cache / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    if (place / NODE_LIBRARY).exists():
        return place / NODE_LIBRARY
    if npm is None:
        raise Unavailable("npm is not installed")
    cache.mkdir(parents=True, exist_ok=True)
    _install(npm, place)
    return place / NODE_LIBRARY


def _install(npm: str, place: Path) -> None:
    """By `npm ci`, whole or not at all, should two runs install at once."""
    temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix="installing-"))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, temporary)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
            cwd=temporary,
            check=False,
            capture_output=True,
            text=True,
            timeout=INSTALL_S_MAX,
        )
        if done.returncode:
            raise Unavailable(f"npm ci failed: {done.stderr.strip()[-300:]}")
        # Fails if another run was quicker: its directory is not empty.
        with contextlib.suppress(OSError):
            temporary.rename(place)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"npm ci took more than {INSTALL_S_MAX} s") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
