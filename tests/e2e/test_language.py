"""Language models from a prompt to a contract that has the text: asked, answered, lied about, refuted, delivered."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from eth_utils.address import to_checksum_address
from structlog.testing import capture_logs

from oracle_node.chain.abi import Functions
from oracle_node.chain.actions import event_in
from oracle_node.chain.deploy import DEV_LIMITS, address_of, deploy_contract
from oracle_node.chain.events import ChallengeSettled, ClaimProposed, Requested
from oracle_node.chain.journal import Call
from oracle_node.chain.types import Address, ChallengeStatus, ClaimStatus, RequestId
from oracle_node.cli.app import EXIT_INTERRUPTED
from oracle_node.contracts import load_artifact
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.language.drafts import LOOKUP_TOKENS, LlamaWriter, LookupWriter, ProposedText
from oracle_node.model.directory import TOKENIZER, save_model
from oracle_node.model.solver import Answer
from oracle_node.node.shelf import Shelf, ShelvedModel
from oracle_node.players.adversaries import LyingClaim, claim_baldly
from oracle_node.players.dispute import play_seat
from tests.cli.background import Background
from tests.cli.conftest import oracle as oracle
from tests.cli.running import Cli, Ran
from tests.e2e.arena import Arena, open_arena
from tests.e2e.nodes import node_config, proposed, running, until
from tests.language.stories import FILES, START, stories

TOKENS = 12
PROMPT = [START]
"""What an empty text becomes: the start token alone."""
CONSUMER = "Storyteller"


@pytest.fixture(scope="module")
def teller() -> Iterator[ShelvedModel]:
    """The story model, drafted for by llama.cpp where that is installed."""
    told = stories(weights=8)
    if find_spec("llama_cpp") is None:
        draft = ProposedText(told.language, LookupWriter(), LOOKUP_TOKENS)
        yield ShelvedModel(told.model, told.executor, draft)
        return
    with LlamaWriter(FILES["f32"], told.language.limits.context, threads=1) as writer:
        yield ShelvedModel(told.model, told.executor, ProposedText(told.language, writer))


@cache
def truth() -> Answer:
    """The story that the model tells, found without llama.cpp."""
    answer, _ = stories(weights=8).tell(PROMPT, TOKENS, LookupWriter(), LOOKUP_TOKENS)
    return answer


def lie() -> LyingClaim:
    """The same story with another word in it, and a trace to defend it with."""
    told = stories(weights=8)
    request = told.language.request(PROMPT, TOKENS)
    tokens = np.frombuffer(truth().witness, "<i4").tolist()
    tokens[7] = (tokens[7] + 1) % len(told.vocabulary.pieces)
    claim = told.language.claim(request, tokens)
    # an executor of its own: the node's runs at the same time
    executor = OnnxExecutor(told.model.tape)
    return claim_baldly(
        told.model, executor, request.tobytes(), claim.output.tobytes(), claim.witness.tobytes()
    )


@pytest.fixture
async def arena(teller: ShelvedModel) -> AsyncIterator[Arena]:
    """A deployed oracle with the listed story model."""
    async with open_arena("auto", shelved=teller) as opened:
        yield opened


@dataclass(frozen=True)
class Consumer:
    """The example contract, deployed by the stranger."""

    arena: Arena
    address: Address
    functions: Functions

    @classmethod
    async def deploy(cls, arena: Arena) -> "Consumer":
        receipt = await deploy_contract(arena.stranger, CONSUMER, [arena.client.oracle, arena.listing_id])
        return cls(arena, address_of(receipt), Functions(load_artifact(CONSUMER).abi))

    async def tell(self) -> RequestId:
        """Have it ask."""
        (price,) = await self._read("price", TOKENS)
        data = self.functions.encode("tell", [TOKENS, np.asarray(PROMPT, "<i4").tobytes()])
        receipt = await self.arena.requester.send(Call(self.address, data, price, "ask for a story"))
        return (await event_in(self.arena.client, receipt, Requested)).request_id

    async def story(self, request_id: RequestId) -> str:
        """What it has been told; empty before that."""
        (story,) = await self._read("story", request_id)
        return str(story)

    async def _read(self, name: str, *arguments: object) -> tuple[object, ...]:
        data = self.functions.encode(name, arguments)
        call = {"to": to_checksum_address(self.address), "data": "0x" + data.hex()}
        return self.functions.decode(name, bytes(await self.arena.chain.web3.eth.call(call)))  # type: ignore[arg-type]


async def delivered(consumer: Consumer, request_id: RequestId) -> str:
    """The story, once the contract has it."""

    async def is_there() -> bool:
        return (await consumer.arena.client.request(request_id)).delivered

    await until(is_there, "the delivery")
    return await consumer.story(request_id)


async def test_story__asked_by_a_contract__reaches_it_as_text_after_finality(
    arena: Arena, tmp_path: Path
) -> None:
    consumer = await Consumer.deploy(arena)
    request_id = await consumer.tell()
    config = node_config(arena, tmp_path, {"answer", "settle", "defend"})
    async with running(config, arena.chain.accounts[2], Shelf([arena.shelved])):
        claim_id = await proposed(arena, request_id)
        assert await consumer.story(request_id) == ""
        await arena.advance_past(await arena.client.final_at(claim_id))
        story = await delivered(consumer, request_id)
    assert story.encode() == truth().output
    assert story.startswith("Once upon a time")


async def test_story__with_another_word_in_it__is_refuted_and_the_contract_gets_the_true_one(
    arena: Arena, tmp_path: Path
) -> None:
    consumer, lying = await Consumer.deploy(arena), lie()
    request_id = await consumer.tell()
    false = await arena.claim(request_id, Answer(lying.output, lying.witness, True, 0.0, 0))
    liar = asyncio.create_task(play_seat(arena.client, false, arena.defender(lying.knowledge), poll_s=0.05))
    roles = {"answer", "settle", "defend", "watch", "challenge"}
    async with running(node_config(arena, tmp_path, roles), arena.chain.accounts[3], Shelf([arena.shelved])):

        async def is_refuted() -> bool:
            return (await arena.client.claim(false)).status is ClaimStatus.REFUTED

        await until(is_refuted, "the refutation")
        true = await proposed(arena, request_id, arena.challenger.address)
        await arena.advance_past(await arena.client.final_at(true))
        story = await delivered(consumer, request_id)
    liar.cancel()
    settled = [e.event for e in await arena.client.past_events(["ChallengeSettled"])]
    assert [(e.claim_id, e.status) for e in settled if isinstance(e, ChallengeSettled)] == [
        (false, ChallengeStatus.WON)
    ]
    assert await arena.client.past_events(["ElementProved"])
    assert await arena.client.balance(arena.claimant.address) == 0
    assert lying.output != truth().output
    assert story.encode() == truth().output


# From the command line


@dataclass(frozen=True)
class Scene:
    """A chain in another thread, perhaps with a node on it, and the model's directory."""

    background: Background
    arena: Arena
    directory: Path
    oracle: Cli

    def ask(self, prompt: str, *arguments: object, as_json: bool = True) -> Ran:
        """`oracle-node ask` as the requester."""
        chain = ("--rpc", self.arena.chain.url, "--oracle", self.arena.client.oracle, "--dev-account", 1)
        model = ("0x" + self.arena.listing_id.hex(), prompt, "--model", self.directory)
        return self.oracle("ask", *model, *chain, *arguments, *["--json"] * as_json)

    async def asked(self) -> RequestId:
        """The first request, once it is there."""

        async def is_there() -> bool:
            return bool(await self.arena.client.past_events(["Requested"]))

        await until(is_there, "a request")
        event = (await self.arena.client.past_events(["Requested"]))[0].event
        assert isinstance(event, Requested)
        return event.request_id

    async def let_windows_pass(self) -> None:
        """What is proposed becomes final."""
        while True:
            await asyncio.sleep(0.2)
            for entry in await self.arena.client.past_events(["ClaimProposed"]):
                assert isinstance(entry.event, ClaimProposed)
                final_at = await self.arena.client.final_at(entry.event.claim_id)
                if final_at:  # 0 once the claim is decided
                    await self.arena.advance_past(final_at)


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The story model as files."""
    pytest.importorskip("llama_cpp")
    from oracle_node.language.tokenizer import write_vocabulary

    directory = tmp_path_factory.mktemp("stories") / "model"
    save_model(stories(weights=8).model, directory)
    write_vocabulary(FILES["f32"], directory / TOKENIZER)
    return directory


@pytest.fixture
def quiet(oracle: Cli, teller: ShelvedModel, model_directory: Path) -> Iterator[Scene]:
    """Nobody answers."""
    with Background() as background:
        arena = background.open(open_arena("auto", shelved=teller))
        yield Scene(background, arena, model_directory, oracle)


@pytest.fixture
def scene(quiet: Scene, tmp_path: Path) -> Iterator[Scene]:
    """A node answers and settles; its log is kept out of the command's output."""
    arena, background = quiet.arena, quiet.background
    config = node_config(arena, tmp_path, {"answer", "settle"})
    with capture_logs():
        background.open(running(config, arena.chain.accounts[2], Shelf([arena.shelved])))
        yield quiet


