"""`bench exact --profile`: every kernel is counted once, for its layer and its operator."""

import numpy as np
import pytest

from oracle_node.bench.profile import profile_exact
from oracle_node.cli.sources import import_digits
from oracle_node.shipped import shipped


def test_profile__of_the_digits_classifier__adds_up_by_layer_and_by_operator() -> None:
    model = import_digits()
    found = profile_exact(model, shipped("digits").source, np.zeros(64, np.float32), threads=1, rounds=2)
    layers = found["layers"]
    assert {row["layer"] for row in layers} <= set(model.tape.names)
    assert len(layers) > 3
    assert [row["ms"] for row in layers] == sorted((row["ms"] for row in layers), reverse=True)
    assert sum(row["share"] for row in layers) == pytest.approx(1)
    assert sum(row["ms"] for row in layers) == pytest.approx(found["ms"])
    assert sum(found["operators_ms"].values()) == pytest.approx(found["ms"])
    assert sum(sum(row["kernels"].values()) for row in layers) == found["kernels"]
    assert found["float32_operators_ms"]
