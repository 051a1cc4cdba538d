"""The command as a process: what it loads, how it ends."""

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import headrace

Spawn = Any

LOADED = """
import sys
from headrace.cli import main
sys.argv = ["headrace", *{arguments!r}]
try:
    code = main.main()
except SystemExit as ended:
    code = ended.code
print(code, *sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def modules_after(*arguments: str) -> set[str]:
    script = LOADED.format(arguments=list(arguments))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    code, *modules = ran.stderr.splitlines()[-1].split()
    assert code == "0"
    return set(modules)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("command", [[], ["topic"], ["produce"], ["group", "reset"], ["demo"]])
def test_help_loads_neither_rich_nor_kafkas_client(command: list[str]) -> None:
    loaded = modules_after(*command, "--help")
    assert "typer" in loaded
    assert not loaded & {"rich", "confluent_kafka", "pydantic", "asyncio", "sqlite3"}


def test_the_server_loads_nothing_of_the_client_commands() -> None:
    loaded = modules_after("serve", "--check")
    assert not loaded & {"typer", "rich", "confluent_kafka", "tomllib", "click"}


def test_help_lists_every_command(spawn: Spawn) -> None:
    ran = spawn("--help").end()
    for command in ("serve", "demo", "topic", "produce", "consume", "group"):
        assert f"\n  {command} " in ran.text
    assert ran.code == 0


def test_the_version_is_told(spawn: Spawn) -> None:
    assert spawn("--version").end().text == f"headrace {headrace.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["topc"], "topic"),
        (["topic", "lst"], "list"),
        (["topic", "list", "--bootstrap", "::1:9092"], "--bootstrap: expected an IPv6 address"),
        (["topic", "list", "-X", "x"], "-X: expected KEY=VALUE"),
        (["topic", "list", "-X", "no.such=1"], 'No such configuration property: "no.such"'),
        (
            ["serve", "--durabilty", "os"],
            "unknown argument --durabilty; did you mean --durability?",
        ),
        (["serve", "--check", "--kafka=x:1", "--dat=x"], "--dat; did you mean --data?"),
        (["serve", "--durability", "disk"], 'headrace: --durability: expected "fsync" or "os"'),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(
    spawn: Spawn, arguments: list[str], message: str
) -> None:
    ran = spawn(*arguments).end()
    assert ran.code == 2
    assert message in ran.stderr
    assert ran.stdout == b""


@pytest.mark.parametrize(
    "arguments", [("topic", "list"), ("consume", "t"), ("produce", "t"), ("group", "list")]
)
def test_an_unreachable_broker_ends_with_3_and_one_line(
    spawn: Spawn, closed_port: int, arguments: tuple[str, ...]
) -> None:
    ran = spawn(*arguments, "--timeout", "0.5", bootstrap=f"127.0.0.1:{closed_port}").end()
    assert ran.code == 3
    assert ran.stdout == b""
    assert ran.stderr == (
        f"headrace: 127.0.0.1:{closed_port}: no Kafka broker answered within 0.5 s "
        "(Connection refused); start one with `headrace serve`, "
        "or name another with --bootstrap HOST:PORT\n"
    )


def test_an_interrupted_command_ends_with_130(spawn: Spawn, until: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        child = spawn("topic", "list", "--timeout", "30", bootstrap=f"127.0.0.1:{port}")
        connection, _ = silent.accept()
        with connection:
            child.signal(signal.SIGINT)
            ran = child.end()
    assert (ran.code, ran.stdout, ran.stderr) == (130, b"", "")


def test_the_configuration_can_be_checked_without_serving(spawn: Spawn, tmp_path: Path) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text('data = "here"\n[broker]\nnum.partitions = 3\n')
    ran = spawn("serve", "--config", str(file), "--kafka", "localhost:0", "--check").end()
    assert ran.code == 0
    assert ran.lines == [
        f'data = "{tmp_path}/here"  # {file}',
        'kafka = "localhost:0"  # --kafka',
        'http = "off"  # HEADRACE_HTTP',
        'grpc = "off"  # HEADRACE_GRPC',
        'durability = "fsync"  # default',
        'workers = "1"  # default',
        "",
        "[broker]",
        f'num.partitions = "3"  # {file}',
    ]
    assert not (tmp_path / "here").exists()
