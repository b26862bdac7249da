"""What `tape.causality` says of random tapes, run: where two claims agree, so do the elements it calls the same."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from oracle_node.errors import AdmissionError
from oracle_node.executors import reference
from oracle_node.tape.affine import Affine, Symbols
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.causality import Dependence
from oracle_node.tape.expression import Scalar
from oracle_node.tape.instruction import Inequality, Reducer, Source, Tape
from oracle_node.tape.types import DType, SourceKind
from oracle_node.tape.view import View

P, M, W = (Affine.symbol(kind) for kind in SourceKind)
LIMITS = (3, 3, 5)
TAPES, PAIRS = 40, 4
REFUSED = (AdmissionError, ValueError, TypeError, IndexError, ZeroDivisionError)
FILLS = (0, 0, -(10**6), 10**6, -3, 1)


class Grower:
    """Grows a tape of masks, reductions, gathers and odd views; what is not admitted is tried otherwise."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        rules = [[], [Inequality((1, 0, 1), 6)], [Inequality((-1, 0, 1), 1), Inequality((1, 0, -1), 1)]]
        self.b = b = TapeBuilder(
            Source(DType.I32, 1, LIMITS[0]), Source(DType.U8, 0, LIMITS[1]), Source(DType.I32, 1, LIMITS[2]),
            inequalities=self.one(rules), step_bound=1 << 20,
        )  # fmt: skip
        self.counting = b.const(np.arange(16, dtype=np.int32))
        claimed = b.input(SourceKind.WITNESS, (W,), -3, 3)
        prompt = b.input(SourceKind.REQUEST, (P,), -3, 3)
        tokens = b.concat([prompt, claimed.slice(0, 0, W - 1)], 0)
        table = b.const(rng.integers(-3, 4, (4, 3)).astype(np.int8))
        self.tensors = [claimed, tokens, b.gather(self.one([claimed, tokens]), table)]

    def one(self, choices: Sequence):  # type: ignore[no-untyped-def,type-arg]
        return choices[int(self.rng.integers(len(choices)))]

    def view(self, depth: int = 2) -> View:
        view = self.one(self.tensors[-3:]) if self.rng.random() < 0.7 else self.one(self.tensors)
        for _ in range(int(self.rng.integers(depth + 1))):
            axis = int(self.rng.integers(max(view.rank, 1)))
            match int(self.rng.integers(5)):
                case 0:
                    start, cut = self.one([0, 0, 1, 2, P, P - 1]), self.one([0, 0, 1, P])
                    view = view.slice(axis, start, view.shape[axis] - start - cut)
                case 1:
                    view = view.slice(axis, view.shape[axis] - 1, view.shape[axis], -1)
                case 2:
                    view = view.transpose(*map(int, self.rng.permutation(view.rank)))
                case 3 if view.rank < 3:
                    view = view.unsqueeze(axis)
                case _:
                    strides = [*View.whole(0, view.dtype, view.tensor_shape).strides, Affine(0), Affine(1)]
                    chosen = [self.one(strides) * self.one([1, 1, 1, -1, 2]) for _ in range(2)]
                    shape = (self.one([W, W - 1, P, Affine(2)]), self.one([*view.tensor_shape, W]))
                    view = View(
                        view.ref,
                        view.dtype,
                        view.tensor_shape,
                        shape,
                        tuple(chosen),
                        self.one([Affine(0), *strides]),
                    )
        return view

    def masked(self) -> View:
        """where(later ≤ row + margin, a view, a constant), and what scalars make of it: a tensor or a reduction."""
        view = self.view()
        if view.rank < 2:
            view = view.unsqueeze(0).broadcast_to((self.one([W, W - 1, P + W - 1, P]), view.shape[0]))
        row, later = (0, view.rank - 1) if self.rng.random() < 0.8 else (view.rank - 1, 0)
        now, then = self.coordinate(view, row), self.coordinate(view, later)
        fill, shift, strict, after = (
            self.one(FILLS),
            int(self.rng.integers(-1, 2)),
            self.rng.random() < 0.3,
            self.one(range(6)),
        )

        def function(x: Scalar, n: Scalar, t: Scalar) -> Scalar:
            n = n + shift
            value = ((t < n) if strict else (t <= n)).where(x, fill)
            return _after(after, value, x)

        if self.rng.random() < 0.5:
            return self.b.map(function, view, now, then)
        return self.b.reduce(
            self.one([Reducer.SUM, Reducer.MAX, Reducer.MIN, Reducer.ARGMAX]),
            view,
            now,
            then,
            function=function,
        )

    def coordinate(self, view: View, axis: int) -> View:
        line = self.counting.slice(0, self.one([0, 0, 0, 1, P - 1]), view.shape[axis])
        for place in range(view.rank):
            line = line if place == axis else line.unsqueeze(place)
        return line

    def step(self) -> View:
        match int(self.rng.integers(7)):
            case 0 | 1:
                return self.masked()
            case 2 | 3:
                return self.b.reduce(self.one([Reducer.SUM, Reducer.MAX, Reducer.MIN]), self.view())
            case 4:
                return self.b.contract(self.view(), self.view(), 1)
            case 5:
                views = (self.view(), self.view())
                if views[0].dtype is DType.F32:
                    raise TypeError("an index is an integer")
                return self.b.gather(*views) if self.rng.random() < 0.5 else self.b.take(*views)
            case _:
                first, second = self.view(1), self.view(1)
                return (
                    self.b.concat([first, second], 0) if first.dtype is second.dtype else self.b.copy(first)
                )

    def grow(self, steps: int) -> Tape:
        for _ in range(8 * steps):
            try:
                grown = self.step()
            except REFUSED:
                continue
            self.tensors.append(grown)
            if len(self.tensors) == steps:
                break
        return self.b.finish(self.b.copy(self.counting))


