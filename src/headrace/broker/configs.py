"""What a configuration is: a named, typed, documented text value that comes from somewhere.

The tables of what there is are in `topic_configs` and `broker_configs`; here is how a value is
checked, how an unknown name is refused, and the vocabulary in which DescribeConfigs shows both.
Names, types and sources are those of Kafka's public configuration reference and protocol.
What must not enter: any particular configuration.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from headrace.wire.errors import ErrorCode, RequestError
from headrace.wire.messages.k32_describe_configs import ConfigSource, ConfigType

__all__ = [
    "INT32_MAX",
    "INT64_MAX",
    "Config",
    "ConfigEntry",
    "ConfigSynonym",
    "boolean",
    "choice",
    "choices",
    "decimal",
    "integer",
    "invalid",
    "long",
    "lookup",
    "text",
]

INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1

VALUE_CHARACTERS_MAX: Final = 4096
"""Longer values are no configuration; keeps DescribeConfigs answers and the catalog small."""

NO_EFFECT: Final = " Accepted so that existing tools work; it has no effect in Headrace."


@dataclass(frozen=True, slots=True)
class Config:
    """One configuration: its name, kind, default text, and how a text becomes a value."""

    name: str
    kind: ConfigType
    default: str
    doc: str
    read: Callable[[str], Any]
    """Raises ValueError whose message continues "must be ..."."""
    read_only: bool = False
    """Given at the start or not at all."""

    def parse(self, value: str) -> Any:
        """Raises RequestError INVALID_CONFIG."""
        if len(value) > VALUE_CHARACTERS_MAX:
            raise invalid(f"{self.name}: longer than {VALUE_CHARACTERS_MAX} characters")
        try:
            return self.read(value.strip())
        except ValueError as error:
            raise invalid(f"{self.name}={value}: must be {error}") from None


class ConfigSynonym(NamedTuple):
    """A place that could have set a value, most specific first in a ConfigEntry."""

    name: str
    value: str
    source: ConfigSource


class ConfigEntry(NamedTuple):
    """One configuration with the value in force, as an administrator sees it."""

    config: Config
    value: str
    source: ConfigSource
    synonyms: tuple[ConfigSynonym, ...]


def invalid(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_CONFIG, message)


def lookup(configs: Mapping[str, Config], name: str, what: str) -> Config:
    """The configuration called `name`. Raises RequestError INVALID_CONFIG that suggests another."""
    config = configs.get(name)
    if config is None:
        near = difflib.get_close_matches(name, configs, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise invalid(f"there is no {what} configuration {name!r}{hint}")
    return config


def boolean(name: str, default: bool, doc: str, *, effect: bool = True) -> Config:
    def read(value: str) -> bool:
        if value.lower() not in ("true", "false"):
            raise ValueError("true or false")
        return value.lower() == "true"

    shown = "true" if default else "false"
    return Config(name, ConfigType.BOOLEAN, shown, _doc(doc, effect), read)


def integer(
    name: str,
    default: int,
    doc: str,
    *,
    least: int = 0,
    most: int = INT32_MAX,
    effect: bool = True,
    kind: ConfigType = ConfigType.INT,
    read_only: bool = False,
) -> Config:
    def read(value: str) -> int:
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and least <= int(value) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return Config(name, kind, str(default), _doc(doc, effect), read, read_only)


def long(
    name: str,
    default: int,
    doc: str,
    *,
    least: int = 0,
    effect: bool = True,
    read_only: bool = False,
) -> Config:
    return integer(
        name,
        default,
        doc,
        least=least,
        most=INT64_MAX,
        effect=effect,
        kind=ConfigType.LONG,
        read_only=read_only,
    )


def decimal(
    name: str, default: float, doc: str, *, least: float, most: float, effect: bool = True
) -> Config:
    def read(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise ValueError(f"a number from {least} to {most}")
        return number

    return Config(name, ConfigType.DOUBLE, str(default), _doc(doc, effect), read)


def choice(
    name: str,
    default: str,
    doc: str,
    choices: Iterable[str],
    *,
    later: Mapping[str, str] | None = None,
    effect: bool = True,
    kind: ConfigType = ConfigType.STRING,
    read_only: bool = False,
) -> Config:
    """`later` maps values that Kafka knows and Headrace does not yet to why they are refused."""
    allowed = tuple(choices)

    def read(value: str) -> str:
        for refused, why in (later or {}).items():
            if refused in (part.strip() for part in value.split(",")):
                raise ValueError(f"{' or '.join(allowed)}: {why}")
        if value not in allowed:
            raise ValueError(" or ".join(allowed))
        return value

    return Config(name, kind, default, _doc(doc, effect), read, read_only)


def choices(name: str, default: str, doc: str, allowed: Iterable[str]) -> Config:
    """Any of the allowed ones with commas between them, or none; read as a frozenset."""
    known = tuple(allowed)

    def read(value: str) -> frozenset[str]:
        chosen = frozenset(part.strip() for part in value.split(",")) - {""}
        if not chosen <= set(known):
            raise ValueError(f"a list of {' and '.join(known)}")
        return chosen

    return Config(name, ConfigType.LIST, default, doc, read)


def text(
    name: str,
    default: str,
    doc: str,
    *,
    effect: bool = True,
    kind: ConfigType = ConfigType.STRING,
    read_only: bool = False,
) -> Config:
    return Config(name, kind, default, _doc(doc, effect), str, read_only)


def _doc(doc: str, effect: bool) -> str:
    return doc if effect else doc + NO_EFFECT
