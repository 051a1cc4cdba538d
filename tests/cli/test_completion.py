"""What Tab offers."""

import os
import subprocess
import sys
from typing import Any

Cli = Any


def offered(bootstrap: str, *words: str) -> list[str]:
    """What bash would be given for the last of `words`."""
    environment = {
        **os.environ,
        "HEADRACE_BOOTSTRAP": bootstrap,
        "_HEADRACE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(("headrace", *words)),
        "COMP_CWORD": str(len(words)),
    }
    script = "import sys; from headrace.cli.main import main; sys.argv = ['headrace']; main()"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=environment, text=True, timeout=30
    )
    return ran.stdout.split()


def test_commands_and_options_are_offered() -> None:
    assert offered("", "g") == ["group"]
    assert "--durability" in offered("", "serve", "--d")


def test_topics_and_groups_of_the_broker_are_offered(cli: Cli, broker: Any) -> None:
    cli("topic", "create", "flights", "fares", "orders")
    cli("produce", "orders", stdin=b"x\n")
    cli("consume", "orders", "--group", "board")
    assert offered(broker.bootstrap, "topic", "describe", "f") == ["fares", "flights"]
    assert offered(broker.bootstrap, "group", "describe", "b") == ["board"]
    assert offered(broker.bootstrap, "consume", "o") == ["orders"]


def test_without_a_broker_nothing_is_offered() -> None:
    assert offered("127.0.0.1:1", "consume", "o") == []
