"""The metrics of consumer groups: lag in records and in seconds, members, rebalances, commits."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headrace.broker.dead_letter_counts import DeadLetterCounts
from headrace.doors.http.exposition import family, histograms
from headrace.doors.http.snapshot import Snapshot

if TYPE_CHECKING:
    from headrace.broker.broker import Broker

__all__ = ["group_families"]


def group_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    yield from _lag_families(broker, snapshot)
    yield from _member_families(broker, snapshot)
    yield from _rebalance_families(broker, snapshot)
    yield from _dead_letter_families(broker.dead_letters.counts)


def _lag_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    now_ms = broker.now_ms()
    rows = [
        ({"group": lag.group.group_id, "topic": part.topic, "partition": part.partition}, part)
        for lag in snapshot.lags
        for part in lag.partitions
    ]
    yield from family(
        "headrace_group_committed_offset",
        "gauge",
        "Offset that the group reads next.",
        ((labels, part.committed) for labels, part in rows),
    )
    yield from family(
        "headrace_group_lag_records",
        "gauge",
        "Records that the group has not committed yet, or as a share group is not done with.",
        ((labels, part.lag) for labels, part in rows),
    )
    yield from family(
        "headrace_group_lag_seconds",
        "gauge",
        "Age of the next record that the group reads, by its timestamp; 0 with nothing to read.",
        ((labels, part.lag_s) for labels, part in rows),
    )
    yield from family(
        "headrace_group_commit_age_seconds",
        "gauge",
        "Time since the group committed this partition.",
        (
            (labels, max(0, now_ms - part.committed_ms) / 1000)
            for labels, part in rows
            if part.committed_ms is not None
        ),
    )
    yield from family(
        "headrace_group_lag_lookups_postponed_total",
        "counter",
        "Times of records that a scrape did not look up because of its bound.",
        [({}, broker.lags.postponed)],
    )


def _member_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    groups = [lag.group for lag in snapshot.lags]
    states = Counter(group.state.value for group in groups)
    yield from family(
        "headrace_groups",
        "gauge",
        "Consumer groups by state.",
        [({"state": state}, count) for state, count in sorted(states.items())],
    )
    yield from family(
        "headrace_group_members",
        "gauge",
        "Members of the group.",
        (({"group": group.group_id}, len(group.members)) for group in groups),
    )
    yield from family(
        "headrace_group_state",
        "gauge",
        "1 for the state that the group is in.",
        (({"group": group.group_id, "state": group.state.value}, 1) for group in groups),
    )
    yield from family(
        "headrace_group_stuck_members",
        "gauge",
        "Members that are alive, have data to read and commit no progress.",
        (
            ({"group": group.group_id}, broker.stuck.stuck_count(group.group_id, group.members))
            for group in groups
        ),
    )
    yield from family(
        "headrace_offset_commits_total",
        "counter",
        "Offsets made durable for groups, one for each partition committed.",
        [({}, broker.stats.offsets_committed)],
    )


def _rebalance_families(broker: "Broker", snapshot: Snapshot) -> Iterator[str]:
    stats = broker.stats
    groups = [lag.group for lag in snapshot.lags]
    ended = [(group.group_id, broker.groups.rebalances(group.group_id)) for group in groups]
    yield from family(
        "headrace_group_rebalances_total",
        "counter",
        "Rebalances of the group that ended.",
        (({"group": group_id}, count.ended) for group_id, count in ended),
    )
    yield from family(
        "headrace_group_rebalance_seconds_total",
        "counter",
        "Time that the group spent in them.",
        (({"group": group_id}, count.duration_total_s) for group_id, count in ended),
    )
    yield from histograms(
        "headrace_rebalance_duration_seconds",
        "From the event that made a group rebalance until every member had its assignment.",
        [({}, stats.rebalance_duration)],
    )
    yield from family(
        "headrace_rebalances_total",
        "counter",
        "Rebalances by what caused them.",
        [({"reason": cause}, count) for cause, count in sorted(stats.rebalance_causes.items())],
    )


def _dead_letter_families(counts: DeadLetterCounts) -> Iterator[str]:
    yield from family(
        "headrace_dead_letters_total",
        "counter",
        "Dead letters written for the share group.",
        [({"group": group_id}, count) for group_id, count in sorted(counts.written_of.items())],
    )
    yield from family(
        "headrace_dead_letters_uncopied_total",
        "counter",
        "Those without key and value, because the record could not be read or would not fit.",
        [({"group": group_id}, count) for group_id, count in sorted(counts.uncopied_of.items())],
    )
    yield from family(
        "headrace_dead_letters_lost_total",
        "counter",
        "Records that the share group gave up without a dead letter, by what was in the way.",
        [
            ({"group": group_id, "reason": cause}, count)
            for (group_id, cause), count in sorted(counts.lost_of.items())
        ],
    )
