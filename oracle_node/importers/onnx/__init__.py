"""Importing ONNX networks, float32 or quantised: every operator is lowered to the tape's seven instructions.

Sums become exact integer sums of quantised values, everything else single binary32 operations; nothing is calibrated.
A network that is quantised already keeps its own integers, scales and zero points.
Not here: what instructions mean (`oracle_node.tape`), how a tape is stored.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from oracle_node.errors import AdmissionError, ModelError
from oracle_node.importers.imported import ImportedModel, Progress, TensorInfo, count_names
from oracle_node.importers.onnx.graph import Graph, GraphNode, load
from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators import HANDLERS, ROUNDED_HANDLERS
from oracle_node.importers.onnx.operators.quantized import has_quantised
from oracle_node.importers.onnx.tabular import has_tables, has_trees
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import DEFAULT_STEP_BOUND, Source
from oracle_node.tape.types import Array, DType, SourceKind

DEFAULT_FLOAT_RANGE = (-(2.0**20), 2.0**20)
"""What float inputs are clamped to unless the importer is told otherwise."""
TABLE_FLOAT_RANGE = (-(2.0**40), 2.0**40)
"""The same for models of tables, whose features are incomes and populations too."""
MAX_LENGTH = (1 << 32) - 1
"""Elements of a request, and of an answer, that a model directory can state."""
_SHARED_OPERATIONS = 8
"""A tensor that several nodes read is materialised if it takes more operations than this to recompute."""


def import_onnx(
    path: Path,
    *,
    weights: Literal[8, 15, 21] = 15,
    input_range: tuple[float, float] | None = None,
    outputs: tuple[str, ...] | None = None,
    step_bound: int = DEFAULT_STEP_BOUND,
    keep: Callable[[Array], Array] | None = None,
    progress: Progress | None = None,
) -> ImportedModel:
    """The network in an ONNX file as a tape with `weights`-bit weights.

    Inputs are clamped to `input_range` (default ±2^20 for floats, ±2^40 where the file has operators of ai.onnx.ml).
    The answer is the network's outputs (of a classifier in that domain its scores), or those named in `outputs`, one
    after another. `keep` gets every constant, in order; `progress(done, total)` is called after every node. ModelError
    names the file's or the node's fault, AdmissionError the node for which no proof was found.
    """
    graph = load(Path(path), outputs)
    length = sum(info.elements for info in graph.inputs)
    if len({info.dtype for info in graph.inputs}) > 1:
        raise ModelError(f"{path}: its inputs have different types, but a request has one: add Cast nodes")
    if length > MAX_LENGTH:
        raise ModelError(f"{path}: its inputs have {length} elements, a request has at most {MAX_LENGTH}")
    request = Source(DType.of(np.empty(0, graph.inputs[0].dtype)), length, length)
    arrays = [*graph.constants.values(), *(a for node in graph.nodes for a in node.attributes.values())]
    stored = sum(array.size for array in arrays if isinstance(array, np.ndarray))
    low = Lowering(TapeBuilder(request, step_bound=step_bound, keep=keep), weights, stored)
    try:
        tensors = _inputs(low.b, graph, input_range)
    except AdmissionError as error:
        raise AdmissionError(f"{path}: {error}") from None
    tensors.update({name: Tensor.constant(data) for name, data in graph.constants.items()})
    readers = Counter(name for node in graph.nodes for name in node.inputs) + Counter(graph.outputs)
    is_exact = has_trees(graph.nodes) or has_quantised(graph.nodes)
    handlers = HANDLERS | ROUNDED_HANDLERS if is_exact else HANDLERS
    for done, node in enumerate(graph.nodes, 1):
        _lower(low, handlers, graph.opset, node, tensors, readers)
        if progress is not None:
            progress(done, len(graph.nodes))
    options = {"weights": weights, "input_range": input_range, "outputs": outputs}
    answers = [_known(tensors, name, "the network's output") for name in graph.outputs]
    try:
        return _finished(low, graph, answers, options)
    except ValueError as error:
        raise ModelError(f"{path}: its outputs cannot be written ({error})") from error


def _inputs(b: TapeBuilder, graph: Graph, input_range: tuple[float, float] | None) -> dict[str, Tensor]:
    """The network's inputs, one after another in the request."""
    source = b.sources[SourceKind.REQUEST]
    if input_range is None:
        floats = TABLE_FLOAT_RANGE if has_tables(graph.nodes) else DEFAULT_FLOAT_RANGE
        low, high = floats if source.dtype is DType.F32 else _integer_range(source.dtype)
    else:
        low, high = input_range
    if len(graph.inputs) == 1:
        info = graph.inputs[0]
        view = b.input(SourceKind.REQUEST, info.shape, low, high)
        return {info.name: Tensor.of_view(view, b.interval(view), np.dtype(info.dtype))}
    whole, start, tensors = b.input(SourceKind.REQUEST, (source.max_elements,), low, high), 0, {}
    for info in graph.inputs:
        view = whole.slice(0, start, info.elements).reshape(*info.shape)
        tensors[info.name] = Tensor.of_view(view, b.interval(view), np.dtype(info.dtype))
        start += info.elements
    return tensors


