"""`examples/dual_write_postgresql.py` with an ear at every step, and in processes that are killed.

    python tests/examples/mortal.py BOOTSTRAP DATABASE

For each line `STEP before|amid PAYMENT...` on its input it forks a process that does these payments
and is killed (SIGKILL) before its STEPth step, or when it has asked for that step and waits for the
answer. STEP 0: never. Its output is a line for each: which step that was, or `ended N`, N being the
exit code. Forked, because a new interpreter for each of so many steps takes its time.
"""

import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from headrace.two_phase import TwoPhaseProducer, requests
from headrace.wire.messages.k18_api_versions import ApiVersionsRequest

EXAMPLE = Path(__file__).parents[2] / "examples" / "dual_write_postgresql.py"
LOG_STEPS = ("open", "begin", "send", "prepare", "complete", "commit")


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listen_to_log(
    before: Callable[[str], None],
    amid: Callable[[], None],
    replace: Callable[[object, str, Any], None] = setattr,
) -> None:
    """Calls `before(step)`, and `amid()` when the broker was asked for it and has not answered.
    `replace` is setattr, or one that can be undone."""
    exchange, receive = requests.Requests._exchange, requests._receive
    asks = False

    def watched_exchange(self: requests.Requests, to: Any, request: object, *rest: Any) -> Any:
        nonlocal asks
        asks = not isinstance(request, ApiVersionsRequest)
        return exchange(self, to, request, *rest)

    def watched_receive(*arguments: Any) -> Any:
        if asks:
            amid()
        return receive(*arguments)

    def watched(name: str, call: Any) -> Any:
        def step(self: TwoPhaseProducer, *arguments: Any, **options: Any) -> Any:
            before(f"log {name}")
            return call(self, *arguments, **options)

        return step

    replace(requests.Requests, "_exchange", watched_exchange)
    replace(requests, "_receive", watched_receive)
    for name in LOG_STEPS:
        replace(TwoPhaseProducer, name, watched(name, getattr(TwoPhaseProducer, name)))


def listen_to_database(before: Callable[[str], None], amid: Callable[[], bool]) -> None:
    """Likewise; `amid()` True: ask, and do not wait for the answer."""
    execute = psycopg.Connection.execute

    def watched(self: Any, query: Any, *arguments: Any) -> Any:
        before(" ".join(query.split()[:2]))
        if not arguments and amid():
            self.pgconn.send_query(query.encode())
            self.pgconn.flush()
            die()
        return execute(self, query, *arguments)

    psycopg.Connection.execute = watched  # type: ignore[method-assign,assignment]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def live(deadly: int, moment: str, *arguments: str) -> None:
    """The example, killed at its `deadly`th step."""
    steps = 0
    name = ""

    def is_last(now: str) -> bool:
        if steps != deadly or now != moment:
            return False
        print(name, flush=True)
        return True

    def before(step: str) -> None:
        nonlocal steps, name
        steps += 1
        name = step
        if is_last("before"):
            die()

    def amid() -> None:
        if is_last("amid"):
            die()

    listen_to_log(before, amid)
    listen_to_database(before, lambda: is_last("amid"))
    load_example().main(*arguments)


def main(bootstrap: str, address: str) -> None:
    for line in sys.stdin:
        deadly, moment, *payments = line.split()
        child = os.fork()
        if child == 0:
            try:
                live(int(deadly), moment, bootstrap, address, *payments)
                os._exit(0)  # taking the interpreter down would take longer than all the rest
            finally:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
