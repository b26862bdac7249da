"""Ids of models that are shipped or public, pinned: the same file gives the same id on every machine.

They change when the tape, its encoding, the commitment (docs/protocol.md) or the lowering changes on purpose: then the
new ids go here, and a line into the change log, since models listed on chain go by the old ones. If a test fails after
nothing of the kind, an import depends on the platform or on a library's version, which must not be.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from oracle_node.cli.sources import ImportOptions, import_digits, import_source

DIGITS: dict[Literal[8, 15], str] = {
    8: "bc9b9e03de3b2a0a117eaac00015398c418bc2df6f02bfeb8f9535158eea46bc",
    15: "719f7a37cd8b3636431daa2d2ad202a44693d0b6766a86f96b19bc7a9ecb4525",
}
MNIST: dict[Literal[8, 15], str] = {
    8: "26a35959dffe7d4d9d4a39a9ab5f350a51307006535687a05c83738f9ed4da14",
    15: "ab0d2b129db2c2d9a4b6f4d9fefcfd9e937f767aafab2ae5e22790afccee4a76",
}


@pytest.mark.parametrize("weights", [8, 15])
def test_model_id__of_the_shipped_digits__is_the_pinned_one(weights: Literal[8, 15]) -> None:
    assert import_digits(weights).model_id.hex() == DIGITS[weights]


@pytest.mark.parametrize("weights", [8, 15])
def test_model_id__of_mnist_12__is_the_pinned_one(
    shared_data: Callable[[str], Path], weights: Literal[8, 15]
) -> None:
    source = shared_data("onnx/mnist-12.onnx")
    assert import_source(source, ImportOptions(weights)).model_id.hex() == MNIST[weights]
