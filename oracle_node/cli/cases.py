"""A disputed claim as the chain tells it, and our own view of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ChallengeOpened, ClaimProposed, Listed, Requested
from oracle_node.chain.types import ChallengeId, ChallengeKey, ClaimId, ClaimView, Listing, ListingId
from oracle_node.errors import ConfigError
from oracle_node.game.judge import Verdict
from oracle_node.game.knowledge import Knowledge
from oracle_node.model.directory import load_model
from oracle_node.model.model import Model
from oracle_node.node.shelf import ShelvedModel, shelve
from oracle_node.players.actors import knowledge_of


@dataclass(frozen=True)
class Case:
    """A claim, what it answers, and under which terms."""

    claim_id: ClaimId
    view: ClaimView
    request: Requested
    proposed: ClaimProposed
    listing: Listing

    def knowledge(self, shelved: ShelvedModel) -> Knowledge:
        """What we hold true of it; traced when first needed."""
        content = (self.request.input, self.proposed.output, self.proposed.witness)
        return knowledge_of(shelved.model, shelved.executor, *content)


async def find_case(client: OracleClient, claim_id: ClaimId, first_block: int) -> Case:
    """ConfigError where there is no such claim, or it is not revealed yet."""
    proposed = await client.past_events(["ClaimProposed"], first_block=first_block, topic=claim_id)
    answer = next((entry.event for entry in proposed if isinstance(entry.event, ClaimProposed)), None)
    if answer is None:
        raise ConfigError(f"there is no revealed claim 0x{claim_id.hex()} since block {first_block}")
    requested = await client.past_events(["Requested"], first_block=first_block, topic=answer.request_id)
    request = next((entry.event for entry in requested if isinstance(entry.event, Requested)), None)
    if request is None:
        raise ConfigError(f"its request is older than block {first_block}: give an earlier --from-block")
    listing = await client.listing(request.listing_id)
    return Case(claim_id, await client.claim(claim_id), request, answer, listing)


async def find_challenge(client: OracleClient, challenge_id: ChallengeId, first_block: int) -> ChallengeKey:
    """The key of a challenge; ConfigError where there is none of that id."""
    opened = await client.past_events(["ChallengeOpened"], first_block=first_block, topic=challenge_id)
    for entry in opened:
        if isinstance(entry.event, ChallengeOpened):
            return ChallengeKey(entry.event.claim_id, entry.event.challenger, entry.event.nonce)
    raise ConfigError(f"there is no challenge 0x{challenge_id.hex()} since block {first_block}")


async def instruction_count(client: OracleClient, listing_id: ListingId, first_block: int) -> int:
    """Instructions of a listed model."""
    for entry in await client.past_events(["Listed"], first_block=first_block, topic=listing_id):
        if isinstance(entry.event, Listed):
            return entry.event.model.instruction_count
    raise ConfigError(f"the listing is older than block {first_block}: give an earlier --from-block")


def shelved_for(case: Case, directories: Sequence[Path]) -> ShelvedModel:
    """The model that a claim is about, verified; ConfigError where none of the directories holds it."""
    held: list[Model] = [load_model(directory) for directory in directories]
    for model in held:
        if model.model_id == case.listing.model_id:
            return shelve(model)
    have = ", ".join(f"0x{model.model_id.hex()}" for model in held) or "none is given"
    raise ConfigError(f"the claim is about model 0x{case.listing.model_id.hex()}; held: {have} (--model DIR)")


def verdict_facts(case: Case, verdict: Verdict) -> dict[str, Any]:
    """A judged claim, as JSON values."""
    return {
        "claim_id": case.claim_id,
        "status": case.view.status.name,
        "right": verdict.is_right,
        "reason": verdict.reason or None,
        "window_end": case.view.window_end,
    }
