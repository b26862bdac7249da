"""The operators that can be imported, each lowered by one function."""

from oracle_node.importers.onnx.node import Handler
from oracle_node.importers.onnx.operators import (
    activation,
    arrangement,
    attention,
    convolution,
    elementwise,
    ensembles,
    features,
    linear,
    logic,
    movement,
    normalization,
    pooling,
    product,
    qlinear,
    quantized,
    recurrent,
    reduction,
    resize,
    selection,
)

HANDLERS: dict[str, Handler] = {
    **activation.HANDLERS,
    **arrangement.HANDLERS,
    **attention.HANDLERS,
    **convolution.HANDLERS,
    **elementwise.HANDLERS,
    **ensembles.HANDLERS,
    **features.HANDLERS,
    **linear.HANDLERS,
    **logic.HANDLERS,
    **movement.HANDLERS,
    **normalization.HANDLERS,
    **pooling.HANDLERS,
    **product.HANDLERS,
    **reduction.HANDLERS,
    **recurrent.HANDLERS,
    **resize.HANDLERS,
    **selection.HANDLERS,
    **quantized.HANDLERS,
    **qlinear.HANDLERS,
}

ROUNDED_HANDLERS = elementwise.ROUNDED_HANDLERS
"""Where trees compare what comes out: every operation rounded by itself, as ONNX Runtime does, none merged."""
