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
from oracle_node.importers.onnx.extents import times
from oracle_node.importers.onnx.graph import Graph, GraphNode, load
from oracle_node.importers.onnx.lowering import Lowering
from oracle_node.importers.onnx.node import Handler, Node
from oracle_node.importers.onnx.operators import HANDLERS, ROUNDED_HANDLERS
from oracle_node.importers.onnx.operators.quantized import has_quantised
from oracle_node.importers.onnx.request import Request, read, request_of
from oracle_node.importers.onnx.tabular import has_trees
from oracle_node.importers.onnx.tensor import Tensor
from oracle_node.tape.builder import TapeBuilder
from oracle_node.tape.instruction import DEFAULT_STEP_BOUND, Source
from oracle_node.tape.types import Array, DType

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
    longest: int | None = None,
    step_bound: int = DEFAULT_STEP_BOUND,
    keep: Callable[[Array], Array] | None = None,
    progress: Progress | None = None,
) -> ImportedModel:
    """The network in an ONNX file as a tape with `weights`-bit weights.

    Inputs are clamped to `input_range` (default ±2^20 for floats, ±2^40 where the file has operators of ai.onnx.ml).
    An input of free length may have up to `longest` elements (default 256); masks and segments beside it are ones and
    zeros, and no part of the request.
    The answer is the network's outputs (of a classifier in that domain its scores), or those named in `outputs`, one
    after another. `keep` gets every constant, in order; `progress(done, total)` is called after every node. ModelError
    names the file's or the node's fault, AdmissionError the node for which no proof was found.
    """
    graph = load(Path(path), outputs)
    request = request_of(path, graph, longest)
    if request.source.max_elements > MAX_LENGTH:
        length = request.source.max_elements
        raise ModelError(f"{path}: its inputs have {length} elements, a request has at most {MAX_LENGTH}")
    arrays = [*graph.constants.values(), *(a for node in graph.nodes for a in node.attributes.values())]
    stored = sum(array.size for array in arrays if isinstance(array, np.ndarray))
    low = Lowering(TapeBuilder(request.source, step_bound=step_bound, keep=keep), weights, stored)
    try:
        tensors = read(low, graph, request, input_range)
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
    options = {"weights": weights, "input_range": input_range, "outputs": outputs, "longest": longest}
    answers = [_known(tensors, name, "the network's output") for name in graph.outputs]
    try:
        return _finished(low, graph, request, answers, options)
    except ValueError as error:
        raise ModelError(f"{path}: its outputs cannot be written ({error})") from error


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
    low: Lowering, graph: Graph, request: Request, answers: Sequence[Tensor], options: Mapping[str, object]
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
            views = [
                low.b.concat([v.reshape(times(a.extents)) for v, a in zip(views, answers, strict=True)], 0)
            ]
        tape = low.b.finish(views[0])
    infos = tuple(
        TensorInfo(name, request.named(a.extents), stored.numpy.name)
        for name, a in zip(graph.outputs, answers, strict=True)
    )
    ends = [low.bounds(times(a.extents)) for a in answers]
    least, most = (sum(end[i] for end in ends) for i in (0, 1))
    if most > MAX_LENGTH:
        raise ModelError(f"the answer has {most} elements, a claim has at most {MAX_LENGTH}: choose outputs=")
    sources = (tape.sources[0], Source(stored, least, most), Source())
    return ImportedModel(
        tape=replace(tape, sources=sources),
        inputs=request.inputs,
        answers=infos,
        source_sha256=graph.sha256,
        options=dict(options),
        operators=count_names([node.operator for node in graph.nodes]),
        labels=graph.labels if len(graph.labels) == least == most else (),
        notes=(*graph.notes, *request.notes),
    )
