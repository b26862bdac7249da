"""Knowledge: what is recomputed, kept, doubted; and judging claims."""

from collections.abc import Collection, Sequence

import numpy as np
import pytest

from oracle_node.commitments.merkle import fold
from oracle_node.commitments.tensor import TensorTree
from oracle_node.errors import DeterminismError
from oracle_node.game.geometry import Place
from oracle_node.game.judge import judge
from oracle_node.game.knowledge import Knowledge
from oracle_node.tape.affine import Symbols
from tests.game.toy import LONGEST, Recorded, Toy, about, right_claim, toy_tape


class Counting(Recorded):
    """Notes what is asked for."""

    def __init__(self, tensors: Sequence[np.ndarray]) -> None:
        super().__init__(tensors)
        self.asked: list[set[int]] = []

    def run(
        self, symbols: Symbols, sources: Sequence[np.ndarray], wanted: Collection[int]
    ) -> dict[int, np.ndarray]:
        self.asked.append(set(wanted))
        return super().run(symbols, sources, wanted)


def counting(toy: Toy, cache_bytes: int = 1 << 20) -> tuple[Knowledge, Counting]:
    executor = Counting([tensor for _, tensor in toy.knowledge.executor.stream(toy.symbols, toy.sources)])
    return Knowledge(toy_tape(), executor, toy.symbols, toy.sources, cache_bytes=cache_bytes), executor


def test_node__at_every_place__folds_from_its_children() -> None:
    knowledge = right_claim(LONGEST).knowledge
    top = knowledge.trace.tree.depth
    assert (
        fold(knowledge.children(Place(None, top, 0)))
        == knowledge.node(Place(None, top, 0))
        == knowledge.trace.root
    )
    for index in range(len(toy_tape().instructions)):
        tree = knowledge.tree(index)
        assert knowledge.node(Place(index, tree.depth, 0)) == knowledge.trace.roots[index]
        if tree.depth:
            assert fold(knowledge.children(Place(index, tree.depth, 0))) == tree.tree.root
        for level in (4, 8):
            for position in range(1 << max(0, tree.depth - level) if tree.depth > level else 0):
                place = Place(index, level, position)
                assert fold(knowledge.children(place)) == knowledge.node(place)


def test_tensors__asked_again__come_from_the_cache_until_it_is_full() -> None:
    toy = right_claim(LONGEST)
    knowledge, executor = counting(toy, cache_bytes=20_000)
    knowledge.tensors([0, 4])
    knowledge.tensors([4])
    assert executor.asked == [{0, 4}]
    knowledge.tensors([5])
    knowledge.tensors([4, 5])
    assert executor.asked == [{0, 4}, {5}, {4}]


def test_tensors__when_the_cache_is_full__drop_what_was_used_longest_ago() -> None:
    toy = right_claim(LONGEST)
    a, b, c = (toy.knowledge.byte_length(index) for index in (4, 5, 6))
    knowledge, executor = counting(toy, cache_bytes=a + max(b, c))
    for index in (4, 5, 4, 6, 4):
        knowledge.tensors([index])
    assert executor.asked.count({4}) == 1


def test_operands__of_an_instruction__are_asked_for_in_one_run() -> None:
    toy = right_claim(40)
    knowledge, executor = counting(toy)
    index = next(i for i, s in enumerate(toy_tape().instructions) if len({o.ref for o in s.operands}) == 3)
    knowledge.operands(index)
    assert len(executor.asked) == 1


def test_known_trace__saves_the_run() -> None:
    toy = right_claim(40)
    knowledge = Knowledge(toy_tape(), Recorded([]), toy.symbols, toy.sources, known=toy.knowledge.trace)
    assert knowledge.node(Place(None, 5, 0)) == toy.knowledge.trace.root


def test_tree__of_an_executor_that_changes_its_mind__is_a_determinism_error() -> None:
    toy = right_claim(40)
    knowledge, executor = counting(toy)
    knowledge.run()
    executor.tensors[4] = executor.tensors[4] + 1
    with pytest.raises(DeterminismError, match=r"tensor 4 was [0-9a-f]{64} in the trace"):
        knowledge.tree(4)


@pytest.mark.parametrize("index", range(len(toy_tape().instructions)))
def test_require_sound__of_a_wrong_fast_path__names_the_element(index: int) -> None:
    toy = right_claim(LONGEST)
    knowledge, executor = counting(toy)
    last = len(TensorTree(executor.tensors[index]).data) - 1
    knowledge.require_sound(index, last // 1024)
    wrong = executor.tensors[index].copy()
    wrong.reshape(-1).view(np.uint8)[last] ^= 64
    executor.tensors[index] = wrong
    doubtful, _ = counting(toy)
    doubtful.executor = executor
    element = wrong.size - 1
    with pytest.raises(DeterminismError, match=f"element {element} of tensor {index} "):
        doubtful.require_sound(index, last // 1024)


def test_judge__of_the_tapes_own_answer__is_right_without_a_trace() -> None:
    toy = right_claim(40)
    knowledge, executor = counting(toy)
    assert judge(knowledge).is_right
    assert len(executor.asked) == 1


@pytest.mark.parametrize(("source", "name"), [(1, "output"), (2, "witness")])
def test_judge__of_another_answer__says_where_it_differs(source: int, name: str) -> None:
    sources = list(right_claim(40).sources)
    sources[source] = sources[source].copy()
    sources[source][7] ^= 1
    verdict = judge(about((sources[0], sources[1], sources[2])).knowledge)
    byte = 7 * sources[source].itemsize
    assert not verdict.is_right and verdict.reason.startswith(f"{name} differs at byte {byte}: ")


def test_judge__of_an_answer_of_another_length__is_wrong_at_its_end() -> None:
    request, output, witness = right_claim(40).sources
    verdict = judge(about((request, output[:-1], witness)).knowledge)
    assert "output differs at byte 156: nothing (of 156 bytes) claimed" in verdict.reason


def test_judge__of_a_request_that_is_not_ok__is_wrong_whatever_the_answer() -> None:
    request, output, witness = right_claim(40).sources
    request = request.copy()
    request[0] = 99
    first = about((request, output, witness)).knowledge
    answers = first.tensors([toy_tape().output, toy_tape().witness or 0])
    claim = about((request, answers[toy_tape().output], answers[toy_tape().witness or 0]))
    assert judge(claim.knowledge).reason.startswith("ok differs at byte 0: 01")


def test_judge__with_an_executor_that_errs__abstains() -> None:
    toy = right_claim(40)
    knowledge, executor = counting(toy)
    executor.tensors[toy_tape().output] = executor.tensors[toy_tape().output] ^ 1
    with pytest.raises(DeterminismError, match="abstaining"):
        judge(knowledge)
