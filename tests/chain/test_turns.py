"""Turns: one holder at a time, the nearest deadline next, and no turn lost to a cancellation."""

import asyncio

from oracle_node.chain.turns import Turns


async def _hold(turns: Turns, priority: float, done: list[float], held: list[int]) -> None:
    async with turns.turn(priority):
        held[0] += 1
        try:
            assert held[0] == 1
            await asyncio.sleep(0)
            done.append(priority)
        finally:
            held[0] -= 1


async def test_turns__many_waiters__go_by_deadline_then_by_arrival() -> None:
    turns, done, held = Turns(), [], [0]
    async with turns.turn(0):
        tasks = [asyncio.create_task(_hold(turns, p, done, held)) for p in (5, 3.0, 9, 3.5, 1)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert done == [1, 3.0, 3.5, 5, 9]


async def test_turns__several_places__never_more_holders() -> None:
    turns, order = Turns(2), list[int]()
    ends = [asyncio.Event() for _ in range(4)]

    async def hold(number: int) -> None:
        async with turns.turn(-number):
            order.append(number)
            await ends[number].wait()

    tasks = [asyncio.create_task(hold(number)) for number in range(4)]
    await asyncio.sleep(0.01)
    assert order == [0, 1]
    ends[0].set()
    await asyncio.sleep(0.01)
    assert order == [0, 1, 3]
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 3, 2]


async def test_turns__a_waiter_is_cancelled__the_others_still_go() -> None:
    turns, done, held = Turns(), [], [0]
    async with turns.turn(0):
        tasks = [asyncio.create_task(_hold(turns, p, done, held)) for p in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
    await asyncio.sleep(0)
    tasks[1].cancel()  # it may hold its turn by now
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done[-1] == 3
    async with asyncio.timeout(1), turns.turn(0):
        pass


async def test_turns__handed_over_and_cancelled_at_once__goes_on_to_the_next() -> None:
    turns, done, held = Turns(), [], [0]
    holder = turns.turn(0)
    await holder.__aenter__()
    first = asyncio.create_task(_hold(turns, 1, done, held))
    second = asyncio.create_task(_hold(turns, 2, done, held))
    await asyncio.sleep(0)
    await holder.__aexit__(None, None, None)
    first.cancel()  # after the hand-over, before it runs
    await asyncio.gather(first, second, return_exceptions=True)
    assert done == [2]
