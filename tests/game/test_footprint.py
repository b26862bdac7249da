"""Footprints against the reference: an element depends on what it is said to read, and on nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle_node.executors import reference
from oracle_node.game.footprint import chunks_read, elements_read
from oracle_node.tape.instruction import Opcode
from tests.game.toy import LONGEST, right_claim, toy_tape

INSTRUCTIONS = range(len(toy_tape().instructions))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(INSTRUCTIONS), st.sampled_from([1, 40, LONGEST]), st.data())
def test_elements_read__by_any_element__are_all_it_depends_on(
    index: int, n: int, data: st.DataObject
) -> None:
    toy = right_claim(n)
    instruction = toy_tape().instructions[index]
    operands = [operand.reshape(-1) for operand in toy.knowledge.operands(index)]
    element = data.draw(st.integers(0, instruction.count(toy.symbols) - 1))
    wanted = reference.evaluate(instruction, toy.symbols, operands, np.asarray([element]))
    for fill in (0, 1):
        poisoned = []
        for operand, reads in zip(
            operands, elements_read(instruction, toy.symbols, operands, element), strict=True
        ):
            poisoned.append(np.full_like(operand, fill))
            poisoned[-1][reads] = operand[reads]
        assert reference.evaluate(instruction, toy.symbols, poisoned, np.asarray([element])) == wanted


@pytest.mark.parametrize("index", INSTRUCTIONS)
def test_chunks_read__by_one_element__ascend_and_stay_within_the_step_bound(index: int) -> None:
    toy = right_claim(LONGEST)
    instruction = toy_tape().instructions[index]
    for element in range(0, instruction.count(toy.symbols), 97):
        opened = chunks_read(instruction, toy.symbols, toy.knowledge.operands(index), element)
        assert list(opened) == sorted({operand.ref for operand in instruction.operands})
        assert all(positions == sorted(set(positions)) for positions in opened.values())
        assert sum(map(len, opened.values())) * 1024 <= toy_tape().step_bound


def test_chunks_read__of_a_tensor_read_through_two_views__are_opened_together() -> None:
    toy = right_claim(LONGEST)
    index = next(i for i in INSTRUCTIONS if toy_tape().instructions[i].opcode is Opcode.CONCAT)
    instruction = toy_tape().instructions[index]
    refs = [operand.ref for operand in instruction.operands]
    assert refs[0] == refs[1] != refs[2]
    operands = toy.knowledge.operands(index)
    assert chunks_read(instruction, toy.symbols, operands, LONGEST - 1) == {refs[0]: [4], refs[2]: []}
    assert chunks_read(instruction, toy.symbols, operands, LONGEST) == {refs[0]: [0], refs[2]: []}
    assert chunks_read(instruction, toy.symbols, operands, LONGEST + 1) == {refs[0]: [], refs[2]: [0]}