def test_ask__a_node_is_running__prints_its_text_and_that_it_is_provisional(scene: Scene) -> None:
    planned = scene.ask("", "--max-tokens", TOKENS, "--dry-run")
    ran = scene.ask("", "--max-tokens", TOKENS, as_json=False)
    assert ran.code == 0, ran.err
    text = truth().output.decode()
    told = [line.split()[0] for line in ran.err.splitlines()]
    assert told == ["asked", "committed", "answered", "window", "provisional"]
    assert f"by {scene.arena.claimant.address}: {text}" in ran.err
    assert text in ran.out and "PROPOSED" in ran.out
    # the same again costs nothing, and is answered at once
    again = scene.ask("", "--max-tokens", TOKENS)
    assert again.json["request_id"] == planned.json["request_id"]
    assert again.json["claimant"] == scene.arena.claimant.address
    assert (again.json["text"], again.json["tokens"], again.json["status"]) == (text, TOKENS, "PROPOSED")
    assert again.json["final"] is False
    assert "cost_wei" not in again.json and again.err == ""


def test_ask__with_wait__prints_the_final_text(scene: Scene) -> None:
    passing = scene.background.start(scene.let_windows_pass())
    ran = scene.ask("", "--max-tokens", TOKENS, "--wait")
    passing.cancel()
    assert ran.code == 0, ran.err
    assert ran.json.keys() == {
        *("request_id", "claim_id", "claimant", "status", "text", "tokens", "window_end", "final"),
        *("gas_used", "cost_wei"),
    }
    assert ran.json["text"] == truth().output.decode()
    assert (ran.json["status"], ran.json["final"]) == ("FINALIZED", True)
    assert ran.json["cost_wei"] == scene.arena.policy.min_fee


