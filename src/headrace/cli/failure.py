"""How a command ends: one clear line on stderr, and an exit code that a script can rely on.

    0    done
    1    refused or failed
    2    the command line is wrong
    3    no broker could be reached
    130  interrupted (Ctrl-C)

What must not enter: what the commands do, and Kafka's client (its errors are put into words by
`connection`).
"""

import os
import sys
from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import ParamSpec

import typer

__all__ = ["Exit", "Failure", "also", "note", "reporting"]

P = ParamSpec("P")


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    INTERRUPTED = 130


class Failure(Exception):
    """A command cannot do what it was asked: the message says what, where, and what to do."""

    def __init__(self, message: str, code: Exit = Exit.FAILED, reason: str = "") -> None:
        """`reason` is the broker's own name of the error, where it was the broker's."""
        super().__init__(message)
        self.code = code
        self.reason = reason


def note(message: str) -> None:
    """Something a person should know that is not the command's result."""
    print(f"headrace: {message}", file=sys.stderr, flush=True)


def also(failure: Failure) -> Exit:
    """Tell of one failure among several things asked for; returns how the command will end."""
    note(str(failure))
    return failure.code


def reporting(command: Callable[P, int | None]) -> Callable[P, None]:
    """Let `command` raise Failure, be interrupted, or lose its reader, and still end properly.

    A reader that goes away (`| head`) has what it wanted, so that is no failure.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs) or Exit.OK
            sys.stdout.flush()
        except Failure as failure:
            note(str(failure))
            code = failure.code
        except KeyboardInterrupt:
            code = Exit.INTERRUPTED
        except BrokenPipeError:
            # What is still buffered can never be written: give it somewhere to go at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = Exit.OK
        raise typer.Exit(int(code))

    return run
