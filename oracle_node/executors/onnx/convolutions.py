"""MATMULs that are convolutions with few channels a group, on the float32 `Conv` kernel in its exact range.

With many channels the digit products are faster; with one (depthwise) nothing else comes near. Activations whose
products leave the range are split into two base-128 digits, which `Conv` takes as two images.
"""

from dataclasses import dataclass, field
from math import prod

from oracle_node.executors.onnx.arrays import largest_column_sum
from oracle_node.executors.onnx.constants import Constant
from oracle_node.executors.onnx.graph import Elem, Graph, Value
from oracle_node.executors.onnx.matrices import Matrices
from oracle_node.executors.onnx.tensors import EXACT, Tensors

_BASE, _HALF = 128, 64
_FEW_CHANNELS = 16
"""Of a group: digit products are slower on so few."""
_MACS_PER_NS, _MOVE_NS, _ROW_NS, _ELEMENT_NS, _INTEGER_MACS_PER_NS = 30.0, 0.4, 4.5, 0.1, 180.0
"""Measured on one core: `Conv`, moving an element, gathering a window's row and each of its bytes, `MatMulInteger`."""


@dataclass(slots=True)
class _Side:
    """One spatial axis: the image's size, and the product's axes that walk it."""

    size: int
    rows: int | None = None
    inner: int | None = None
    stride: int = 1
    dilation: int = 1


@dataclass(slots=True)
class _Convolution:
    """A product seen as a convolution of an image (height, width, channels)."""

    sides: tuple[_Side, _Side]
    channels: int
    group_axis: int | None = None
    channel_axis: int | None = None
    columns: list[int] = field(default_factory=list)


def lower_convolution(matrices: Matrices) -> tuple[Value, list[int]] | None:
    """The product and the order of its axes; None where it is no convolution, or one that other kernels do better."""
    convolution = _recognise(matrices)
    if convolution is None or not _may_pay(matrices, convolution):
        return None
    order = [
        *(() if convolution.group_axis is None else (convolution.group_axis,)),
        *convolution.columns,
        *(side.rows for side in convolution.sides if side.rows is not None),
    ]
    weights = _kernel(matrices, convolution)
    largest = int(matrices.context.tensor(matrices.product.left).interval.magnitude)
    sums = weights.fact("filter sums", lambda data: largest_column_sum(data.reshape(len(data), -1).T))
    reach = _HALF * (_BASE + 1)
    planes = (
        1
        if largest * sums < EXACT[Elem.F32]
        else 2
        if largest <= reach and _HALF * sums < EXACT[Elem.F32]
        else 0
    )
    if planes == 0 or not _pays(matrices, convolution, planes):
        return None
    return _convolve(matrices, convolution, weights, planes), order


def _recognise(matrices: Matrices) -> _Convolution | None:
    product = matrices.product
    shape, view = matrices.context.tensor(product.left).shape, product.left.view
    if len(shape) < 2 or prod(shape[:-3]) != 1 or view.offset or matrices.constant_right() is None:
        return None
    width, channels = shape[-2:]
    found = _Convolution((_Side(shape[-3] if len(shape) > 2 else 1), _Side(width)), channels)
    outer = len(product.shape)
    for axis, (count, stride) in enumerate(zip(view.core, view.strides, strict=True)):
        if count == 1:
            if axis >= outer and product.size(axis) > 1:
                return None
            if product.right.view.core[axis] > 1 and axis < outer:
                found.columns.append(axis)
        elif stride < 0 or not _place(matrices, found, axis, stride):
            return None
    return found if _covers(matrices, found) else None


