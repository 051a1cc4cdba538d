"""What a topic keeps and until when, and how long the disk lasts, in words and as JSON.

The rule is in the topic's configuration; how much there is, how old, and how fast the disk fills,
the broker's HTTP door says. What must not enter: asking Kafka (`topic_describe`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from headrace.cli.http_door import ask_door, not_as_headrace
from headrace.cli.output import bytes_text
from headrace.cli.quantities import duration_text

__all__ = ["Rule", "SeenTopic", "ask_topic", "kept_json", "kept_lines"]


class Rule(NamedTuple):
    """What a topic's configuration says of how long its records stay."""

    deletes: bool
    """Old records go, by the two bounds; -1 is no bound."""
    compacts: bool
    """Of each key the last record stays."""
    ms: int
    bytes_per_partition: int

    @classmethod
    def of(cls, configs: Mapping[str, str]) -> "Rule":
        """`configs` are all of a topic's, by name; those of brokers that are not Headrace too."""
        policy = [part.strip() for part in configs.get("cleanup.policy", "delete").split(",")]
        retains = configs.get("headrace.retain", "false") == "true"
        return cls(
            "delete" in policy and not retains,
            "compact" in policy,
            int(configs.get("retention.ms", -1)),
            int(configs.get("retention.bytes", -1)),
        )

    @property
    def bounds_age(self) -> bool:
        return self.deletes and self.ms >= 0

    @property
    def bounds_size(self) -> bool:
        return self.deletes and self.bytes_per_partition >= 0

    @property
    def words(self) -> str:
        what = "the last record of each key" if self.compacts else "every record"
        if self.bounds_age:
            what += f" for {duration_text(self.ms / 1000)} by its time"
        elif not self.bounds_size:
            what += " for ever"
        if self.bounds_size:
            what += f", at most {bytes_text(self.bytes_per_partition)} a partition"
        return what


class SeenTopic(NamedTuple):
    """What the HTTP door says; None for what is not known."""

    partitions: int
    size_bytes: int
    written_bytes_per_s: float | None
    oldest_ms: int | None
    volume: dict[str, Any]


def ask_topic(text: str, topic: str, timeout_s: float) -> SeenTopic:
    """Ask the HTTP door at `text` (HOST:PORT). Raises Failure."""
    path = f"/topics?topic={quote(topic, safe='')}"
    found = ask_door(text, path, f"topic {topic}", timeout_s)
    try:
        times = [part["oldest_ms"] for part in found["partitions"]]
        oldest_ms = min((time for time in times if time is not None), default=None)
        volume = {name: found["volume"][name] for name in _VOLUME}
        rate = found["written_bytes_per_s"]
        return SeenTopic(len(times), found["size_bytes"], rate, oldest_ms, volume)
    except (KeyError, TypeError):
        raise not_as_headrace(text) from None


_VOLUME = ("size_bytes", "free_bytes", "written_bytes_per_s", "lasts_s")


def kept_json(rule: Rule, seen: SeenTopic | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "retention": {
            "deletes": rule.deletes,
            "compacts": rule.compacts,
            "ms": rule.ms,
            "bytes_per_partition": rule.bytes_per_partition,
        }
    }
    if seen is not None:
        described |= {
            "size_bytes": seen.size_bytes,
            "written_bytes_per_s": seen.written_bytes_per_s,
            "oldest_ms": seen.oldest_ms,
            "kept_until_ms": _kept_until_ms(rule, seen),
            "volume": seen.volume,
        }
    return described


def kept_lines(rule: Rule, seen: SeenTopic | None) -> list[str]:
    lines = [f"kept: {rule.words}"]
    if seen is None:
        return lines
    rate = _rate_text(seen.written_bytes_per_s)
    lines.append(f"on disk: {bytes_text(seen.size_bytes)}, {rate}")
    if seen.oldest_ms is not None:
        until_ms = _kept_until_ms(rule, seen)
        until = f", kept until {_time_text(until_ms)} or a segment later" if until_ms else ""
        lines.append(f"oldest record: {_time_text(seen.oldest_ms)}{until}")
    if rule.bounds_size and seen.written_bytes_per_s:
        whole = rule.bytes_per_partition * seen.partitions
        about = duration_text(whole / seen.written_bytes_per_s)
        lines.append(f"at this rate the size allowed is written in {about}")
    volume = seen.volume
    lasts = ""
    if volume["lasts_s"] is not None:
        lasts = f"; the disk lasts {duration_text(volume['lasts_s'])} if nothing is deleted"
    lines.append(
        f"volume: {bytes_text(volume['free_bytes'])} of {bytes_text(volume['size_bytes'])} free, "
        f"all topics together: {_rate_text(volume['written_bytes_per_s'])}{lasts}"
    )
    return lines


def _kept_until_ms(rule: Rule, seen: SeenTopic) -> int | None:
    """When the oldest record may go at the earliest by its age; None if it does not."""
    if not rule.bounds_age or seen.oldest_ms is None:
        return None
    return seen.oldest_ms + rule.ms


def _rate_text(bytes_per_s: float | None) -> str:
    if bytes_per_s is None:
        return "write rate not known yet"
    return f"{bytes_text(bytes_per_s)}/s written" if bytes_per_s else "nothing being written"


def _time_text(time_ms: int) -> str:
    try:
        moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