def test_ask__a_lie_comes_first__tells_its_refutation_and_ends_with_the_truth(
    quiet: Scene, tmp_path: Path
) -> None:
    arena, lying = quiet.arena, lie()

    async def lie_to_it() -> None:
        false = await arena.claim(await quiet.asked(), Answer(lying.output, lying.witness, True, 0.0, 0))
        roles = {"answer", "settle", "watch", "challenge"}
        config = node_config(arena, tmp_path, roles)
        async with running(config, arena.chain.accounts[3], Shelf([arena.shelved])):
            await play_seat(arena.client, false, arena.defender(lying.knowledge), poll_s=0.05)
            await quiet.let_windows_pass()

    with capture_logs():
        story = quiet.background.start(lie_to_it())
        ran = quiet.ask("", "--max-tokens", TOKENS, "--wait", as_json=False)
        story.cancel()
    assert ran.code == 0, ran.err
    told = [line.split()[0] for line in ran.err.splitlines()]
    assert told[:2] == ["asked", "committed"] and told[-1] == "final"
    assert f"refuted      the answer of {arena.claimant.address} was wrong" in ran.err
    assert truth().output.decode() in ran.out and "FINALIZED" in ran.out


def test_request__text__is_the_prompts_tokens(scene: Scene) -> None:
    chain = ("--rpc", scene.arena.chain.url, "--oracle", scene.arena.client.oracle, "--dev-account", 1)
    arguments = ("0x" + scene.arena.model.model_id.hex(), "--text", "One day", "--max-tokens", 3)
    model = ("--model", scene.directory)
    planned = scene.oracle("request", *arguments, *model, *chain, "--dry-run", "--json").json
    tokens = np.frombuffer(bytes.fromhex(planned["input"][2:]), "<i4").tolist()
    said = b"".join(stories(weights=8).vocabulary.pieces[token] for token in tokens[2:])
    assert (tokens[0], tokens[1], said) == (3, START, b" One day")
    asked = scene.oracle("request", *arguments, *model, *chain, "--json").json
    assert asked["request_id"] == planned["request_id"]
    both = (*arguments, *model, "--input", FILES["f32"])
    for wrong, code in ((arguments, 2), ((*arguments[:1], *arguments[3:], *model), 2), (both, 1)):
        assert scene.oracle("request", *wrong, *chain).code == code


def test_ask__answer_that_is_no_text__shows_what_can_be_shown(quiet: Scene) -> None:
    async def answer() -> None:
        output = b"\xff\x1b[2JOnce \xe2\x82"
        await quiet.arena.claim(await quiet.asked(), Answer(output, truth().witness, True, 0.0, 0))

    answering = quiet.background.start(answer())
    ran = quiet.ask("", "--max-tokens", TOKENS, as_json=False)
    answering.result(10)
    assert ran.code == 0, ran.err
    assert "��[2JOnce �" in ran.out and "\x1b" not in ran.out
    assert "no UTF-8 text" in ran.err and "\x1b" not in ran.err


def test_ask__nobody_answers_in_time__says_so_in_one_line(quiet: Scene) -> None:
    async def let_it_pass() -> None:
        await quiet.asked()
        await quiet.arena.chain.advance(DEV_LIMITS.request_lifetime + 1)

    passing = quiet.background.start(let_it_pass())
    ran = quiet.ask("", "--max-tokens", TOKENS)
    passing.result(10)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "nobody answered request 0x" in ran.err


def test_ask__interrupted__says_what_stays(quiet: Scene) -> None:
    async def interrupt() -> bytes:
        request_id = await quiet.asked()
        await asyncio.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        return request_id

    interrupting = quiet.background.start(interrupt())
    ran = quiet.ask("", "--max-tokens", TOKENS)
    request_id = interrupting.result(10)
    assert (ran.code, ran.err.count("\n")) == (EXIT_INTERRUPTED, 1)
    assert f"interrupted; request 0x{request_id.hex()} stays asked" in ran.err
