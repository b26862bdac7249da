"""Running an imported network."""

import numpy as np

from oracle_node.executors.reference import run
from oracle_node.importers.imported import ImportedModel

Array = np.ndarray


def answer(model: ImportedModel, request: Array) -> Array:
    """The tape's answer to one request by the reference executor, flat."""
    tape = model.tape
    claim = np.zeros(model.answer.elements, model.answer.dtype)
    sources = [request.reshape(-1), claim, np.zeros(0, np.uint8)]
    symbols = tape.symbols((request.size, claim.size, 0))
    return dict(run(tape, symbols, sources))[tape.output].reshape(-1)
