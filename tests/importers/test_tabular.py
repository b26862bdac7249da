"""What stands around models of tables, beside ONNX Runtime: bits where trees may follow, scores within a millionth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.onnx import import_onnx
from tests.importers.tabular import Array, answers, expected, grid_rows, random_ensemble, save

FEATURES = 5


def _one(path: Path, operator: str, attributes: dict[str, Any], x: Array, output: Any = np.float32) -> Path:
    return save(path / "one.onnx", [(operator, ["x"], ["y"], attributes)], x, {"y": output})


def _require_bits(path: Path, x: Array) -> None:
    wanted = expected(path, x, "y")
    assert len(np.unique(wanted)) > 2
    assert (answers(import_onnx(path), x) == wanted).all()


def _table(rng: np.random.Generator, rows: int = 60) -> Array:
    """(rows, 1, FEATURES) features of very different sizes, some of them 0."""
    x = rng.normal(0, 1, (rows, 1, FEATURES)) * 10.0 ** np.arange(-2, FEATURES - 2)
    return np.where(rng.random(x.shape) < 0.1, 0, x).astype(np.float32)


@pytest.mark.parametrize("size", [1, FEATURES])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_scaler__per_feature_or_for_all__gives_the_runtime_s_bits(
    size: int, dtype: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = _table(rng).astype(dtype)
    attributes = {
        "offset": rng.normal(0, 3, size).tolist(),
        "scale": rng.uniform(0.01, 9, size).tolist(),
    }
    _require_bits(_one(tmp_path, "ml.Scaler", attributes, x[0]), x)


@pytest.mark.parametrize("size", [1, FEATURES])
def test_imputer__of_a_number__replaces_it(size: int, tmp_path: Path, rng: np.random.Generator) -> None:
    x = _table(rng)
    values = rng.normal(0, 3, size).tolist()
    attributes = {"imputed_value_floats": values, "replaced_value_float": 0.0}
    _require_bits(_one(tmp_path, "ml.Imputer", attributes, x[0]), x)
    whole = rng.integers(-2, 3, (40, 1, FEATURES))
    attributes = {"imputed_value_int64s": [7] * size, "replaced_value_int64": -1}
    _require_bits(_one(tmp_path, "ml.Imputer", attributes, whole[0], np.int64), whole)


def test_imputer__of_nan__leaves_all_that_a_request_can_carry(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    x = _table(rng)
    attributes = {"imputed_value_floats": [3.0], "replaced_value_float": float("nan")}
    path = _one(tmp_path, "ml.Imputer", attributes, x[0])
    _require_bits(path, x)
    assert "a request cannot carry NaN" in import_onnx(path).notes[0]


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_one_hot_encoder__numbers__are_truncated_and_found(
    dtype: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.uniform(-4, 9, (60, 1, 2)).astype(dtype)
    path = _one(tmp_path, "ml.OneHotEncoder", {"cats_int64s": [3, 0, -2, 5], "zeros": 1}, x[0])
    wanted = expected(path, x, "y")
    model = import_onnx(path)
    assert model.answer.shape == (1, 2, 4)
    assert (answers(model, x) == wanted).all() and 0 < wanted.sum() < wanted[..., 0].size * 2


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer__every_norm__gives_the_runtime_s_bits(
    norm: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = _table(rng)
    x[0], x[1] = 0, -np.abs(x[1]) - 1
    _require_bits(_one(tmp_path, "ml.Normalizer", {"norm": norm}, x[0]), x)


@pytest.mark.parametrize("shape", [(1, FEATURES), (3, FEATURES), (FEATURES,)])
def test_array_feature_extractor__constant_columns__are_picked(
    shape: tuple[int, ...], tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.normal(0, 1, (5, *shape)).astype(np.float32)
    for columns in ([4], [0, 3, 3, 1], [[1, 2]]):
        nodes = [("ml.ArrayFeatureExtractor", ["x", "i"], ["y"], {})]
        constants = {"i": np.asarray(columns, np.int64)}
        path = save(tmp_path / "pick.onnx", nodes, x[0], {"y": np.float32}, constants)
        _require_bits(path, x)
        assert import_onnx(path).answer.shape == (*(shape[:-1] or (1,)), np.asarray(columns).size)


@pytest.mark.parametrize("kind", [np.int64, str])
def test_array_feature_extractor__of_the_best_class__is_its_label_or_number(
    kind: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    labels = np.asarray([30, 10, 20, 50, 40]) if kind is np.int64 else np.asarray(list("dabce"), object)
    nodes = [
        ("ArgMax", ["x"], ["best"], {"axis": 1}),
        ("ml.ArrayFeatureExtractor", ["labels", "best"], ["picked"], {}),
        ("Reshape", ["picked", "shape"], ["y"], {}),
    ]
    x = _table(rng)
    constants = {"labels": labels, "shape": np.asarray([-1], np.int64)}
    path = save(tmp_path / "label.onnx", nodes, x[0], {"y": kind}, constants)
    got, wanted = answers(import_onnx(path), x), expected(path, x, "y")
    assert ((got if kind is np.int64 else labels[got]) == wanted).all() and len(set(wanted.ravel())) > 1


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
@pytest.mark.parametrize("classes", [2, 3])
def test_linear_classifier__features_of_all_sizes__keeps_float32_s_accuracy(
    transform: str, classes: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = _table(rng, 200)
    weights = rng.normal(0, 1, (classes, FEATURES)) / 10.0 ** np.arange(-2, FEATURES - 2)
    attributes = {
        "coefficients": weights.reshape(-1).tolist(), "intercepts": rng.normal(0, 1, classes).tolist(),
        "classlabels_ints": [9, 4, 7][:classes], "post_transform": transform, "multi_class": 1,
    }  # fmt: skip
    _require_scores(tmp_path, "ml.LinearClassifier", attributes, x)


def test_linear_classifier__of_one_score__is_that_of_the_second_class(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = {
        "coefficients": rng.normal(0, 1, FEATURES).tolist(), "intercepts": [0.5], "classlabels_ints": [8, 3],
    }  # fmt: skip
    _require_scores(tmp_path, "ml.LinearClassifier", attributes, grid_rows(rng, 100, FEATURES) / 1e5)


def _require_scores(path: Path, operator: str, attributes: dict[str, Any], x: Array) -> None:
    outputs = {"label": np.int64, "scores": np.float32}
    file = save(path / "linear.onnx", [(operator, ["x"], ["label", "scores"], attributes)], x[0], outputs)
    labels = expected(file, x, "label")
    assert len(np.unique(labels)) > 1
    assert (answers(import_onnx(file, outputs=("label",)), x) == labels).all()
    wanted = expected(file, x, "scores")
    assert np.abs(answers(import_onnx(file), x) - wanted).max() < 1e-6 * max(1.0, np.abs(wanted).max())


@pytest.mark.parametrize("targets", [1, 2])
def test_linear_regressor__features_of_all_sizes__keeps_float32_s_accuracy(
    targets: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    x = _table(rng)
    attributes = {"coefficients": rng.normal(0, 1, FEATURES * targets).tolist(), "targets": targets}
    for intercepts in ([], [0.25] * targets):
        given = attributes | ({"intercepts": intercepts} if intercepts else {})
        path = _one(tmp_path, "ml.LinearRegressor", given, x[0])
        wanted = expected(path, x, "y")
        assert np.abs(answers(import_onnx(path), x) - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_arithmetic__before_trees__is_not_merged(tmp_path: Path, rng: np.random.Generator) -> None:
    """One rounding less would send what lies beside a threshold down another branch."""
    scale, shift = (rng.uniform(0.1, 9, (1, 3)).astype(np.float32) for _ in range(2))
    x = rng.integers(-20, 20, (400, 1, 3)).astype(np.float32)
    scaled = (x / scale * shift + shift).astype(np.float32)
    attributes = random_ensemble(rng, 60, 3, 1, kind="target", modes=["BRANCH_LEQ", "BRANCH_LT"])
    features = np.asarray(attributes["nodes_featureids"])
    picked = scaled[rng.integers(0, 400, features.size), 0, features]
    attributes |= {"nodes_values": picked.tolist(), "n_targets": 1}
    nodes = [
        ("Div", ["x", "scale"], ["a"], {}),
        ("Mul", ["a", "shift"], ["b"], {}),
        ("Add", ["b", "shift"], ["c"], {}),
        ("ml.TreeEnsembleRegressor", ["c"], ["y"], attributes),
    ]
    path = save(tmp_path / "scaled.onnx", nodes, x[0], {"y": np.float32}, {"scale": scale, "shift": shift})
    _require_bits(path, x)


def test_zip_map__of_scores__is_the_scores(tmp_path: Path, rng: np.random.Generator) -> None:
    attributes = random_ensemble(rng, 5, FEATURES, 3) | {"classlabels_int64s": [4, 5, 6]}
    nodes = [
        ("ml.TreeEnsembleClassifier", ["x"], ["label", "scores"], attributes),
        ("ml.ZipMap", ["scores"], ["map"], {"classlabels_int64s": [4, 5, 6]}),
    ]
    x = grid_rows(rng, 50, FEATURES)
    path = save(tmp_path / "map.onnx", nodes, x[0], {"label": np.int64, "map": None})
    model = import_onnx(path)
    assert (model.answer.name, model.answer.shape, model.labels) == ("map", (1, 3), ("4", "5", "6"))
    assert (answers(model, x) == expected(path, x, "map")).all()


REFUSED = {
    "ml.Scaler": ({"offset": [0.0] * 2, "scale": [1.0] * 2}, "2 numbers for 5 features"),
    "ml.Imputer": ({"imputed_value_floats": [0.0] * 2}, "2 numbers for 5 features"),
    "ml.OneHotEncoder": ({"cats_strings": ["a"]}, "categories are text"),
    "ml.Normalizer": ({"norm": "L3"}, "norm L3"),
    "ml.LinearRegressor": ({"coefficients": [1.0] * 4}, "4 coefficients for 1 sums"),
    "ml.SVMRegressor": ({}, "this operator cannot be imported"),
}


@pytest.mark.parametrize("operator", REFUSED)
def test_operator__malformed_or_unknown__is_refused_with_its_node(operator: str, tmp_path: Path) -> None:
    attributes, reason = REFUSED[operator]
    with pytest.raises(ModelError, match=reason) as caught:
        import_onnx(_one(tmp_path, operator, attributes, np.zeros((1, FEATURES), np.float32)))
    assert str(caught.value).startswith(f"ai.onnx.{operator} node '{operator}0': ")


def test_linear_classifier__with_intercepts_for_other_classes__is_refused(tmp_path: Path) -> None:
    attributes = {"coefficients": [1.0] * 10, "intercepts": [0.0, 0.0], "classlabels_ints": [1, 2, 3]}
    nodes = [("ml.LinearClassifier", ["x"], ["label", "y"], attributes)]
    x = np.zeros((1, FEATURES), np.float32)
    with pytest.raises(ModelError, match="2 intercepts for 3 classes"):
        import_onnx(save(tmp_path / "linear.onnx", nodes, x, {"y": np.float32}))
