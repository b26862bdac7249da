"""Following logs: everything once, nothing from a dropped branch."""

import pytest

from oracle_node.chain.embedded import DevChain
from oracle_node.chain.follow import Head, LogFollower, Step
from oracle_node.chain.journal import Call
from oracle_node.chain.revert import RevertDecoder
from oracle_node.chain.transactions import Sender
from oracle_node.errors import TransientError


class Reader:
    """Applies steps the way a store does."""

    def __init__(self, follower: LogFollower) -> None:
        self.follower = follower
        self.checkpoints: tuple[Head, ...] = ()
        self.blocks: list[int] = []

    async def step(self) -> Step:
        step = await self.follower.step(self.checkpoints)
        if step.rolled_back_to is not None:
            self.blocks = [number for number in self.blocks if number <= step.rolled_back_to]
        self.blocks += [log["blockNumber"] for log in step.logs]
        self.checkpoints = step.checkpoints
        return step

    async def catch_up(self) -> None:
        while not (await self.step()).caught_up:
            pass


async def echoes(sender: Sender, echo: str, count: int) -> list[int]:
    return [(await sender.send(Call(echo, b"", label="echo"))).block_number for _ in range(count)]


async def test_step__chunks_smaller_than_the_chain__every_log_once(
    chain: DevChain, sender: Sender, decoder: RevertDecoder, echo: str
) -> None:
    expected = await echoes(sender, echo, 5)
    reader = Reader(LogFollower(chain.web3, [echo], 0, decoder, chunk_blocks=2))
    await reader.catch_up()
    expected += await echoes(sender, echo, 2)
    await reader.catch_up()
    assert reader.blocks == expected


async def test_step__reorg__forgets_the_dropped_branch(
    chain: DevChain, sender: Sender, decoder: RevertDecoder, echo: str
) -> None:
    kept = await echoes(sender, echo, 1)
    reader = Reader(LogFollower(chain.web3, [echo], 0, decoder))
    await reader.catch_up()
    snapshot = await chain.snapshot()
    await echoes(sender, echo, 3)
    await reader.catch_up()
    await chain.revert(snapshot)
    await chain.advance(50)
    await chain.mine(2)
    step = await reader.step()
    assert step.rolled_back_to == kept[-1]
    assert reader.blocks == kept
    kept += await echoes(sender, echo, 2)
    await reader.catch_up()
    assert reader.blocks == kept


async def test_step__confirmations__stays_behind_the_head(
    chain: DevChain, sender: Sender, decoder: RevertDecoder, echo: str
) -> None:
    numbers = await echoes(sender, echo, 3)
    reader = Reader(LogFollower(chain.web3, [echo], 0, decoder, confirmations=2))
    await reader.catch_up()
    assert reader.blocks == numbers[:1]
    await chain.mine(2)
    await reader.catch_up()
    assert reader.blocks == numbers


async def test_step__head_falls_back_on_the_same_chain__waited_for_and_nothing_forgotten(
    chain: DevChain, sender: Sender, decoder: RevertDecoder, echo: str
) -> None:
    """Another machine behind the same address has not seen the newest blocks yet."""
    await echoes(sender, echo, 1)
    reader = Reader(LogFollower(chain.web3, [echo], 0, decoder))
    await reader.catch_up()
    snapshot = await chain.snapshot()
    await echoes(sender, echo, 2)
    await reader.catch_up()
    blocks = list(reader.blocks)
    await chain.revert(snapshot)
    with pytest.raises(TransientError, match="behind block"):
        await reader.step()
    assert reader.blocks == blocks
    await chain.mine(4)
    assert (await reader.step()).rolled_back_to == blocks[0]


async def test_step__logs_of_another_fork_in_a_range__are_not_taken(
    chain: DevChain, sender: Sender, decoder: RevertDecoder, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of several servers behind an RPC may not have noticed a reorg; nor does anvil at once."""
    fork = await chain.snapshot()
    await echoes(sender, echo, 5)
    stale = await chain.web3.eth.get_logs({"fromBlock": 0, "address": echo})  # type: ignore[typeddict-item]
    await chain.revert(fork)
    await chain.advance(50)
    await chain.mine(8)
    follower = LogFollower(chain.web3, [echo], 0, decoder)
    assert (await follower.step(())).logs == ()

    async def stale_logs(query: object) -> object:
        return stale

    monkeypatch.setattr(chain.web3.eth, "get_logs", stale_logs)
    with pytest.raises(TransientError, match="was replaced"):
        await follower.step(())


async def test_step__blocks_that_do_not_follow_the_checkpoint__are_not_taken(
    chain: DevChain, sender: Sender, decoder: RevertDecoder, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = await chain.snapshot()
    await echoes(sender, echo, 1)
    follower = LogFollower(chain.web3, [echo], 0, decoder)
    before = await follower.step(())
    await chain.revert(fork)
    await chain.advance(50)
    await chain.mine(2)

    async def is_canonical(checkpoint: Head) -> bool:
        return True  # said by a server that has not noticed the reorg

    monkeypatch.setattr(follower, "_is_canonical", is_canonical)
    with pytest.raises(TransientError, match="was replaced"):
        await follower.step(before.checkpoints)
