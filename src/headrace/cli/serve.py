"""`headrace serve`: the command line of the server, read without the client commands' library.

The options are those of `headrace.server.settings`, so that the file, the environment and the
command line cannot drift apart. What must not enter: Typer, Rich, Kafka's client.
"""

import argparse
import os
import sys
from typing import Any, Final

from headrace.server.config import ConfigError, ServerConfig, load
from headrace.server.settings import SECTIONS, SETTINGS, suggest
from headrace.server.standard_streams import hold_descriptors, say

__all__ = ["serve"]

_EPILOG: Final = """\
every option is also KEY = "TEXT" in the TOML file and HEADRACE_KEY in the environment;
--broker and --topic are the sections [broker] and [topic], and HEADRACE_BROKER_NUM_PARTITIONS;
the command line wins over the environment, and that over the file"""


def serve(arguments: list[str]) -> int:
    """Run the server until it is told to stop; returns the exit code."""
    hold_descriptors()
    options = _options(arguments)
    check = options.pop("check")
    try:
        config = load(options, os.environ)
    except ConfigError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 2
    if check:
        return _show(config)
    from headrace.server.serve import run

    return run(config)


def _show(config: ServerConfig) -> int:
    try:
        say("\n".join(config.lines()))
    except BrokenPipeError:
        return 0  # the reader has seen enough
    except OSError as error:
        print(f"headrace: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _options(arguments: list[str]) -> dict[str, Any]:
    """What was said, by key. Exits with 2 for what does not exist, naming the nearest that does."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        name = unknown[0].partition("=")[0]
        known = [setting.option for setting in SETTINGS]
        known += [*(f"--{section}" for section in SECTIONS), "--config", "--check", "--help"]
        parser.error(f"unknown argument {name}{suggest(name, known)}")
    return vars(options)


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
