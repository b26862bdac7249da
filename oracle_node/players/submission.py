"""From the game's moves to contract calls."""

from oracle_node.chain.calls import Calls
from oracle_node.chain.journal import Call
from oracle_node.chain.types import ClaimId
from oracle_node.game.moves import Close, Move, Open, Pick, PostChunk, PostTrace, Prove, Reveal, Timeout


def call_of(calls: Calls, move: Move, challenge_bond_wei: int = 0) -> Call:
    """The call that makes a move; the bond goes with `Open` alone."""
    match move:
        case Open(claim_id, nonce):
            return calls.open_challenge(ClaimId(claim_id), nonce, challenge_bond_wei)
        case PostTrace(claim_id, root, output_path, witness_path, ok_path):
            return calls.post_trace(ClaimId(claim_id), root, output_path, witness_path, ok_path)
        case Reveal(claim_id, node, length_tag, children):
            return calls.reveal(ClaimId(claim_id), node, length_tag, children)
        case PostChunk(claim_id, node, length_tag, chunk):
            return calls.post_chunk(ClaimId(claim_id), node, length_tag, chunk)
        case Pick(key, expected_node, steps, naming):
            return calls.pick(key, expected_node, steps, naming)
        case Prove(key, expected_node, proof):
            return calls.prove(key, expected_node, proof)
        case Timeout(key):
            return calls.timeout(key)
        case Close(key):
            return calls.close(key)


def name_of(move: Move) -> str:
    """The contract function's name: what gas reports group by."""
    names: dict[type[Move], str] = {PostTrace: "postTrace", PostChunk: "postChunk"}
    return names.get(type(move), type(move).__name__.lower())
