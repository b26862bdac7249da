"""The node's page in a real browser: a live dispute is drawn with its clock, what an operator must know comes first."""

import asyncio
import re
import shutil
from pathlib import Path

import aiohttp
import pytest

from oracle_node.api.schema import Status
from oracle_node.players.adversaries import Lie, tell_lies
from oracle_node.players.dispute import play_seat
from tests.e2e.arena import Arena, toy, toy_answer, toy_input
from tests.e2e.nodes import node_config, running, until

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


async def _text(url: str) -> str:
    """What the page shows once its scripts have run."""
    assert BROWSER is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom")
    browser = await asyncio.create_subprocess_exec(
        BROWSER, *options, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await asyncio.wait_for(browser.communicate(), 60)
    body = out.decode().split("</style>")[1].split("<script>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
async def test_page__of_a_node_in_a_dispute__shows_the_way_down_and_whose_turn_it_is(
    fast_arena: Arena, tmp_path: Path
) -> None:
    arena, truth = fast_arena, toy_answer()
    lying = tell_lies(arena.model, toy().executor, toy_input(), truth.output, truth.witness, [Lie(9, 2)])
    claim_id = await arena.claim(await arena.ask(), lying)
    config = node_config(arena, tmp_path, {"watch", "challenge"}, api={"port": 0})
    seat = arena.defender(lying.knowledge)
    async with running(config, arena.chain.accounts[3]) as ready:
        assert ready.api_url is not None
        async with aiohttp.ClientSession(ready.api_url) as http:

            async def picks() -> int:
                async with http.get("/status") as response:
                    status = Status.model_validate(await response.json())
                claims = [claim for request in status.requests or [] for claim in request.claims]
                return max((len(c.picks) for claim in claims for c in claim.challenges), default=0)

            async def is_challenged() -> bool:
                return bool(await arena.client.past_events(["ChallengeOpened"]))

            await until(is_challenged, "the challenge")
            before = await _text(ready.api_url)
            liar = asyncio.create_task(play_seat(arena.client, claim_id, seat, poll_s=0.05))

            async def has_picked() -> bool:
                return bool(await arena.client.past_events(["Picked"]))

            await until(has_picked, "the first pick")
            liar.cancel()
            await asyncio.wait({liar})

            async def shows_it() -> bool:
                return await picks() > 0

            await until(shows_it, "a snapshot of it")
            after = await _text(ready.api_url)
    for words in ("0 challenges of our claims, 1 challenge by us; the others are on turn", "live disputes 1"):
        assert words in before
    assert "our challenge active" in before and "instruction" not in before
    assert "the claim's trace instruction 9, chunk" in after and claim_id.hex()[-4:] in after
