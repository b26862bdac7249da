"""Tree ensembles that cannot be imported are refused in one line that names the node and what is wrong with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx
from tests.importers.tabular import GRID, classifier_file, random_ensemble, regressor_file

FEATURES = 4


def _changed(attributes: dict[str, Any], name: str, at: int, value: Any) -> dict[str, Any]:
    values = list(attributes[name])
    values[at] = value
    return attributes | {name: values}


REFUSED = {
    "class ids of both": ({"class_ids": None}, "vote for both of two classes"),
    "a child that is not there": (("nodes_truenodeids", 0, 999), "no node 999"),
    "a loop": (("nodes_truenodeids", 0, 0), "leads back"),
    "a feature too many": (("nodes_featureids", 0, FEATURES), f"features up to {FEATURES}, its input has {FEATURES}"),
    "a mode of its own": (("nodes_modes", 0, "BRANCH_MEMBER"), "BRANCH_MEMBER"),
    "two nodes of one number": (("nodes_nodeids", 1, 0), "one number"),
    "columns of other lengths": ({"nodes_values": [0.0]}, "different lengths"),
    "votes of other lengths": ({"class_weights": [0.0]}, "different lengths"),
    "a vote that is not finite": (("class_weights", 0, float("inf")), "finite"),
    "a vote of no node": (("class_nodeids", 0, 999), "does not exist"),
    "two base values": ({"base_values": [0.0, 1.0]}, "2 base values for 1"),
    "probit": ({"post_transform": "PROBIT"}, "PROBIT"),
    "labels missing": ({"classlabels_int64s": None}, "class labels"),
    "one class": ({"classlabels_int64s": [1]}, "fewer than two"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_classifier__malformed_or_unsupported__is_refused_with_its_node(
    case: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 3, FEATURES, 1, depth=3) | {"classlabels_int64s": [0, 1]}
    change, reason = REFUSED[case]
    if case == "class ids of both":
        attributes = _changed(attributes, "class_ids", 0, 1)
    elif isinstance(change, dict):
        attributes = {k: v for k, v in (attributes | change).items() if v is not None}
    else:
        attributes = _changed(attributes, *change)
    with pytest.raises(ModelError, match=reason) as caught:
        import_onnx(classifier_file(tmp_path, attributes, GRID[None, :FEATURES]))
    assert str(caught.value).startswith(
        "ai.onnx.ml.TreeEnsembleClassifier node 'ml.TreeEnsembleClassifier0': "
    )


def test_classifier__classes_that_may_get_no_vote__are_refused(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """ONNX Runtime leaves such classes out of the choice, whatever the others' scores are."""
    attributes = random_ensemble(rng, 4, FEATURES, 2, votes="one") | {"classlabels_int64s": [0, 1, 2]}
    path = classifier_file(tmp_path, attributes, GRID[None, :FEATURES])
    with pytest.raises(ModelError, match="may get no vote"):
        import_onnx(path)


@pytest.mark.parametrize("changes", [{"aggregate_function": "MIN"}, {"post_transform": "LOGISTIC"}])
def test_regressor__of_another_kind__is_refused(
    changes: dict[str, Any], tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 3, FEATURES, 1, kind="target") | {"n_targets": 1} | changes
    with pytest.raises(ModelError, match="only sums and averages"):
        import_onnx(regressor_file(tmp_path, attributes, GRID[None, :FEATURES]))
