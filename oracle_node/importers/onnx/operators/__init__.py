"""The operators that can be imported, each lowered by one function."""

from oracle_node.importers.onnx.node import Handler
from oracle_node.importers.onnx.operators import (
    convolution,
    elementwise,
    movement,
    pooling,
    product,
    reduction,
)

HANDLERS: dict[str, Handler] = {
    **convolution.HANDLERS,
    **elementwise.HANDLERS,
    **movement.HANDLERS,
    **pooling.HANDLERS,
    **product.HANDLERS,
    **reduction.HANDLERS,
}
