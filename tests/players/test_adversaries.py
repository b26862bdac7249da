"""Liars off chain: what their traces hold, and that random pickers stay inside the rules."""

import numpy as np
import pytest

from oracle_node.executors import reference
from oracle_node.game.geometry import children_count
from oracle_node.game.moves import Open, Pick
from oracle_node.game.state import (
    NO_INDEX,
    ChallengeKey,
    ChallengeState,
    ChallengeStatus,
    ClaimState,
    ClaimStatus,
    NodeKey,
    Record,
)
from oracle_node.game.strategy import Player
from oracle_node.players.actors import knowledge_of
from oracle_node.players.adversaries import Lie, LyingExecutor, RandomPicker, claim_baldly, tell_lies
from tests.e2e.arena import toy, toy_answer, toy_input

ME = "0x" + "aa" * 20


def wrong_instructions(output: bytes, lie: Lie) -> list[int]:
    """Instructions whose tensor in the lying trace does not follow from the operands in the same trace."""
    model = toy().model
    sources = model.sources(toy_input(), output)
    symbols = model.symbols(sources)
    trace = dict(LyingExecutor(model.tape, toy().executor, [lie]).stream(symbols, sources))
    wrong = []
    for index, instruction in enumerate(model.tape.instructions):
        operands = reference.operand_tensors(model.tape, instruction, sources, trace)
        if not np.array_equal(reference.evaluate_all(instruction, symbols, operands), trace[index]):
            wrong.append(index)
    return wrong


@pytest.mark.parametrize("tensor", [0, 3, 7, 9])
def test_lying_executor__carried_lie__one_instruction_is_wrong(tensor: int) -> None:
    assert wrong_instructions(toy_answer().output, Lie(tensor, 2)) == [tensor]


def test_lying_executor__lie_not_carried__its_readers_are_wrong_too() -> None:
    assert wrong_instructions(toy_answer().output, Lie(9, 2, carried=False)) == [9, 10]


def test_tell_lies__lie_without_effect__is_a_true_claim() -> None:
    truth = toy_answer()
    model = toy().model
    lowest_bit_of_an_input = Lie(0, 5)
    told = tell_lies(
        model, toy().executor, toy_input(), truth.output, truth.witness, [lowest_bit_of_an_input]
    )
    assert told.output == truth.output


def test_claim_baldly__any_bytes__trace_ends_in_them() -> None:
    model = toy().model
    lying = claim_baldly(model, toy().executor, toy_input(), bytes(24))
    assert lying.knowledge.tensors([model.tape.output])[model.tape.output].tobytes() == bytes(24)
    assert lying.knowledge.tensors([model.tape.ok])[model.tape.ok].tolist() == [1]


@pytest.mark.parametrize("seed", range(20))
def test_random_picker__revealed_trace__picks_an_instruction_that_exists(seed: int) -> None:
    knowledge = knowledge_of(toy().model, toy().executor, toy_input(), toy_answer().output)
    picker = RandomPicker(knowledge, Player(ME), seed)
    root = knowledge.trace.root
    levels = knowledge.trace.tree.depth
    assert levels <= 4, "one reveal opens the toy's trace"
    children = knowledge.trace.tree
    record = Record(5, tuple(children.node(0, i) for i in range(children_count(levels))))
    claim = ClaimState(
        b"c" * 32,
        "0x" + "bb" * 20,
        ClaimStatus.PROPOSED,
        100,
        1,
        root,
        {NodeKey(root, (1 << 64) - 1, 1 << levels): record},
    )
    assert isinstance(picker.moves(claim, [], 6)[0].move, Open)
    challenge = ChallengeState(
        ChallengeKey(b"c" * 32, ME, 0), ChallengeStatus.ACTIVE, 4, 50, 50, instruction=NO_INDEX
    )
    move = picker.moves(claim, [challenge], 6)[0].move
    assert isinstance(move, Pick)
    assert move.steps[0].index < len(toy().model.tape.instructions)
    assert move.naming.instruction
