"""What an earlier process wrote is gone through once, and only that."""

import itertools

import pytest

from headrace.log import checking, reader
from headrace.log.checking import needs_check, remember_checked
from headrace.log.reading import Cut
from headrace.log.segment import Segment


@pytest.fixture
def checks(monkeypatch):
    """The cuts that were gone through, in order."""
    made = []

    def counted(fd, cut):
        made.append((cut.position, cut.end))
        return checking.checked_cut(fd, cut)

    monkeypatch.setattr(reader, "checked_cut", counted)
    return made


def filled(lab, count=30):
    async def scenario(log):
        for at in range(count):
            await lab.put(log, lab.batch(b"%d" % at * 40))

    lab.run(scenario)


def test_what_this_process_wrote_is_not_gone_through(lab, checks):
    async def scenario(log):
        for at in range(30):
            await lab.put(log, lab.batch(b"%d" % at))
        assert len(await lab.batches(log)) == 30

    lab.run(scenario)
    assert checks == []


def test_what_an_earlier_process_wrote_is_gone_through_once(lab, checks):
    filled(lab)

    async def scenario(log):
        await lab.put(log, lab.batch(b"new"))
        for _ in range(3):
            assert len(await lab.batches(log, 700)) == 31
        assert await lab.read_bytes(log, 30)

    lab.run(scenario)
    whole = lab.segment_paths()[0].stat().st_size
    assert checks[0][0] == 0
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(checks))
    assert checks[-1][1] <= whole


def test_what_recovery_read_is_not_gone_through_again(lab, tmp_path, checks):
    async def scenario(log):
        for at in range(30):
            await lab.put(log, lab.batch(b"%d" % at))
        return await lab.crash_image(log, tmp_path / "image")

    image = lab.run(scenario)

    async def read(log):
        assert len(await image.batches(log)) == 30

    image.run(read)
    assert checks == []


def test_stretches_that_were_gone_through_grow_together():
    segment = Segment("", 0, 0)
    segment.known_from = 1000

    def cut(position, end):
        return Cut(position, end, 0, 0)

    assert not needs_check(segment, cut(1000, 2000))
    assert needs_check(segment, cut(900, 2000))
    remember_checked(segment, cut(100, 200))
    assert not needs_check(segment, cut(100, 200))
    assert needs_check(segment, cut(100, 201))
    remember_checked(segment, cut(200, 500))
    assert segment.checked == (100, 500)
    remember_checked(segment, cut(700, 800))  # a reader elsewhere: the first stretch is forgotten
    assert segment.checked == (700, 800)
    remember_checked(segment, cut(800, 1100))
    assert (segment.known_from, segment.checked) == (700, (0, 0))
    remember_checked(segment, cut(0, 700))
    assert segment.known_from == 0
