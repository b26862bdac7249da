"""A snapshot as JSON: requests, their claims, and the challenges against them with their clocks."""

import json
from typing import Any

from oracle_node.chain.types import Turn
from oracle_node.game.state import ChallengeState
from oracle_node.node.snapshot import ClaimFacts, RequestFacts, Snapshot, Standing


def status_of(snapshot: Snapshot | None) -> dict[str, Any]:
    """JSON values; only `synced: false` before the first snapshot. Wei are strings: too large for JSON.

    Times are unix seconds of the chain's clock, at whose head everything is.
    """
    if snapshot is None:
        return {"synced": False}
    return {
        "synced": True,
        "head": {"number": snapshot.head.number, "time": snapshot.now},
        "balance_wei": str(snapshot.balance_wei),
        "at_risk_wei": str(snapshot.at_risk_wei),
        "requests": [_request(request, snapshot) for request in snapshot.requests.values()],
    }


def _request(request: RequestFacts, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "request_id": _hex(request.request_id),
        "model_id": _hex(request.listing.model_id),
        "status": request.view.status.name,
        "requester": request.view.requester,
        "fee_wei": str(request.view.fee),
        "deadline": request.view.deadline,
        "input_bytes": len(request.input),
        "delivered": request.view.delivered,
        "claims": [_claim(claim, snapshot) for claim in snapshot.claims_of(request.request_id)],
    }


def _claim(claim: ClaimFacts, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "claim_id": _hex(claim.claim_id),
        "claimant": claim.view.claimant,
        "ours": claim.view.claimant == snapshot.me,
        "status": claim.view.status.name,
        "window_end": claim.view.window_end,
        "final_at": claim.final_at,
        "output_bytes": len(claim.output),
        "environment": None if claim.environment is None else json.loads(claim.environment),
        "challenges": [
            _challenge(challenge, claim.standings.get(challenge.key), snapshot)
            for challenge in claim.challenges
        ],
    }


def _challenge(challenge: ChallengeState, standing: Standing | None, snapshot: Snapshot) -> dict[str, Any]:
    standing = standing or Standing(Turn.NOBODY, 0)
    return {
        "challenger": challenge.key.challenger,
        "nonce": challenge.key.nonce,
        "ours": challenge.key.challenger == snapshot.me,
        "status": challenge.status.name,
        "turn": standing.turn.name,
        "limit": standing.limit or None,
        "picks": [
            {"instruction": instruction, "height": height, "position": position}
            for instruction, height, position in standing.picks
        ],
        "challenger_left_s": challenge.challenger_left,
        "defender_left_s": challenge.defender_left,
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
