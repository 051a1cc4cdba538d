import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.demo.children import Child, ChildFailed, Children, Message


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    with Children(tmp_path) as children:
        yield children


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def hear(children: Children, child: Child, kind: str) -> Message:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for speaker, message in children.messages(0.1):
            if speaker is child and message["type"] == kind:
                return message
    raise AssertionError(f"no {kind}")


def test_a_child_speaks_json_and_hears_words(children: Children) -> None:
    child = children.start(
        "echo",
        python(
            "import json, sys\n"
            "for word in sys.stdin:\n"
            "    print(json.dumps({'type': 'heard', 'word': word.strip()}), flush=True)"
        ),
    )
    child.say("go")
    assert children.wait_for(child, "heard", 20)["word"] == "go"


def test_the_end_of_a_child_is_announced_with_its_status(children: Children) -> None:
    child = children.start("brief", python('import sys; print(\'{"type": "last"}\'); sys.exit(7)'))
    assert hear(children, child, "ended")["status"] == 7


def test_waiting_for_a_child_that_dies_shows_its_last_words(children: Children) -> None:
    child = children.start("broken", python("raise SystemExit('no disk')"))
    with pytest.raises(ChildFailed, match="no disk"):
        children.wait_for(child, "ready", 20)


def test_waiting_has_an_end(children: Children) -> None:
    child = children.start("mute", python("import time; time.sleep(60)"))
    with pytest.raises(ChildFailed, match="no 'ready' within"):
        children.wait_for(child, "ready", 0.2)


@pytest.mark.parametrize("output", ["not json", "x" * 2_000_000])
def test_nonsense_from_a_child_is_an_error(children: Children, output: str) -> None:
    child = children.start("odd", python(f"print({output[:1]!r} * {len(output)}, flush=True)"))
    with pytest.raises(ChildFailed, match="odd sent a line"):
        hear(children, child, "ready")


def test_leaving_kills_the_children_and_what_they_started(tmp_path: Path) -> None:
    script = (
        "import json, subprocess, sys, time\n"
        "own = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(json.dumps({'type': 'ready', 'pid': own.pid}), flush=True)\n"
        "time.sleep(60)"
    )
    with Children(tmp_path) as children:
        child = children.start("parent", python(script))
        grandchild = children.wait_for(child, "ready", 20)["pid"]
    assert child.process.poll() is not None
    deadline = time.monotonic() + 10
    while not (gone(grandchild) or _is_zombie(grandchild)):
        assert time.monotonic() < deadline


def test_a_killed_child_is_not_heard_of_again(children: Children) -> None:
    child = children.start("victim", python("import time; time.sleep(60)"))
    children.forget(child)
    assert child.process.poll() is not None
    assert list(children.messages(0.05)) == []


def test_speaking_to_the_dead_is_an_error(children: Children) -> None:
    child = children.start("dead", python("import sys; sys.exit('sorry')"))
    child.process.wait()
    with pytest.raises(ChildFailed, match="sorry"):
        child.say("go")


def _is_zombie(pid: int) -> bool:
    """Killed, and waiting for an init process that may never look after it in a container."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"
