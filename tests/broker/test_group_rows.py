import json
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.group_rows import record_of, row_of
from headrace.catalog.groups import GroupRow
from headrace.catalog.schema import CatalogError
from headrace.groups.changes import GroupRecord, MemberRecord
from headrace.groups.consumer_records import ClassicPart
from headrace.groups.share_records import ShareGroupRecord, ShareMemberRecord
from headrace.groups.states import State

ids = st.text(max_size=10)
timeouts = st.integers(0, 2**31 - 1)
members = st.builds(
    MemberRecord,
    member_id=ids,
    instance_id=st.none() | ids,
    client_id=ids,
    client_host=ids,
    session_timeout_ms=timeouts,
    rebalance_timeout_ms=timeouts,
    protocols=st.lists(st.tuples(ids, st.binary(max_size=20)), max_size=3).map(tuple),
    assignment=st.binary(max_size=20),
)
records = st.builds(
    GroupRecord,
    group_id=ids,
    state=st.sampled_from(State),
    generation=st.integers(0, 2**31 - 1),
    protocol_type=st.none() | st.text(min_size=1, max_size=10),
    protocol=st.none() | ids,
    leader=st.none() | ids,
    members=st.lists(members, max_size=3).map(tuple),
)
share_members = st.builds(
    ShareMemberRecord,
    member_id=ids,
    rack_id=st.none() | ids,
    client_id=ids,
    client_host=ids,
    names=st.frozensets(ids, max_size=3),
    target=st.frozensets(st.tuples(st.uuids(), timeouts), max_size=5),
)
share_records = st.builds(
    ShareGroupRecord,
    group_id=ids,
    state=st.sampled_from(State),
    generation=st.integers(0, 2**31 - 1),
    members=st.lists(share_members, max_size=3).map(tuple),
)


@given(records | share_records)
def test_group_comes_back_as_it_was(record):
    assert record_of(row_of(record, None)) == record


def test_format_stays_readable():
    """A row of version 1, as released: never change it."""
    member = {
        "id": "a-1",
        "instance": "a",
        "client": "c",
        "host": "h",
        "session_ms": 45000,
        "rebalance_ms": 300000,
        "protocols": [["range", "AAE="]],
        "assignment": "AAI=",
    }
    state = {"v": 1, "state": "Stable", "members": [member]}
    row = GroupRow("g", "consumer", 3, "range", "a-1", json.dumps(state).encode(), None)
    record = record_of(row)
    assert record.state is State.STABLE
    assert record.members[0].protocols == (("range", b"\0\1"),)
    assert record.members[0].assignment == b"\0\2"


def test_format_of_share_groups_stays_readable():
    """A row of version 3, as released: never change it."""
    topic = UUID(int=7)
    member = {
        "id": "m",
        "rack": None,
        "client": "c",
        "host": "h",
        "topics": ["t"],
        "target": {topic.hex: [0, 2]},
    }
    state = {"v": 3, "state": "Stable", "members": [member]}
    row = GroupRow("g", "share", 3, "simple", None, json.dumps(state).encode(), None)
    record = record_of(row)
    assert isinstance(record, ShareGroupRecord)
    assert record.generation == 3
    assert record.members[0].names == {"t"}
    assert record.members[0].target == {(topic, 0), (topic, 2)}
    assert json.loads(row_of(record, None).state) == state


def test_format_of_mixed_groups_stays_readable():
    """A row of version 4, as released: never change it. A member without "classic" is as in
    version 2, which is still written while there are no others."""
    topic = UUID(int=7)
    member = {
        "id": "m",
        "instance": None,
        "rack": None,
        "client": "c",
        "host": "h",
        "rebalance_ms": 60000,
        "topics": ["t"],
        "regex": "",
        "assignor": None,
        "epoch": 3,
        "previous_epoch": 2,
        "assigned": {topic.hex: [0, 2]},
        "revoking": {topic.hex: [1]},
        "target": {topic.hex: [0, 2]},
        "classic": {"session_ms": 45000, "protocols": [["range", "AAE="]]},
    }
    state = {"v": 4, "state": "Reconciling", "members": [member]}
    row = GroupRow("g", "consumer", 3, "uniform", None, json.dumps(state).encode(), None)
    record = record_of(row)
    (read,) = record.members
    assert read.classic == ClassicPart(45000, (("range", b"\0\1"),))
    assert read.revoking == {(topic, 1)}
    assert json.loads(row_of(record, None).state) == state
    next_only = replace(record, members=(replace(read, classic=None),))
    assert json.loads(row_of(next_only, None).state)["v"] == 2
    assert record_of(row_of(next_only, None)) == next_only


@pytest.mark.parametrize(
    "state",
    [b"", b"{}", b"[]", b'{"v":2}', b'{"v":3}', b'{"v":1,"state":"Odd","members":[]}', b"\xff"],
)
def test_group_that_cannot_be_read_is_named(state):
    row = GroupRow("orders", "consumer", 1, None, None, state, None)
    with pytest.raises(CatalogError, match="orders"):
        record_of(row)
