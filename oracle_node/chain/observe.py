"""What the chain says of a claim and its challenges, in the words of the game."""

from collections.abc import Iterable

from oracle_node.chain.client import OracleClient
from oracle_node.chain.events import ChunkPosted, Logged, Revealed
from oracle_node.chain.types import ChallengeKey, ChallengeView, ClaimId, ClaimView
from oracle_node.game.state import ChallengeState, ClaimState, NodeKey, Record
from oracle_node.tape.instruction import NO_INDEX


def claim_state(claim_id: ClaimId, view: ClaimView, logged: Iterable[Logged]) -> ClaimState:
    """The game's view of a claim, from the contract's and the claim's own `Revealed` and `ChunkPosted` events."""
    records: dict[NodeKey, Record] = {}
    for entry in logged:
        match entry.event:
            case Revealed(claim, node, tag, children) if claim == claim_id:
                records[NodeKey(node, tag, len(children))] = Record(entry.time, children=children)
            case ChunkPosted(claim, node, tag, chunk) if claim == claim_id:
                records[NodeKey(node, tag, 0)] = Record(entry.time, chunk=chunk)
            case _:
                pass
    return ClaimState(
        claim_id=claim_id,
        claimant=view.claimant,
        status=view.status,
        window_end=view.window_end,
        trace_time=view.trace_time,
        trace_root=view.trace_root if view.trace_time else None,
        records=records,
    )


def challenge_state(key: ChallengeKey, view: ChallengeView) -> ChallengeState:
    """The game's view of a challenge."""
    picked = view.steps > 0
    return ChallengeState(
        key=key,
        status=view.status,
        since=view.since,
        challenger_left=view.challenger_left,
        defender_left=view.defender_left,
        node=view.node if picked else None,
        instruction=view.instruction if picked else NO_INDEX,
        position=view.position,
        height=view.height if picked else 0,
        byte_length=view.byte_length,
    )


async def observe_claim(client: OracleClient, claim_id: ClaimId, first_block: int = 0) -> ClaimState:
    """The claim as it stands now, read from the chain alone."""
    view = await client.claim(claim_id)
    logged = await client.past_events(["Revealed", "ChunkPosted"], first_block=first_block, topic=claim_id)
    return claim_state(claim_id, view, logged)


async def observe_challenge(client: OracleClient, key: ChallengeKey) -> ChallengeState:
    """The challenge as it stands now."""
    return challenge_state(key, await client.challenge(key))
