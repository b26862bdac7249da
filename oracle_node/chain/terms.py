"""Offering a model on chain: its commitment as the contract's struct, and terms above the contract's floors."""

from oracle_node.chain.types import (
    DerivedTerms,
    InequalityTerms,
    Limits,
    ListedModel,
    Policy,
    SourceLimits,
)
from oracle_node.commitments.model import MAX_DERIVED, MAX_INEQUALITIES, VERSION, ModelCommitment
from oracle_node.tape.instruction import NO_INDEX

TRACES_A_CLOCK = 4
"""Trace times that windows and clocks hold on top of their floors (DESIGN §6, rule 6)."""


def listed_model(commitment: ModelCommitment) -> ListedModel:
    """The Solidity struct whose hash is the model id."""
    inequalities = [InequalityTerms(*rule.coefficients, rule.bound) for rule in commitment.inequalities]
    derived = [DerivedTerms(symbol.source, symbol.divisor) for symbol in commitment.derived]
    return ListedModel(
        version=VERSION,
        instruction_count=commitment.instruction_count,
        program_root=commitment.program_root,
        weight_count=commitment.weight_count,
        weights_root=commitment.weights_root,
        output=commitment.output,
        witness=NO_INDEX if commitment.witness is None else commitment.witness,
        ok=commitment.ok,
        sources=tuple(SourceLimits(s.dtype, s.min_elements, s.max_elements) for s in commitment.sources),
        inequalities=tuple(
            inequalities + [InequalityTerms(0, 0, 0, 0)] * (MAX_INEQUALITIES - len(inequalities))
        ),
        derived=tuple(derived + [DerivedTerms(0, 0)] * (MAX_DERIVED - len(derived))),
        step_bound=commitment.step_bound,
        trace_work=commitment.trace_work,
    )


def least_policy(
    limits: Limits, commitment: ModelCommitment, *, min_fee_wei: int = 0, commit_reveal: bool = True
) -> Policy:
    """The shortest times (s) and smallest bonds (wei) that the contract takes for this model."""
    work_s = TRACES_A_CLOCK * commitment.trace_seconds
    return Policy(
        window=limits.min_window + work_s,
        challenger_clock=limits.min_clock + work_s,
        defender_clock=limits.min_clock + work_s,
        reveal_timeout=limits.min_reveal_timeout,
        claim_bond=limits.min_claim_bond,
        challenge_bond=limits.min_challenge_bond,
        min_fee=min_fee_wei,
        commit_reveal=commit_reveal,
    )
