"""What runs have written as JSON, read back: `scripts/bench --json` and `python -m bench.latency`.

Several files are one result, those of a later file in place of those of an earlier one: a table may
be measured again without the others.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["load", "merge", "names_of"]

_KEYS = {
    "rows": ("workload", "what", "durability"),
    "alone": ("what", "durability"),
    "latency": ("durability",),
}
"""Lists in the files, and what says that an entry is there for another. Latencies of different runs
are not mixed: their loads depend on each other."""


def load(paths: Sequence[str]) -> dict[str, Any]:
    """Raises OSError, and ValueError for a file that is no JSON object."""
    read = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            read.append(json.load(file))
    return merge(read)


def merge(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """`machine` and `settings` are those of each file, in a list."""
    whole: dict[str, Any] = {"runs": [], "systems": {}, "ours": "", **{key: [] for key in _KEYS}}
    for one in results:
        run = {key: one[key] for key in ("machine", "settings", "command") if key in one}
        whole["runs"].append(run)
        for name, system in one.get("systems", {}).items():
            policies = whole["systems"].get(name, {}).get("policy", {})
            whole["systems"][name] = {**system, "policy": policies | system.get("policy", {})}
        whole["ours"] = one.get("ours", whole["ours"])
        for key, names in _KEYS.items():
            found = one.get(key, [])
            replaced = {_key(entry, names) for entry in found}
            kept = [entry for entry in whole[key] if _key(entry, names) not in replaced]
            whole[key] = kept + found
    return whole


def _key(entry: dict[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(entry.get(name) for name in names)


def names_of(results: dict[str, Any]) -> list[str]:
    """All systems, ours first."""
    ours = [results["ours"]] if results["ours"] else []
    return list(dict.fromkeys([*ours, *results["systems"]]))
