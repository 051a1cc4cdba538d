import struct

from headrace.groups.offsets import Committed, expired, is_left_over

DAY_MS = 24 * 3600 * 1000
NOW_MS = 100 * DAY_MS
OLD = Committed(1, -1, "", NOW_MS - 7 * DAY_MS)
YOUNG = Committed(2, -1, "", NOW_MS - 7 * DAY_MS + 1)
OFFSETS = {("t", 0): OLD, ("t", 1): YOUNG, ("u", 0): OLD}


def test_offsets_of_a_consumer_without_a_group_expire_by_their_own_age(scene):
    assert expired(scene.group, OFFSETS, None, NOW_MS) == (("t", 0), ("u", 0))


def test_offsets_of_an_empty_group_expire_from_when_it_emptied(stable_pair):
    stable_pair.leave("a", "b")
    just_now = NOW_MS - 7 * DAY_MS + 1
    assert expired(stable_pair.group, OFFSETS, just_now, NOW_MS) == ()
    assert expired(stable_pair.group, OFFSETS, just_now - 1, NOW_MS) == (("t", 0), ("u", 0))


def test_offsets_of_a_group_at_work_do_not_expire(stable_pair):
    assert expired(stable_pair.group, OFFSETS, None, NOW_MS) == ()


def test_offsets_that_no_member_reads_any_more_expire(scene):
    topics = struct.pack(">hih", 0, 1, 1) + b"t"
    scene.stable("a", protocols=[("range", topics)])
    assert expired(scene.group, OFFSETS, None, NOW_MS) == (("u", 0),)


def test_nothing_expires_during_a_rebalance(stable_pair):
    stable_pair.enter("c")
    assert expired(stable_pair.group, OFFSETS, None, NOW_MS) == ()


def test_group_with_members_or_expected_ones_is_not_left_over(scene):
    assert is_left_over(scene.group)
    scene.join(fresh="a")
    assert not is_left_over(scene.group)
