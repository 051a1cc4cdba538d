from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.cluster.ownership import WORKERS_MAX, Ownership

counts = st.integers(1, WORKERS_MAX)


def workers(count: int) -> list[Ownership]:
    return [Ownership(index, count, first_node_id=7) for index in range(count)]


def test_one_process_owns_everything() -> None:
    alone = Ownership.alone(5)
    assert alone.is_alone
    assert alone.is_first
    assert alone.node_id == alone.controller_id == 5
    assert alone.others == ()
    assert alone.is_my_partition(UUID(int=1), 17)
    assert alone.is_my_group("group")
    assert alone.is_my_transaction("id")


@given(counts, st.uuids(), st.integers(0, 100_000), st.text(), st.text())
def test_everything_has_one_owner_whom_all_name(
    count: int, topic_id: UUID, partition: int, group_id: str, transactional_id: str
) -> None:
    all_ = workers(count)
    for owner_of, is_mine, what in (
        (Ownership.owner_of_partition, Ownership.is_my_partition, (topic_id, partition)),
        (Ownership.owner_of_group, Ownership.is_my_group, (group_id,)),
        (Ownership.owner_of_transaction, Ownership.is_my_transaction, (transactional_id,)),
    ):
        (named,) = {owner_of(one, *what) for one in all_}
        assert [one.index for one in all_ if is_mine(one, *what)] == [named]


@given(counts, st.uuids(), st.integers(0, 1000))
def test_neighbouring_partitions_go_round_robin(count: int, topic_id: UUID, first: int) -> None:
    one = Ownership(0, count, 1)
    owners = [one.owner_of_partition(topic_id, first + index) for index in range(count)]
    assert sorted(owners) == list(range(count))


def test_first_partitions_and_groups_are_spread() -> None:
    one = Ownership(0, 4, 1)
    topics = Counter(one.owner_of_partition(UUID(int=i * 2**64), 0) for i in range(1000))
    groups = Counter(one.owner_of_group(f"group-{i}") for i in range(1000))
    for spread in (topics, groups):
        assert set(spread) == {0, 1, 2, 3}
        assert min(spread.values()) > 150


def test_owners_stay_what_they_are() -> None:
    """Another version of this software must find the data where this one left it to be served."""
    one = Ownership(1, 3, 10)
    assert one.owner_of_partition(UUID("11111111-2222-3333-4444-555555555555"), 0) == 2
    assert one.owner_of_group("orders") == 2
    assert one.owner_of_transaction("transfer-1") == 1


def test_node_ids_count_from_the_first() -> None:
    assert [one.node_id for one in workers(3)] == [7, 8, 9]
    assert {one.controller_id for one in workers(3)} == {7}
    assert workers(3)[1].others == (0, 2)
    assert workers(3)[2].node_id_of(0) == 7
