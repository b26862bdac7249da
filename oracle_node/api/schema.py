"""What the HTTP API answers, as types: the OpenAPI document is made of them, tests hold the answers against them."""

from enum import IntEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from oracle_node.chain.types import ChallengeStatus, ClaimStatus, RequestStatus, Turn

Id = Annotated[str, Field(pattern="^0x[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern="^0x[0-9a-fA-F]{40}$")]
Wei = Annotated[str, Field(pattern="^[0-9]+$", description="wei, in decimal digits: too large for JSON")]
Time = Annotated[int, Field(description="unix seconds of the chain's clock")]


def _one_of(names: type[IntEnum]) -> str:
    return f"^({'|'.join(name.name for name in names)})$"


RequestName = Annotated[str, Field(pattern=_one_of(RequestStatus))]
ClaimName = Annotated[str, Field(pattern=_one_of(ClaimStatus))]
ChallengeName = Annotated[str, Field(pattern=_one_of(ChallengeStatus))]
TurnName = Annotated[str, Field(pattern=_one_of(Turn))]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Pick(_Answer):
    """A node on the way down: in the trace (no instruction), or in an instruction's tensor."""

    instruction: int | None
    height: int
    position: int


class Challenge(_Answer):
    """A challenge of a claim."""

    challenger: Address
    nonce: int
    ours: bool
    status: ChallengeName
    turn: TurnName
    limit: Time | None = Field(
        description="last second for the move that is due; null where nobody is on turn"
    )
    picks: list[Pick]
    challenger_left_s: int
    defender_left_s: int


class Claim(_Answer):
    """A claim of a request."""

    claim_id: Id
    claimant: Address
    ours: bool
    status: ClaimName
    window_end: Time
    final_at: Time = Field(
        description="first second at which it can be finalized if nobody moves; 0 for never"
    )
    output_bytes: int
    environment: dict[str, Any] | None = Field(
        description="what computed it: versions, CPU and threads; null where it is not ours or not known"
    )
    challenges: list[Challenge]


class Request(_Answer):
    """A request to one of the node's models that is not over."""

    request_id: Id
    model_id: Id
    status: RequestName
    requester: Address
    fee_wei: Wei
    deadline: Time
    input_bytes: int
    delivered: bool
    claims: list[Claim]


class Head(_Answer):
    """The block that everything is of."""

    number: int
    time: Time


class Status(_Answer):
    """What the node knows; without head, money and requests before it has read the chain."""

    address: Address
    oracle: Address
    chain_id: int
    models: list[Id]
    roles: list[str]
    synced: bool
    head: Head | None = None
    balance_wei: Wei | None = None
    at_risk_wei: Wei | None = Field(None, description="bonds of the node that are not decided")
    requests: list[Request] | None = None


class Health(_Answer):
    """Whether every loop of the node gets on."""

    healthy: bool
    stalled: list[str] = Field(description="loops that were silent for longer than api.stall_after_s")
    silent_for_s: dict[str, float]


_TOKEN = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "query": {"type": "apiKey", "in": "query", "name": "token"},
}


def openapi(version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes."""
    schemas: dict[str, Any] = {}
    for answer in (Status, Health):
        made = answer.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= made.pop("$defs", {})
        schemas[answer.__name__] = made
    text = {"schema": {"type": "string"}}
    paths = {
        "/": _get("The page for people", {"200": ("the page", {"text/html": text})}),
        "/status": _get("Requests, claims and disputes", {"200": ("now", _json("Status"))}),
        "/metrics": _get("Figures for Prometheus", {"200": ("all families", {"text/plain": text})}),
        "/health": _get(
            "Does every loop get on?",
            {"200": ("yes", _json("Health")), "503": ("no", _json("Health"))},
            is_open=True,
        ),
        "/openapi.json": _get(
            "This document", {"200": ("it", {"application/json": {"schema": {"type": "object"}}})}
        ),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "oracle-node", "version": version, "description": "Read-only view of one node."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _TOKEN},
    }


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _get(
    summary: str, answers: dict[str, tuple[str, dict[str, Any]]], *, is_open: bool = False
) -> dict[str, Any]:
    responses: dict[str, Any] = {
        code: {"description": text, "content": content} for code, (text, content) in answers.items()
    }
    security: list[dict[str, list[str]]] = [] if is_open else [{}, {"bearer": []}, {"query": []}]
    if not is_open:
        responses["401"] = {"description": "the node has a token, and it was not given"}
        responses["429"] = {"description": "too many requests"}
    return {"get": {"summary": summary, "responses": responses, "security": security}}
