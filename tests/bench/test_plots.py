import xml.etree.ElementTree as ElementTree

from bench.plots import plots
from bench.results import merge

SYSTEMS = {"Headrace": {}, "Kafka": {}}


def row(workload: str, durability: str, at: dict[str, int], value: float, resident_mb: float):
    names = list(SYSTEMS)
    return {
        "workload": workload,
        "what": f"{workload} {at}",
        "durability": durability,
        "at": at,
        "values": dict.fromkeys(names, value),
        "cpu_s_per_gb": dict.fromkeys(names, value / 10),
        "rounds": {
            name: [{"detail": {"resident MB": resident_mb}}, {"detail": {"resident MB": None}}]
            for name in names
        },
    }


def load(system: str, share: float | None, rate: int):
    seen = {"p50_ms": 1.0, "p99_ms": 4.0, "p99_9_ms": 9.0}
    row = {"system": system, "durability": "fsync", "load": f"{share} {rate}", "share": share}
    return {**row, "rate": rate, "end_to_end": seen}


def drawn(**results):
    whole = merge([{"ours": "Headrace", "systems": SYSTEMS, **results}])
    return {name: ElementTree.fromstring(svg) for name, svg in plots(whole)}  # noqa: S314


def texts(svg) -> list[str]:
    return [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_nothing_is_drawn_of_nothing():
    assert drawn() == {}


def test_throughput_is_drawn_against_batch_size_for_both_durabilities():
    sizes = [
        row("sizes", durability, {"batch_bytes": size}, size / 1000, 50)
        for durability in ("os", "fsync")
        for size in (1024, 65536, 1048576)
    ]
    found = drawn(rows=sizes)
    assert list(found) == ["throughput-batch-size.svg"]
    shown = texts(found["throughput-batch-size.svg"])
    assert {"1 KB", "64 KB", "1 MB", "os, MB/s", "fsync, MB/s", *SYSTEMS} <= set(shown)


def test_cost_is_drawn_against_partitions_and_connections():
    rows = [
        row(spread, "os", {spread: count}, count, 40 + count)
        for spread in ("partitions", "connections")
        for count in (1, 10, 1000)
    ]
    found = drawn(rows=rows)
    assert list(found) == ["cost-partitions-os.svg", "cost-connections-os.svg"]
    shown = texts(found["cost-partitions-os.svg"])
    assert {"processor time", "resident memory", "1,000"} <= set(shown)


def test_latency_is_drawn_against_parts_of_the_most_and_against_rates():
    rows = [load(system, share, 1) for system in SYSTEMS for share in (0.1, 0.5, 0.8)]
    rows += [load(system, None, rate) for system in SYSTEMS for rate in (1000, 10_000)]
    failed = {**load("Kafka", None, 5), "failure": "ConnectionError"}
    del failed["end_to_end"]
    found = drawn(latency=[*rows, failed])
    assert list(found) == ["latency-share-fsync.svg", "latency-rate-fsync.svg"]
    assert {"p50", "p99", "p99.9", "10%", "80%"} <= set(texts(found["latency-share-fsync.svg"]))
    assert {"1k", "10k"} <= set(texts(found["latency-rate-fsync.svg"]))