def _integer_range(dtype: DType) -> tuple[int, int]:
    low, high = dtype.bounds
    return max(low, -(2**31)), min(high, 2**31 - 1)


def _lower(
    low: Lowering,
    handlers: Mapping[str, Handler],
    opset: int,
    node: GraphNode,
    tensors: dict[str, Tensor],
    readers: Mapping[str, int],
) -> None:
    """Lower one node and name its results; errors name the node."""
    label = f"{node.operator} node '{node.name}'"
    handler = handlers.get(node.operator)
    if handler is None:
        raise ModelError(f"{label}: this operator cannot be imported; {_advice(node.operator)}")
    inputs = tuple(_known(tensors, name, label) if name else None for name in node.inputs)
    try:
        with low.b.scope(node.name):
            read = tuple(bool(name) and readers[name] > 0 for name in node.outputs)
            call = Node(node.operator, node.name, opset, inputs, node.attributes, len(read), read)
            results = handler(low, call)
            low.account(results)
            if len(node.outputs) > len(results):
                raise ModelError(f"it has {len(results)} results, the file names {len(node.outputs)}")
            for name, result in zip(node.outputs, results, strict=False):
                if name:
                    shared = readers[name] > 1
                    tensors[name] = low.compact(result, _SHARED_OPERATIONS) if shared else result
    except AdmissionError as error:
        raise AdmissionError(f"{label}: {error}") from None
    except (ModelError, ValueError) as error:
        raise ModelError(f"{label}: {error}") from None
    except (TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise ModelError(f"{label}: its inputs or attributes are malformed ({error})") from error


def _advice(operator: str) -> str:
    if "Quant" in operator or operator.endswith("Integer"):
        return "import the float32 network instead: it is quantised here"
    return f"rewrite it with the supported ones ({', '.join(sorted(HANDLERS))}), or cut it off with outputs="


def _known(tensors: Mapping[str, Tensor], name: str, reader: str) -> Tensor:
    if name not in tensors:
        raise ModelError(
            f"{reader} reads {name!r}, which nothing before it computes: a cycle, or the file is damaged"
        )
    return tensors[name]


def _finished(
    low: Lowering, graph: Graph, answers: Sequence[Tensor], options: Mapping[str, object]
) -> ImportedModel:
    """The tape that answers the outputs, row-major, joined where there are several."""
    types = {answer.dtype for answer in answers}
    if len(types) > 1:
        names = ", ".join(graph.outputs)
        raise ModelError(f"the outputs {names} have different types: choose some of one type with outputs=")
    logical = types.pop()
    if all(answer.is_constant for answer in answers):
        raise ModelError("the outputs do not depend on the input")
    stored = DType.U8 if logical == np.bool_ else DType.of(np.empty(0, logical))
    with low.b.scope("answer"):
        views = [low.contiguous(low.leaf(a) if a.is_constant else a) for a in answers]
        views = [v if v.dtype is stored else low.b.map(lambda x: x, v, dtype=stored) for v in views]
        if len(views) > 1:
            views = [low.b.concat([v.reshape(a.size) for v, a in zip(views, answers, strict=True)], 0)]
        tape = low.b.finish(views[0])
    infos = tuple(
        TensorInfo(name, a.shape, stored.numpy.name) for name, a in zip(graph.outputs, answers, strict=True)
    )
    elements = sum(info.elements for info in infos)
    if elements > MAX_LENGTH:
        raise ModelError(
            f"the answer has {elements} elements, a claim has at most {MAX_LENGTH}: choose outputs="
        )
    sources = (tape.sources[0], Source(stored, elements, elements), Source())
    return ImportedModel(
        tape=replace(tape, sources=sources),
        inputs=graph.inputs,
        answers=infos,
        source_sha256=graph.sha256,
        options=dict(options),
        operators=count_names([node.operator for node in graph.nodes]),
        labels=graph.labels if len(graph.labels) == elements else (),
        notes=graph.notes,
    )
