"""Targets: the configuration's file, topic patterns, and what consumers wrap into requests."""

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from headrace.groups.subscription import subscription_of, topics_of
from headrace.groups.topic_pattern import PatternError, TopicPattern
from headrace.server.config import load
from headrace.server.config_sources import ConfigError
from proof.fuzz.target import Target

__all__ = ["CONFIG", "PATTERNS", "SUBSCRIPTIONS"]


def _try_config(data: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        Path(file.name).write_bytes(data)
        with contextlib.suppress(ConfigError):
            load({"config": file.name}, {})


def _configs() -> Iterator[bytes]:
    yield b'data = "d"\nkafka = "127.0.0.1:9092"\nhttp = "off"\n'
    yield b'[broker]\nnum.partitions = 3\nlog.retention.ms = -1\n[topic]\nretention.ms = "5"\n'
    yield b'grpc = "0.0.0.0:50051"\nadvertise = "h:1"\n[broker]\na.b.c = [1, 2]\n'


def _try_pattern(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    expression, _, names = text.partition("\n")
    try:
        pattern = TopicPattern(expression)
    except PatternError:
        return
    for name in names.split("\n")[:20]:
        pattern.matches(name[:249])


def _patterns() -> Iterator[bytes]:
    yield b"a.*b|c(d|e)+[^x-z]{2,3}\\.log\nab\naxb\ncdd..log"
    yield b"(?i:top)ic-\\d+\\w?\\S\nTOPic-12a-"
    yield b"(?P<name>x{0,5})*[[:alpha:]\\p{L}]\nxxa"
    yield b"((((a*)*)*)*)*b\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"
    yield b"(a{1,200}){1,200}\naaa"


def _try_subscription(data: bytes) -> None:
    subscription_of(data)
    topics_of(data)


def _subscriptions() -> Iterator[bytes]:
    topics = struct.pack(">hih", 3, 1, 1) + b"t"
    owned = struct.pack(">ih", 1, 1) + b"t" + struct.pack(">iii", 2, 0, 1)
    yield topics + struct.pack(">i", -1) + owned + struct.pack(">ih", 4, 4) + b"rack"


CONFIG: Final = Target("config", _try_config, _configs, ("headrace.server", "tomllib"), 1024)
PATTERNS: Final = Target("patterns", _try_pattern, _patterns, ("headrace.groups",), 1024)
SUBSCRIPTIONS: Final = Target(
    "subscriptions", _try_subscription, _subscriptions, ("headrace.groups",), 1024
)
