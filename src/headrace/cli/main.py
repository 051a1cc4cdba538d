"""The entry point. `serve` goes its own short way; everything else is a client's command.

A broker should be ready in a moment and small in memory, so its process loads neither the command
line's library nor Kafka's client. What must not enter: commands.
"""

import gc
import sys

__all__ = ["main"]


def main() -> int:
    """Run `headrace` with the process's arguments; returns or exits with `failure.Exit`'s codes."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["serve"]:
        gc.disable()  # what a start loads stays: nothing to find; `server.serve` enables it again
        from headrace.cli.serve import serve

        return serve(arguments[1:])
    from headrace.cli.app import app

    app(prog_name="headrace")
    return 0
