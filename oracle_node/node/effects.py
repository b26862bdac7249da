"""Doing a duty: running models and sending transactions. Nothing is decided here."""

import asyncio
import secrets
from collections.abc import Sequence

import structlog

from oracle_node.chain.actions import commitment_of
from oracle_node.chain.client import OracleClient
from oracle_node.chain.journal import Call
from oracle_node.chain.transactions import Receipt, Sender
from oracle_node.chain.types import ClaimId, RequestId
from oracle_node.errors import ConfigError
from oracle_node.game.moves import Due, Timeout
from oracle_node.game.strategy import Player
from oracle_node.model.model import RequestRefusedError
from oracle_node.node.duties import (
    Challenge,
    Claim,
    Close,
    Defend,
    Deliver,
    DeliverEarly,
    Duty,
    Finalize,
    Forfeit,
    Judge,
    Leave,
    Retract,
    RevealClaim,
    Solve,
    Transaction,
    Withdraw,
)
from oracle_node.node.inference import Inference
from oracle_node.node.metrics import Metrics
from oracle_node.node.snapshot import ClaimFacts, Decline, Memory, Snapshot
from oracle_node.players.submission import call_of
from oracle_node.store.store import Store, StoredAnswer
from oracle_node.workers import tasks
from oracle_node.workers.bench import Content

_CLAIM_NONCE = 0
_ANYONES = (Finalize, Forfeit, DeliverEarly, Retract, Close)
"""What anyone may send, and nobody is paid for."""
log = structlog.get_logger()


