import asyncio

from headrace.doors.kafka.side_by_side import AT_ONCE_MAX, side_by_side


def test_results_keep_their_order_and_work_is_bounded():
    running = most = 0

    async def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return -number

    results = asyncio.run(side_by_side(work, range(1000)))
    assert results == [-number for number in range(1000)]
    assert most == AT_ONCE_MAX
