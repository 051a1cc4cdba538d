"""`headrace serve`: the command line of the server, read without the client commands' library.

The options are those of `headrace.server.settings`, so that the file, the environment and the
command line cannot drift apart. What must not enter: Typer, Rich, Kafka's client.
"""

import argparse
import os
import sys
from typing import Final

from headrace.server.config import ConfigError, load
from headrace.server.settings import SECTIONS, SETTINGS

__all__ = ["serve"]

_EPILOG: Final = """\
every option is also KEY = "TEXT" in the TOML file and HEADRACE_KEY in the environment;
--broker and --topic are the sections [broker] and [topic], and HEADRACE_BROKER_NUM_PARTITIONS;
the command line wins over the environment, and that over the file"""


def serve(arguments: list[str]) -> int:
    """Run the server until it is told to stop; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    check = options.pop("check")
    try:
        config = load(options, os.environ)
    except ConfigError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 2
    if check:
        print(*config.lines(), sep="\n")
        return 0
    from headrace.server.serve import run

    return run(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace serve",
        description="Start a broker and serve Kafka clients until told to stop (Ctrl-C, SIGTERM).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    for setting in SETTINGS:
        parser.add_argument(
            setting.option, dest=setting.key, metavar=setting.placeholder, help=setting.about
        )
    for section, about in SECTIONS.items():
        parser.add_argument(f"--{section}", action="append", metavar="NAME=VALUE", help=about)
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--check",
        action="store_true",
        default=False,
        help="print the configuration, where each value comes from, and exit",
    )
    return parser
