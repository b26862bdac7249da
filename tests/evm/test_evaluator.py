"""The Solidity evaluator against the reference executor, on random admitted tapes and on shapes easily got wrong."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from oracle_node.executors import evm, reference
from oracle_node.executors.evm import ChunkNotOpenedError, EvmEvaluator, MalformedInstructionError, Opening
from oracle_node.tape.affine import Affine
from oracle_node.tape.encoding import encode
from oracle_node.tape.instruction import Instruction, Opcode, Operand, Parts, Reducer, Reduction, Rows
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import DType
from tests.strategies import Case, cases

Array = np.ndarray
NO_SYMBOLS = (0,) * 8
EVALUATOR = EvmEvaluator()


def constant(*values: int) -> tuple[Affine, ...]:
    return tuple(map(Affine, values))


def operand(ref: int, tensor: Array, strides: Sequence[int], offset: int = 0) -> Operand:
    return Operand(ref, DType.of(tensor), constant(*tensor.shape), Affine(offset), constant(*strides))


def openings(instruction: Instruction, tensors: Sequence[Array]) -> list[Opening]:
    """All chunks of all operands."""
    found = {o.ref: t.tobytes() for o, t in zip(instruction.operands, tensors, strict=True)}
    return [Opening.whole(ref, data) for ref, data in sorted(found.items())]


def bits(values: Array) -> list[int]:
    return [int(b) for b in np.ascontiguousarray(values).view(f"<u{values.dtype.itemsize}").reshape(-1)]


def require_agreement(
    instruction: Instruction,
    tensors: Sequence[Array],
    symbols: tuple[int, ...] = NO_SYMBOLS,
    elements: Array | None = None,
) -> None:
    """The contract's elements are the reference executor's; the first one also by itself, as a dispute would."""
    chosen = np.arange(instruction.count(symbols)) if elements is None else elements
    if not len(chosen):
        return
    want = bits(reference.evaluate(instruction, symbols, tensors, chosen))
    encoded, opened = encode(instruction), openings(instruction, tensors)
    assert EVALUATOR.evaluate(encoded, symbols, chosen.tolist(), opened) == want
    assert EVALUATOR.evaluate(encoded, symbols, [int(chosen[-1])], opened) == want[-1:]


def require_tape_agreement(case: Case) -> None:
    tensors = dict(reference.run(case.tape, case.symbols, case.sources))
    for instruction in case.tape.instructions:
        inputs = reference.operand_tensors(case.tape, instruction, case.sources, tensors)
        count = instruction.count(case.symbols)
        require_agreement(instruction, inputs, case.symbols, np.arange(count)[:: max(1, count // 24)])
        shape = EVALUATOR.inspect(encode(instruction), case.symbols)
        assert (shape.opcode, shape.dtype, shape.element_count) == (
            instruction.opcode,
            instruction.dtype,
            count,
        )
        lengths = {o.ref: (t.nbytes, int(o.dtype)) for o, t in zip(instruction.operands, inputs, strict=True)}
        assert shape.refs == tuple(sorted(lengths))
        found = zip(shape.ref_byte_lengths, shape.ref_dtypes, strict=True)
        assert list(found) == [lengths[ref] for ref in shape.refs]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_random_tape__every_instruction__equals_the_reference(case: Case) -> None:
    require_tape_agreement(case)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(instructions=14))
def test_random_tape__many__equal_the_reference(case: Case) -> None:
    require_tape_agreement(case)


@pytest.mark.parametrize("a_type", [DType.U8, DType.I8, DType.I16, DType.I32])
@pytest.mark.parametrize("b_type", [DType.U8, DType.I8, DType.I16, DType.I32])
def test_matmul__convolution_over_chunks__equals_the_reference(a_type: DType, b_type: DType) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(*a_type.bounds, (9, 11, 24), endpoint=True).astype(a_type.numpy)
    weights = rng.integers(*b_type.bounds, (5, 3, 3, 24), endpoint=True).astype(b_type.numpy)
    window = operand(0, image, (11 * 24, 24, 0, 11 * 24, 24, 1))
    instruction = Instruction(
        Opcode.MATMUL,
        DType.I64,
        constant(7, 9, 5),
        (window, operand(1, weights, (0, 0, 216, 72, 24, 1))),
        constant(3, 3, 24),
    )
    require_agreement(instruction, [image, weights], elements=np.arange(0, 315, 7))


@pytest.mark.parametrize(
    ("strides", "offset"), [((0, -1), 2999), ((0, 7), 3), ((0, -6), 2998), ((0, 0), 17), ((5, 1), 0)], ids=str
)
def test_matmul__backward_sparse_and_broadcast_views__equal_the_reference(
    strides: tuple[int, int], offset: int
) -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(-8000, 8000, 3000).astype(np.int16)
    b = rng.integers(-127, 127, 3000).astype(np.int8)
    instruction = Instruction(
        Opcode.MATMUL,
        DType.I64,
        constant(3),
        (operand(0, a, strides, offset), operand(1, b, (400, 1))),
        constant(420),
    )
    require_agreement(instruction, [a, b])


@pytest.mark.parametrize("reducer", list(Reducer))
@pytest.mark.parametrize("dtype", [DType.I16, DType.F32])
def test_reduce__ties_zeros_and_several_axes__equals_the_reference(reducer: Reducer, dtype: DType) -> None:
    if reducer is Reducer.SUM and dtype is DType.F32:
        pytest.skip("sums are of integers")
    rng = np.random.default_rng(3)
    tensor = (rng.integers(-2, 3, (6, 4, 5)) * 3).astype(dtype.numpy)
    tensor[0] = 0
    if dtype is DType.F32:
        tensor[0, ::2] = -0.0
    result = {Reducer.SUM: DType.I64, Reducer.ARGMAX: DType.I32}.get(reducer, dtype)
    view = operand(0, tensor, (20, -5, 1), 15)
    instruction = Instruction(
        Opcode.REDUCE, result, constant(6), (view,), constant(4, 5), Reduction(reducer, Program())
    )
    require_agreement(instruction, [tensor])


@pytest.mark.parametrize("dtype", list(DType))
def test_gather__indices_out_of_range__are_clamped(dtype: DType) -> None:
    index = np.array([-(1 << 63), -1, 0, 1, 6, 7, (1 << 63) - 1], np.int64)
    table = np.arange(7 * 90, dtype=np.int64).astype(dtype.numpy).reshape(7, 90)
    instruction = Instruction(
        Opcode.GATHER,
        dtype,
        constant(7, 90),
        (operand(3, index, (1, 0)), operand(9, table, (0, 1))),
        tail=Rows(Affine(90), Affine(7)),
    )
    require_agreement(instruction, [index, table], elements=np.arange(0, 630, 13))


def test_concat__empty_and_repeated_parts__equals_the_reference() -> None:
    a, b = np.arange(12, dtype=np.int16).reshape(3, 4), np.arange(100, 106, dtype=np.int16).reshape(3, 2)
    parts = (operand(1, a, (4, 1)), operand(1, a, (4, 1)), operand(0, b, (2, -1), 1), operand(1, a, (4, 1)))
    tail = Parts(1, constant(4, 0, 2, 1))
    require_agreement(Instruction(Opcode.CONCAT, DType.I16, constant(3, 7), parts, tail=tail), [a, a, b, a])


def sum_of_row() -> tuple[Instruction, Array]:
    tensor = np.arange(4 * 700, dtype=np.int32).reshape(4, 700)
    view = operand(5, tensor, (700, 1))
    tail = Reduction(Reducer.SUM, Program())
    return Instruction(Opcode.REDUCE, DType.I64, constant(4), (view,), constant(700), tail), tensor


def test_evaluate__exactly_the_chunks_it_reads__needs_no_others() -> None:
    instruction, tensor = sum_of_row()
    opened = [Opening.of(5, tensor.tobytes(), [2, 3, 4, 5])]
    assert EVALUATOR.evaluate(encode(instruction), NO_SYMBOLS, [1], opened) == [int(tensor[1].sum())]


@pytest.mark.parametrize("missing", [2, 3, 4, 5])
def test_evaluate__a_chunk_not_opened__is_named(missing: int) -> None:
    instruction, tensor = sum_of_row()
    opened = [Opening.of(5, tensor.tobytes(), [k for k in range(11) if k != missing])]
    with pytest.raises(ChunkNotOpenedError) as error:
        EVALUATOR.evaluate(encode(instruction), NO_SYMBOLS, [1], opened)
    assert (error.value.ref, error.value.chunk) == (5, missing)


def test_evaluate__opening_of_another_tensor_or_cut_short__is_not_opened() -> None:
    instruction, tensor = sum_of_row()
    whole = Opening.whole(5, tensor.tobytes())
    for opened in (
        [],
        [Opening(6, whole.positions, whole.chunks)],
        [Opening(5, whole.positions, whole.chunks[:1023])],
        [Opening(5, whole.positions[:2], whole.chunks)],
    ):
        with pytest.raises(ChunkNotOpenedError):
            EVALUATOR.evaluate(encode(instruction), NO_SYMBOLS, [1], opened)


@pytest.mark.parametrize(
    ("offset", "stride"), [(-1, 1), (1, 1), (0, 2), (6, -3), (1 << 62, 1), (0, -(1 << 62))], ids=str
)
def test_evaluate__a_view_outside_its_tensor__is_malformed(offset: int, stride: int) -> None:
    tensor = np.arange(4, dtype=np.int8)
    view = operand(0, tensor, (stride,), offset)
    instruction = Instruction(Opcode.MAP, DType.I8, constant(4), (view,), tail=Program())
    with pytest.raises(MalformedInstructionError):
        EVALUATOR.evaluate(
            encode(instruction), NO_SYMBOLS, [0, 1, 2, 3], [Opening.whole(0, tensor.tobytes() + bytes(64))]
        )


def test_evaluate__an_element_past_the_count__is_padding() -> None:
    instruction, tensor = sum_of_row()
    for element in (4, (1 << 64) - 1):
        assert EVALUATOR.evaluate(
            encode(instruction), NO_SYMBOLS, [element], openings(instruction, [tensor])
        ) == [0]
    with pytest.raises(MalformedInstructionError):
        EVALUATOR.evaluate(encode(instruction), NO_SYMBOLS, [3, 4], openings(instruction, [tensor]))


def test_inspect__symbols__give_shape_and_lengths() -> None:
    n = Affine.symbol(0)
    scores = Operand(8, DType.I32, (n, n, Affine(2)), Affine(0), (n * 2, Affine(2)))
    other = Operand(2, DType.U8, (n + 3,), Affine(3), (Affine(1), Affine(0)))
    instruction = Instruction(
        Opcode.MAP, DType.I16, (n, n - 1), (scores, other, scores), tail=Program((ScalarOp(Op.IMIN, (0, 1)),))
    )
    shape = EVALUATOR.inspect(encode(instruction), (300, 0, 0, 0, 0, 0, 0, 0))
    assert (shape.element_count, shape.byte_length) == (300 * 299, 2 * 300 * 299)
    assert (shape.refs, shape.ref_byte_lengths, shape.ref_dtypes) == ((2, 8), (303, 720_000), (1, 4))
    with pytest.raises(MalformedInstructionError):  # a dimension of −1
        EVALUATOR.inspect(encode(instruction), NO_SYMBOLS)


def test_py_evm__where_pyrevm_is_absent__gives_the_same_bits_and_gas() -> None:
    pytest.importorskip("pyrevm")
    code = evm.load_artifact("ElementEvaluator").deployed_bytecode
    instruction, tensor = sum_of_row()
    machines = [evm._Revm(code), evm._PyEvm(code)]
    for opened in (openings(instruction, [tensor]), []):
        types = ["bytes", "uint64[8]", "uint64", evm._OPENINGS]
        arguments = [encode(instruction), NO_SYMBOLS, 1, [(o.ref, o.positions, o.chunks) for o in opened]]
        data = evm.selector(f"evaluate({','.join(types)})") + evm.encode(types, arguments)
        fast, slow = (machine.call(data, 1 << 24) for machine in machines)
        assert fast == slow
        assert fast[0] is bool(opened)