def _after(choice: int, value: Scalar, other: Scalar) -> Scalar:
    """The value, or something that may keep its zeros, or may not."""
    match choice:
        case 0:
            return value * other
        case 1:
            return value.minimum(other.maximum(0))
        case 2:
            return value.maximum(other)
        case 3:
            return (value.to_float() * 0.5 / (other.to_float().abs() + 1.0)).abs().sqrt().round()
        case _:
            return value


def lengths_of(tape: Tape) -> Iterator[tuple[int, int, int]]:
    """All that are admitted."""
    for lengths in np.ndindex(*(limit + 1 for limit in LIMITS)):
        try:
            tape.symbols(lengths)  # type: ignore[arg-type]
        except ValueError:
            continue
        yield lengths  # type: ignore[misc]


def require_blank(tensor: np.ndarray, dependence: Dependence, symbols: Symbols) -> None:
    blank = dependence.blank
    if blank is not None and tensor.size:
        at = np.indices(tensor.shape)
        left = tensor[at[blank.later] > at[blank.row] + blank.margin.at(symbols)]
        assert left.tobytes() == np.full(left.shape, blank.value or 0, tensor.dtype).tobytes()


@pytest.mark.parametrize("seed", range(TAPES))
def test_dependence__of_random_tapes__is_what_claims_that_agree_show(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grower = Grower(rng)
    tape = grower.grow(11)
    dependences = grower.b._analysis.causality.results
    admitted = list(lengths_of(tape))
    for _ in range(PAIRS):
        lengths = admitted[rng.integers(len(admitted))]
        others = [other for other in admitted if other[0] == lengths[0]]
        runs, symbols, witnesses = [], [], []
        request = rng.integers(-3, 4, lengths[0]).astype(np.int32)
        drawn = rng.integers(-3, 4, LIMITS[2]).astype(np.int32)
        for claim in (lengths, others[rng.integers(len(others))]):
            kept = int(rng.integers(claim[2] + 1)) if runs else 0
            witness = np.concatenate([drawn[:kept], rng.integers(-3, 4, LIMITS[2] - kept).astype(np.int32)])[
                : claim[2]
            ]
            drawn[: claim[2]] = witness
            witnesses.append(witness)
            symbols.append(tape.symbols(claim))
            text = rng.integers(0, 9, claim[1]).astype(np.uint8)
            runs.append([tensor for _, tensor in reference.run(tape, symbols[-1], [request, text, witness])])
        shared = min(map(len, witnesses))
        differing = np.flatnonzero(witnesses[0][:shared] != witnesses[1][:shared])
        agreed = int(differing[0]) if differing.size else shared
        for index, dependence in enumerate(dependences):
            for run, at in zip(runs, symbols, strict=True):
                require_blank(run[index], dependence, at)
            if dependence.rows is None or dependence.output:
                continue
            if any(symbols[0][source] != symbols[1][source] for source in dependence.lengths):
                continue
            common = tuple(map(min, runs[0][index].shape, runs[1][index].shape))
            same = np.ones(common, bool)
            for axis, bound in dependence.rows:
                reach = max(bound.at(at) for at in symbols)
                same &= np.expand_dims(
                    np.arange(common[axis]) + reach <= agreed, [a for a in range(len(common)) if a != axis]
                )
            first, second = (run[index][tuple(map(slice, common))][same] for run in runs)
            assert first.tobytes() == second.tobytes(), (index, dependence, tape.instructions[index])
