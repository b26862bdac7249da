"""The check that LLVM's code is exact on this machine: every scalar operation beside numpy's, to the bit."""

from itertools import accumulate

import numpy as np

from oracle_node.executors.loops.compiler import Function, address
from oracle_node.executors.loops.loop import Access, Loop
from oracle_node.executors.scalar import run_program
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import SIGNATURES, Op, Program, ScalarOp

_FLOATS = [
    0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-45, -3e-42, 1.1754942e-38, 0.1, -1 / 3, 3.25, -7.75, 8388609.5, 16777217.0,
    -1e9, 2147483648.0, 3e9, 1e18, -9.3e18, 1e19, 6e37,
]  # fmt: skip
_SMALL = [0, 1, -1, 2, -7, 31, 32, 63, 64, -126, 127, 128, -200, 32767, -46340]
_LARGE = [
    *_SMALL,
    -(1 << 24) - 1,
    (1 << 31) - 1,
    1 << 31,
    -(1 << 32),
    (1 << 53) + 1,
    (1 << 62) + 12345,
    -(1 << 63),
]


def wrong_operations() -> list[str]:
    """Names of the operations that give another bit for any combination of edges."""
    operations = [op for op in Op if SIGNATURES[op].arguments]
    cases = [_Case(op, np.array(edges, np.int64)) for edges in (_SMALL, _LARGE) for op in operations]
    buffers = [buffer for case in cases for buffer in case.buffers]
    starts = accumulate((len(case.buffers) for case in cases), initial=0)
    Function([case.loop(start) for case, start in zip(cases, starts, strict=False)])(
        [address(buffer) for buffer in buffers]
    )
    return sorted({case.op.name for case in cases if not case.is_exact()})


class _Case:
    """One operation on all combinations of edges. Where the numbers are small, so is the width of the registers."""

    def __init__(self, op: Op, integers: np.ndarray) -> None:
        self.op, self._kinds = op, SIGNATURES[op].arguments
        self._program = Program((ScalarOp(op, tuple(range(len(self._kinds)))),))
        edges = {"int": integers, "float": np.array(_FLOATS, np.float32)}
        operands = [edges[kind] for kind in self._kinds]
        self._expected = run_program(self._program, np.ix_(*operands))
        self._intervals = [Interval(o.min().item(), o.max().item()) for o in (*operands, self._expected)]
        self.buffers = [*operands, np.empty_like(self._expected)]

    def loop(self, start: int) -> Loop:
        """The loop, its buffers from `start` on."""
        shape, rank = self._expected.shape, self._expected.ndim
        along = [tuple(int(axis == operand) for axis in range(rank)) for operand in range(rank)]
        row_major = tuple(self._expected.strides[axis] // self._expected.itemsize for axis in range(rank))
        kinds = (*self._kinds, SIGNATURES[self.op].result)
        *reads, write = (
            Access(start + i, array.dtype, kind, 0, strides)
            for i, (array, kind, strides) in enumerate(
                zip(self.buffers, kinds, [*along, row_major], strict=True)
            )
        )
        return Loop(self._program, tuple(self._intervals), shape, tuple(reads), write)

    def is_exact(self) -> bool:
        """Whether the results are numpy's, where those are finite: nothing else reaches an operation."""
        found, finite = self.buffers[-1], np.isfinite(self._expected)
        return found[finite].tobytes() == self._expected[finite].tobytes()
