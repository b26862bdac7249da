"""Trees as scikit-learn, LightGBM and XGBoost train and convert them, on every row of their data sets."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from oracle_node.bench.selftest import random_requests, selftest
from oracle_node.executors.onnx import OnnxExecutor
from oracle_node.importers.onnx import import_onnx
from oracle_node.model.model import Card, Model
from oracle_node.tape.step import step_bytes, step_gas
from tests.importers.tabular import Array, answers, expected

datasets = pytest.importorskip("sklearn.datasets")
skl2onnx = pytest.importorskip("skl2onnx")
onnxmltools = pytest.importorskip("onnxmltools")
lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: E402
from sklearn import ensemble, impute, linear_model, pipeline, preprocessing  # noqa: E402

DATA = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
SEED = {"random_state": 5, "n_jobs": 1}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "random_forest": lambda: ensemble.RandomForestClassifier(100, **SEED),
    "extra_trees": lambda: ensemble.ExtraTreesClassifier(40, **SEED),
    "gradient_boosting": lambda: ensemble.GradientBoostingClassifier(
        n_estimators=20, max_features="sqrt", random_state=5
    ),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=30, verbose=-1, **SEED),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=30, **SEED),
}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "random_forest": lambda: ensemble.RandomForestRegressor(30, **SEED),
    "gradient_boosting": lambda: ensemble.GradientBoostingRegressor(n_estimators=30, random_state=5),
    "lightgbm": lambda: lightgbm.LGBMRegressor(n_estimators=30, verbose=-1, **SEED),
    "xgboost": lambda: xgboost.XGBRegressor(n_estimators=30, **SEED),
}


@cache
def _data(name: str) -> tuple[Array, Array]:
    """Rows (n, 1, features) and classes (n,)."""
    found = DATA[name]()
    return found.data.astype(np.float32)[:, None], found.target


def _write(path: Path, model: Any, x: Array, y: Array) -> Path:
    """The model, trained and converted as its library's users do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[:, 0], y)
        convert = {
            "lightgbm": onnxmltools.convert_lightgbm,
            "xgboost": onnxmltools.convert_xgboost,
            "sklearn": skl2onnx.convert_sklearn,
        }[type(model).__module__.split(".")[0]]
        kind = (
            FloatTensorType
            if convert is not skl2onnx.convert_sklearn
            else skl2onnx.common.data_types.FloatTensorType
        )
        onnx.save(convert(model, initial_types=[("x", kind([None, x.shape[-1]]))], target_opset=15), path)
    return path


def _require_same(path: Path, x: Array) -> None:
    """Every label, every largest score, and every score within a millionth."""
    label, scores = (output.name for output in onnx.load(path).graph.output)
    model = import_onnx(path)
    assert model.answer.name == scores
    got, wanted = answers(model, x), expected(path, x, scores)
    labels = expected(path, x, label)
    chosen = answers(import_onnx(path, outputs=(label,)), x)
    if labels.dtype.kind in "UO":
        chosen = np.asarray(model.labels)[chosen]
    assert len(np.unique(labels)) > 1 and (chosen == labels).all()
    assert (got.argmax(1) == wanted.argmax(1)).all()
    assert np.abs(got - wanted).max() < 1e-6


def _require_proved(path: Path, x: Array) -> None:
    """numpy, ONNX Runtime and the EVM agree, and every step stays within its bounds."""
    model = Model.of(import_onnx(path).tape, Card("trees"))
    requests = [x[0].tobytes(), x[-1].tobytes(), *random_requests(model, 1, 3)]
    found = selftest(model, OnnxExecutor(model.tape), requests, 600, 7, lambda done: None)
    assert found.mismatches == [] and found.elements_checked >= 600
    symbols, count = (
        model.tape.symbols((x[0].size, model.tape.sources[1].max_elements, 0)),
        len(model.tape.instructions),
    )
    assert max(step_bytes(i, symbols, count) for i in model.tape.instructions) < 11_000
    assert max(step_gas(i, symbols) for i in model.tape.instructions) < 1_000_000


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_classifier__every_row__is_answered_as_the_runtime_does(kind: str, data: str, tmp_path: Path) -> None:
    x, y = _data(data)
    path = _write(tmp_path / "trees.onnx", CLASSIFIERS[kind](), x, y)
    _require_same(path, x)
    _require_proved(path, x)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_regressor__every_row__is_answered_with_the_runtime_s_bits(kind: str, tmp_path: Path) -> None:
    diabetes = datasets.load_diabetes()
    x, y = diabetes.data.astype(np.float32)[:, None], diabetes.target
    path = _write(tmp_path / "trees.onnx", REGRESSORS[kind](), x, y)
    (output,) = (o.name for o in onnx.load(path).graph.output)
    assert (answers(import_onnx(path), x) == expected(path, x, output)).all()
    _require_proved(path, x)


def _forest() -> Any:
    return ensemble.RandomForestClassifier(15, **SEED)


PIPELINES: dict[str, Callable[[], list[Any]]] = {
    "standard": lambda: [preprocessing.StandardScaler(), _forest()],
    "min_max": lambda: [preprocessing.MinMaxScaler(), _forest()],
    "robust": lambda: [preprocessing.RobustScaler(), _forest()],
    "imputed": lambda: [impute.SimpleImputer(), _forest()],
    "l1": lambda: [preprocessing.Normalizer("l1"), _forest()],
    "l2": lambda: [preprocessing.Normalizer("l2"), _forest()],
    "logistic": lambda: [preprocessing.StandardScaler(), linear_model.LogisticRegression()],
}


@pytest.mark.parametrize("data", ["wine", "breast_cancer"])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline__with_labels_of_text__is_answered_as_the_runtime_does(
    name: str, data: str, tmp_path: Path
) -> None:
    x, y = _data(data)
    texts = np.asarray(["gold", "silver", "bronze"])[y]
    path = _write(tmp_path / "pipeline.onnx", pipeline.make_pipeline(*PIPELINES[name]()), x, texts)
    _require_same(path, x)
    assert import_onnx(path).labels == tuple(sorted(set(texts)))


def test_pipeline__with_categories__is_answered_as_the_runtime_does(tmp_path: Path) -> None:
    from sklearn.compose import make_column_transformer

    x, y = _data("wine")
    x = np.concatenate([np.round(x[..., :1]), x[..., 1:]], -1)
    columns = make_column_transformer(
        (preprocessing.OneHotEncoder(sparse_output=False, handle_unknown="ignore"), [0]),
        (preprocessing.StandardScaler(), [1, 2, 5]),
        remainder="passthrough",
    )
    path = _write(tmp_path / "columns.onnx", pipeline.make_pipeline(columns, _forest()), x, y)
    _require_same(path, x)