def _place(matrices: Matrices, found: _Convolution, axis: int, stride: int) -> bool:
    """Give an axis that walks the image its role; False where there is none for it."""
    product, channels = matrices.product, found.channels
    is_outer = axis < len(product.shape)
    is_batch = is_outer and product.right.view.core[axis] > 1
    if stride % channels:
        if not is_outer and found.channel_axis is None and stride == 1:
            found.channel_axis = axis
        elif is_batch and found.group_axis is None:
            found.group_axis = axis
        else:
            return False
        return True
    line = found.sides[1].size * channels
    side, step = (
        (found.sides[0], stride // line) if stride % line == 0 else (found.sides[1], stride // channels)
    )
    if is_batch or (side.rows if is_outer else side.inner) is not None:
        return False
    if is_outer:
        side.rows, side.stride = axis, step
    else:
        side.inner, side.dilation = axis, step
    return True


def _covers(matrices: Matrices, found: _Convolution) -> bool:
    """Whether the product is all of the convolution's result, and reads all channels."""
    product = matrices.product
    for side in found.sides:
        span = side.dilation * (_size(matrices, side.inner) - 1)
        if (side.size - span - 1) // side.stride + 1 != _size(matrices, side.rows):
            return False
    inside = _size(matrices, found.channel_axis)
    if found.group_axis is None:
        return inside == found.channels
    return (
        product.left.view.strides[found.group_axis] == inside
        and inside * product.size(found.group_axis) == found.channels
    )


def _size(matrices: Matrices, axis: int | None) -> int:
    return 1 if axis is None else matrices.product.size(axis)


def _kernel(matrices: Matrices, found: _Convolution) -> Constant:
    """The weights as (filters, channels of a group, height, width), in their own type."""
    outer = [*(() if found.group_axis is None else (found.group_axis,)), *found.columns]
    inner = [found.channel_axis, *(side.inner for side in found.sides)]
    shape = (prod(map(matrices.product.size, outer)), *(_size(matrices, axis) for axis in inner))
    return matrices.constant([*outer, *(axis for axis in inner if axis is not None)], shape)


def _taps(matrices: Matrices, found: _Convolution) -> int:
    """Positions of a window."""
    return prod(_size(matrices, side.inner) for side in found.sides)


def _may_pay(matrices: Matrices, found: _Convolution) -> bool:
    """Whether there are windows, or groups of few channels: what can be told without looking at the weights."""
    return _taps(matrices, found) > 1 or (found.group_axis is not None and matrices.inner < _FEW_CHANNELS)


def _pays(matrices: Matrices, found: _Convolution, planes: int) -> bool:
    """Whether `Conv` is faster than gathering windows for a digit product; with groups always."""
    if found.group_axis is not None:
        return True
    positions, taps = matrices.rows, _taps(matrices, found)
    macs, results = matrices.rows * matrices.columns * matrices.inner, matrices.rows * matrices.columns
    image = prod(matrices.context.tensor(matrices.product.left).shape)
    conv = planes * (macs / _MACS_PER_NS + (image + 2 * results) * _MOVE_NS)
    gather = positions * taps * max(_ROW_NS, found.channels * _ELEMENT_NS)
    return conv < 2 * (gather + macs / _INTEGER_MACS_PER_NS + results * _MOVE_NS)


def _convolve(matrices: Matrices, found: _Convolution, weights: Constant, planes: int) -> Value:
    context, product = matrices.context, matrices.product
    graph, tensors = context.graph, context.tensors
    image = _without_padding(tensors, _Image(product.left.ref, context.tensor(product.left).shape))
    images = tensors.derived(
        image.ref, (image.shape, planes), lambda: _channels_first(graph, tensors, image, planes)
    )
    kernel = tensors.constant(weights.cast(Elem.F32.numpy))
    sides = found.sides
    value = graph.op(
        "Conv",
        [images, kernel],
        shape=(planes, weights.shape[0], *(_size(matrices, side.rows) for side in sides)),
        group=_size(matrices, found.group_axis),
        strides=[side.stride for side in sides],
        dilations=[side.dilation for side in sides],
        pads=[*(before for before, _ in image.pads), *(after for _, after in image.pads)],
    )
    if planes == 1:
        return value
    elem = Elem.I32 if product.result.magnitude <= EXACT[Elem.I32] else Elem.F64
    value = graph.cast(value, elem)
    high, low = (graph.slice(value, (p, 0, 0, 0), (1, *value.shape[1:]), (1, 1, 1, 1)) for p in range(2))
    return graph.op("Add", [graph.op("Mul", [high, graph.scalar(_BASE, elem)]), low])


@dataclass(frozen=True, slots=True)
class _Image:
    """A tensor seen as (…, height, width, channels), and the zeros to add before and after its lines and columns."""

    ref: int
    shape: tuple[int, ...]
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))


def _without_padding(tensors: Tensors, image: _Image) -> _Image:
    """The image without the zeros that CONCATs put around it."""
    tensor = tensors[image.ref]
    if tensor.parts is None or tensor.shape != image.shape:
        return image
    readings, axis = tensor.parts.readings, tensor.parts.axis
    fillers = [array for r in readings if (array := tensors[r.ref].array) is not None]
    filled = any(array.fact("filled", lambda data: int(data.any())) for array in fillers)
    computed = [place for place, r in enumerate(readings) if tensors[r.ref].array is None]
    side = axis - len(image.shape) + 3
    if len(computed) != 1 or side not in (0, 1) or filled:
        return image
    inner = readings[computed[0]]
    if not inner.view.is_identity_of(tensors[inner.ref].count):
        return image
    lengths = [r.view.shape[axis] for r in readings]
    pads = list(image.pads)
    pads[side] = (
        pads[side][0] + sum(lengths[: computed[0]]),
        pads[side][1] + sum(lengths[computed[0] + 1 :]),
    )
    return _without_padding(tensors, _Image(inner.ref, inner.view.shape, (pads[0], pads[1])))


def _channels_first(graph: Graph, tensors: Tensors, image: _Image, planes: int) -> Value:
    """The image, or its two digits, channels first: (planes, channels, height, width) f32."""
    shape = (1, *([1] * (3 - len(image.shape))), *image.shape[-3:])
    value = graph.transpose(graph.reshape(tensors.form(image.ref, Elem.F32), shape), (0, 3, 1, 2))
    if planes == 2:
        high = graph.op("Round", [graph.op("Mul", [value, graph.scalar(1 / _BASE, Elem.F32)])])
        low = graph.op("Sub", [value, graph.op("Mul", [high, graph.scalar(_BASE, Elem.F32)])])
        value = graph.concat([high, low], 0)
    return value