class Effects:
    """The hands of one node. `perform` returns the highest block that its transactions were mined in, or 0."""

    def __init__(
        self,
        client: OracleClient,
        sender: Sender,
        store: Store,
        inference: Inference,
        metrics: Metrics,
        environment: str | None = None,
        helpers: Sequence[Sender] = (),
    ) -> None:
        """`environment` (JSON) is stored with every answer, for the record; `helpers` send what anyone may."""
        self._client, self._sender, self._store = client, sender, store
        self._inference, self._metrics, self._environment = inference, metrics, environment
        self._helpers, self._player = helpers, Player(sender.address)
        self._answers: dict[RequestId, StoredAnswer | None] = {}
        """Of the open requests, as the store has them."""
        self._refused: set[RequestId] = set()
        self._verdicts: dict[ClaimId, bool] = {}
        self._abandoned: set[ClaimId] = set()
        self._declined: dict[RequestId | ClaimId, Decline] = {}

    def memory(self, snapshot: Snapshot) -> Memory:
        """What decisions need beyond the snapshot."""
        known = self._answers
        self._answers = {r: known[r] if r in known else self._store.answer(r) for r in snapshot.requests}
        answers = {r: (kept.output, kept.witness) for r, kept in self._answers.items() if kept is not None}
        refused, abandoned = frozenset(self._refused), frozenset(self._abandoned)
        return Memory(answers, refused, dict(self._verdicts), abandoned, dict(self._declined))

    def abandon(self, claim_id: ClaimId) -> None:
        """Do nothing more about a claim."""
        self._abandoned.add(claim_id)

    async def perform(self, duty: Duty, snapshot: Snapshot) -> int:
        """Do it. Errors as their kinds say: see `errors`."""
        match duty:
            case Solve(request_id):
                await self._solve(request_id, snapshot)
                return 0
            case Judge(claim_id):
                await self._judge(snapshot.claims[claim_id], snapshot)
                return 0
            case Leave(subject, reason):
                self._leave(subject, reason, snapshot)
                return 0
            case Defend(claim_id) | Challenge(claim_id):
                return await self._play(duty, snapshot.claims[claim_id], snapshot)
            case transaction:
                call = self._call(transaction, snapshot)
                send = self._send_as_anyone if isinstance(transaction, _ANYONES) else self._send
                return (await send(call, _deadline(transaction, snapshot))).block_number

    def _leave(self, subject: RequestId | ClaimId, reason: Decline, snapshot: Snapshot) -> None:
        self._declined[subject] = reason
        log.warning(
            "left_alone",
            subject="0x" + subject.hex(),
            reason=reason.value,
            wallet_wei=snapshot.wallet_wei,
            gas_price_wei=snapshot.gas_price_wei,
        )

    async def _send_as_anyone(self, call: Call, deadline: int | None) -> Receipt:
        """By the helper with the least to do; by the node's own key where none can pay."""
        for helper in sorted(self._helpers, key=lambda sender: sender.in_flight):
            try:
                return await self._send(call, deadline, helper)
            except ConfigError as error:
                log.warning("helper_cannot_pay", helper=helper.address, reason=str(error))
        return await self._send(call, deadline)

    async def _send(self, call: Call, deadline: int | None, sender: Sender | None = None) -> Receipt:
        receipt = await (sender or self._sender).send(call, deadline)
        self._metrics.paid(receipt.gas_used, receipt.fee_wei)
        log.info(
            "transaction_mined",
            call=call.label,
            hash="0x" + receipt.transaction_hash.hex(),
            block=receipt.block_number,
            gas_used=receipt.gas_used,
        )
        return receipt

    def _call(self, duty: Transaction, snapshot: Snapshot) -> Call:
        calls = self._client.calls
        match duty:
            case Claim(request_id):
                return self._claim_call(request_id, snapshot)
            case RevealClaim(claim_id):
                answer = self._answer(snapshot.claims[claim_id].view.request_id)
                return calls.reveal_claim(claim_id, answer.salt, answer.output, answer.witness)
            case Finalize(claim_id):
                return calls.finalize(claim_id)
            case Forfeit(claim_id):
                return calls.forfeit(claim_id)
            case Deliver(request_id):
                request = snapshot.requests[request_id]
                return calls.deliver(
                    request_id, snapshot.claims[request.view.answer].output, request.callback_data
                )
            case DeliverEarly(claim_id):
                claim = snapshot.claims[claim_id]
                callback_data = snapshot.requests[claim.view.request_id].callback_data
                return calls.deliver_provisional(claim_id, claim.output, callback_data)
            case Retract(request_id):
                return calls.retract(request_id, snapshot.requests[request_id].callback_data)
            case Close(key):
                return calls.close(key)
            case Withdraw(to):
                return calls.withdraw(to, snapshot.balance_wei)

    def _claim_call(self, request_id: RequestId, snapshot: Snapshot) -> Call:
        policy = snapshot.requests[request_id].listing.policy
        answer = self._answer(request_id)
        content = (answer.output, answer.witness)
        calls, bond = self._client.calls, policy.claim_bond
        if not policy.commit_reveal:
            return calls.propose_claim(request_id, _CLAIM_NONCE, *content, bond)
        commitment = commitment_of(self._client, request_id, self._sender.address, answer.salt, *content)
        return calls.commit_claim(request_id, commitment, _CLAIM_NONCE, bond)

    def _answer(self, request_id: RequestId) -> StoredAnswer:
        answer = self._store.answer(request_id)
        assert answer is not None, "duties that need an answer are only due once it is stored"
        return answer

    async def _solve(self, request_id: RequestId, snapshot: Snapshot) -> None:
        request = snapshot.requests[request_id]
        model_id = request.listing.model_id
        try:
            answer = await self._inference.run(tasks.Solve(model_id, request.input))
        except RequestRefusedError as error:
            self._refused.add(request_id)
            log.warning("request_refused", request_id="0x" + request_id.hex(), reason=str(error))
            return
        self._metrics.solved(answer.seconds)
        salt = secrets.token_bytes(32)
        # SAFETY: before any commitment is sent, for without the salt a committed bond is lost
        content = (answer.output, answer.witness)
        self._store.keep_answer(
            StoredAnswer(request_id, model_id, *content, salt, environment=self._environment)
        )
        self._answers[request_id] = self._store.answer(request_id)
        log.info(
            "request_solved",
            request_id="0x" + request_id.hex(),
            seconds=round(answer.seconds, 3),
            passes=answer.passes,
        )

    async def _judge(self, claim: ClaimFacts, snapshot: Snapshot) -> None:
        try:
            verdict = await self._inference.run(tasks.Judge(_content(claim, snapshot)))
        except RequestRefusedError as error:
            # the contract admits no lengths outside the model's limits, so this claim is none that we understand
            log.warning("claim_not_understood", claim_id="0x" + claim.claim_id.hex(), reason=str(error))
            self.abandon(claim.claim_id)
            return
        self._verdicts[claim.claim_id] = verdict.is_right
        log.info(
            "claim_judged",
            claim_id="0x" + claim.claim_id.hex(),
            is_right=verdict.is_right,
            reason=verdict.reason,
        )

    async def _play(self, side: Defend | Challenge, claim: ClaimFacts, snapshot: Snapshot) -> int:
        request = snapshot.requests[claim.view.request_id]
        role = tasks.Side.DEFENDER if isinstance(side, Defend) else tasks.Side.CHALLENGER
        due: list[Due] = await self._inference.run(
            tasks.Decide(
                role, _content(claim, snapshot), claim.state, claim.challenges, self._player, snapshot.now
            )
        )
        bond = request.listing.policy.challenge_bond
        sending = [self._send(call_of(self._client.calls, d.move, bond), limit_of(d, claim)) for d in due]
        results = await asyncio.gather(*sending, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return max((r.block_number for r in results if not isinstance(r, BaseException)), default=0)


def limit_of(due: Due, claim: ClaimFacts) -> int | None:
    """The last second at which a move is of use, where there is one.

    Time may be called late, but not too late: a claim becomes final over an open challenge in the end, and one that
    should have been convicted takes the challenger's bond with it.
    """
    if isinstance(due.move, Timeout) and claim.final_at:
        return claim.final_at - 1
    return due.limit


def _content(claim: ClaimFacts, snapshot: Snapshot) -> Content:
    request = snapshot.requests[claim.view.request_id]
    return Content(request.listing.model_id, request.input, claim.output, claim.witness)


def _deadline(duty: Transaction, snapshot: Snapshot) -> int | None:
    """The last second at which it is of use, where there is one."""
    match duty:
        case Claim(request_id):
            return snapshot.requests[request_id].view.deadline
        case RevealClaim(claim_id):
            return snapshot.claims[claim_id].view.window_end
        case _:
            return None
