"""MATMUL: the exact integer kernel that is cheapest for the proven intervals.

| kernel | where |
|---|---|
| `MatMulInteger` on digits (`digit_products`) | constant weights of ≤ 2 digits, activations of ≤ 3, if that is best |
| f32 `Conv` (`convolutions`) | convolutions with few channels a group, in its exact range |
| f32, f64 `MatMul` | Σ|a||b| below 2^24, 2^53: every partial sum, in any order, is exact |
| i64 `MatMul` | anything else |
| elementwise kernels (`reductions`) | products without a matrix in them: dot products of rows |
"""

from oracle_node.executors.onnx.context import Context, Result
from oracle_node.executors.onnx.convolutions import lower_convolution
from oracle_node.executors.onnx.digit_products import multiply_digits
from oracle_node.executors.onnx.graph import Elem, Value
from oracle_node.executors.onnx.matrices import Matrices, Product
from oracle_node.executors.onnx.reductions import Reduce, lower_reduce
from oracle_node.executors.onnx.tensors import EXACT
from oracle_node.tape.instruction import Reducer
from oracle_node.tape.interval import Interval
from oracle_node.tape.scalar import Op, Program, ScalarOp
from oracle_node.tape.types import DType

_PRODUCT = Program((ScalarOp(Op.IMUL, (0, 1)),))


def lower_product(context: Context, product: Product) -> Result:
    """The product as a tensor of its shape."""
    if context.tensor(product.left).array is not None and context.tensor(product.right).array is None:
        product = product.swapped()
    matrices = Matrices(context, product)
    graph = context.graph
    convolution = lower_convolution(matrices)
    signed_zero = True
    if convolution is not None:
        value, order = convolution
    elif _is_elementwise(matrices):
        return _as_reduction(context, product)
    else:
        digits, order = multiply_digits(matrices), matrices.result_order
        value, signed_zero = (_multiply(matrices), True) if digits is None else (digits, False)
    value = graph.reshape(value, [product.size(a) for a in order])
    value = graph.transpose(value, [order.index(a) for a in sorted(order)])
    value = graph.reshape(value, [product.size(a) if a in order else 1 for a in range(len(product.shape))])
    return Result(context.full(value, product.shape), signed_zero and value.elem in (Elem.F32, Elem.F64))


def _is_elementwise(matrices: Matrices) -> bool:
    """Whether there is no matrix in it; one row times a constant matrix is left to the digits, which keep it small."""
    if matrices.rows == matrices.columns == 1:
        return True
    is_row = matrices.rows == 1 and matrices.constant_right() is None
    return matrices.batch > 1 and (is_row or matrices.columns == 1)


def _as_reduction(context: Context, product: Product) -> Result:
    """The sum of the elementwise product.

    The analysis may know from a constant's own numbers that no product leaves 64 bits, where the intervals' ends would.
    """
    a, b = (context.tensor(reading).interval for reading in (product.left, product.right))
    low, high = DType.I64.bounds
    ends = [min(max(int(x) * int(y), low), high) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    reduce = Reduce(
        reducer=Reducer.SUM,
        program=_PRODUCT,
        readings=(product.left, product.right),
        shape=product.shape,
        reduce_shape=product.reduce_shape,
        intervals=(a, b, Interval(min(ends), max(ends))),
        result=product.result,
        is_float=False,
    )
    return lower_reduce(context, reduce)


def _multiply(matrices: Matrices) -> Value:
    """MatMul in the narrowest float whose partial sums are all exact, or in i64."""
    bound = matrices.largest_sum()
    elem = next((elem for elem in (Elem.F32, Elem.F64) if bound < EXACT[elem]), Elem.I64)
    operands = [matrices.left(elem), matrices.right(elem)]
    return matrices.context.graph.op(
        "MatMul", operands, shape=matrices.stack(matrices.rows, matrices.columns)
    )
