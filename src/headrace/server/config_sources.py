"""Where settings are written down: a TOML file, the environment, the command line.

Each reader returns texts by key (`kafka`, `broker.num.partitions`) with the place they stand at,
and refuses what it does not know. What must not enter: what a text means (`settings`).
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from headrace.server.settings import SECTIONS, SETTINGS, ConfigError, suggest

__all__ = ["FILE_VARIABLE", "Options", "Value", "from_environment", "from_file", "from_options"]

Options = Mapping[str, str | Iterable[str]]

FILE_VARIABLE: Final = "HEADRACE_CONFIG"
_SETTINGS: Final = {setting.key: setting for setting in SETTINGS}
_VARIABLES: Final = {setting.variable: setting.key for setting in SETTINGS}
_PATHS: Final = frozenset({"data", "grpc_cert", "grpc_key"})
_PREFIXES: Final = {f"HEADRACE_{section.upper()}_": section for section in SECTIONS}
# The client commands' broker, and what the repository's scripts and tests are told.
_FOR_OTHERS: Final = frozenset(
    {FILE_VARIABLE, "HEADRACE_BOOTSTRAP", "HEADRACE_VENV", "HEADRACE_TEST_SEED"}
)
# Kubernetes sets these in every pod beside a Service whose name begins with "headrace".
_SERVICE_LINK: Final = re.compile(
    r"HEADRACE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)


class Value(NamedTuple):
    text: str
    source: str
    """For whoever asks later: `headrace.toml`, `HEADRACE_DATA`, `--data`."""
    place: str
    """For an error message: the source, and the key where the source has many."""


def from_file(path: str) -> dict[str, Value]:
    """Our settings at the top, Kafka's configurations in `[broker]` and `[topic]`."""
    values: dict[str, Value] = {}
    for key, found in _read_toml(path).items():
        place = f"{path}: {key}"
        if key in SECTIONS:
            if not isinstance(found, dict):
                raise ConfigError(f"{place}: expected a section [{key}], got {_kind(found)}")
            for name, value in _flatten(found):
                named = f"{key}.{name}"
                place = f"{path}: {named}"
                values[named] = Value(_kafka_text(value, place), path, place)
        elif key not in _SETTINGS:
            raise ConfigError(f"{path}: unknown key {key}{suggest(key, [*_SETTINGS, *SECTIONS])}")
        elif not isinstance(found, str):
            expected = f'text, such as {key} = "{_SETTINGS[key].placeholder}"'
            raise ConfigError(f"{place}: expected {expected}, got {_kind(found)}")
        else:
            values[key] = Value(_beside(path, found) if key in _PATHS else found, path, place)
    return values


def from_environment(environment: Mapping[str, str]) -> dict[str, Value]:
    """`HEADRACE_DATA`, `HEADRACE_BROKER_NUM_PARTITIONS`, ...; other programs' are not looked at."""
    values: dict[str, Value] = {}
    for variable, text in environment.items():
        if not variable.startswith("HEADRACE_") or _is_for_others(variable):
            continue
        prefix = next((prefix for prefix in _PREFIXES if variable.startswith(prefix)), None)
        if variable in _VARIABLES:
            values[_VARIABLES[variable]] = Value(text, variable, variable)
        elif prefix is not None:
            name = variable.removeprefix(prefix).lower().replace("_", ".")
            values[f"{_PREFIXES[prefix]}.{name}"] = Value(text, variable, variable)
        else:
            known = [*_VARIABLES, FILE_VARIABLE, *(f"{prefix}..." for prefix in _PREFIXES)]
            raise ConfigError(f"{variable}: unknown environment variable{suggest(variable, known)}")
    return values


def _is_for_others(variable: str) -> bool:
    return variable in _FOR_OTHERS or _SERVICE_LINK.fullmatch(variable) is not None


def from_options(options: Options) -> dict[str, Value]:
    """The command line, already split: a setting's key to its text, a section to NAME=VALUEs."""
    values: dict[str, Value] = {}
    for key, given in options.items():
        option = f"--{key}".replace("_", "-")
        if key in SECTIONS:
            for text in [given] if isinstance(given, str) else given:
                name, equals, value = (part.strip() for part in text.partition("="))
                if not (name and equals):
                    raise ConfigError(f'{option}: expected NAME=VALUE, got "{text}"')
                values[f"{key}.{name}"] = Value(value, option, f"{option} {name}")
        elif key in _SETTINGS and isinstance(given, str):
            values[key] = Value(given, option, option)
        elif key != "config":
            raise ConfigError(f"{option}: unknown option{suggest(key, _SETTINGS)}")
    return values


def _read_toml(path: str) -> dict[str, Any]:
    import tomllib  # 15 ms that a start without a file need not pay

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _flatten(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """TOML reads `num.partitions = 1` as a table in a table; Kafka's names have dots in them."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{before}{key}.")
        else:
            yield before + key, value


def _kafka_text(value: object, place: str) -> str:
    """As Kafka writes it in a properties file: true, 12, a,b."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    raise ConfigError(f"{place}: expected text, a number or true/false, got {_kind(value)}")


def _beside(path: str, directory: str) -> str:
    """A relative path in a file is meant from where the file is."""
    if not directory or directory.startswith("~"):
        return directory
    return os.path.join(os.path.dirname(os.path.abspath(path)), directory)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "a list"
    return "a section" if isinstance(value, dict) else "a date or time"
