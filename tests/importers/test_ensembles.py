"""Tree ensembles beside ONNX Runtime: the same leaves, the same bits of raw scores, the same labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oracle_node.errors import ModelError
from oracle_node.importers.imported import ImportedModel
from oracle_node.importers.onnx import import_onnx
from oracle_node.tape.step import step_bytes
from tests.importers.tabular import (
    GRID,
    MODES,
    OUTPUTS,
    Array,
    answers,
    classifier_file,
    expected,
    grid_rows,
    random_ensemble,
    regressor_file,
)

FEATURES = 4


def _both(path: Path, x: Array) -> tuple[Array, Array, Array, Array]:
    """Labels and scores by the tape, then by ONNX Runtime."""
    tapes = [answers(import_onnx(path, outputs=(name,)), x) for name in OUTPUTS]
    floats = [expected(path, x, name) for name in OUTPUTS]
    return tapes[0], tapes[1], floats[0], floats[1]


def _require_equal(path: Path, x: Array, error: float = 0.0) -> None:
    label, scores, label32, scores32 = _both(path, x)
    assert len(np.unique(label32)) > 1
    assert (label == label32).all()
    assert np.abs(scores - scores32).max() <= error


@pytest.mark.parametrize("mode", [*MODES, "all"])
@pytest.mark.parametrize("votes", ["all", "one"])
def test_classifier__of_several_classes__gives_the_runtime_s_bits(
    mode: str, votes: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    modes = MODES if mode == "all" else (mode,)
    attributes = random_ensemble(rng, 23, FEATURES, 3, votes=votes, modes=modes)
    x = grid_rows(rng, 200, FEATURES)
    _require_equal(classifier_file(tmp_path, attributes | {"classlabels_int64s": [0, 1, 2]}, x[0]), x)


@pytest.mark.parametrize("base", [0.0, 0.25])
@pytest.mark.parametrize("lowest", [-1.0, 0.0])
@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC"])
def test_classifier__of_two_classes__gives_the_runtime_s_answers(
    base: float, lowest: float, transform: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 9, FEATURES, 1, votes="first", lowest=lowest)
    scale = (0.5 - base) / 4.5 if lowest == 0.0 else 1.0  # probabilities about 0.5, or margins about 0
    attributes["class_weights"] = [w * scale for w in attributes["class_weights"]]
    attributes |= {"classlabels_int64s": [-7, 40], "post_transform": transform}
    attributes |= {"base_values": [base]} if base else {}
    x = grid_rows(rng, 200, FEATURES)
    path = classifier_file(tmp_path, attributes, x[0])
    _require_equal(path, x, 2e-7 if transform == "LOGISTIC" else 0.0)


@pytest.mark.parametrize("transform", ["SOFTMAX", "SOFTMAX_ZERO", "LOGISTIC"])
@pytest.mark.parametrize("base", [[], [0.5, -0.25, 0.0, 1.0]])
def test_classifier__transformed_scores__are_within_a_millionth(
    transform: str, base: list[float], tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 20, FEATURES, 4, votes="one")
    attributes["class_weights"] = [round(w) * 1.5 for w in attributes["class_weights"]]  # many are 0
    attributes |= {"classlabels_int64s": [3, 1, 2, 0], "post_transform": transform}
    attributes |= {"base_values": base} if base else {}
    x = grid_rows(rng, 200, FEATURES)
    path = classifier_file(tmp_path, attributes, x[0])
    kept = np.isfinite(expected(path, x, "scores")).all(1)  # ONNX Runtime divides 0 by 0 where all are 0
    assert kept.mean() > 0.8
    _require_equal(path, x[kept], 1e-6)


@pytest.mark.parametrize("trees", [10, 20, 30, 50, 60, 100, 150, 300])
def test_forest__half_of_the_votes__falls_as_in_the_runtime(trees: int, tmp_path: Path) -> None:
    """1/n added n/2 times in float32 is below, at or above 0.5, as n has it; nearby counts frame it."""
    weight = float(np.float32(1 / trees))
    thresholds = [float(t) for t in range(trees)]
    tree = np.repeat(np.arange(trees), 3).tolist()
    attributes = {
        "nodes_treeids": tree, "nodes_nodeids": [0, 1, 2] * trees, "nodes_featureids": [0] * 3 * trees,
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * trees,
        "nodes_values": [v for t in thresholds for v in (t, 0.0, 0.0)],
        "nodes_truenodeids": [1, 0, 0] * trees, "nodes_falsenodeids": [2, 0, 0] * trees,
        "class_treeids": np.repeat(np.arange(trees), 2).tolist(), "class_nodeids": [1, 2] * trees,
        "class_ids": [0] * 2 * trees, "class_weights": [0.0, weight] * trees, "classlabels_int64s": [0, 1],
    }  # fmt: skip
    x = np.arange(-1, trees + 1, dtype=np.float32).reshape(-1, 1, 1)
    _require_equal(classifier_file(tmp_path, attributes, x[0]), x)


def test_classifier__equal_scores__take_the_first_class(tmp_path: Path, rng: np.random.Generator) -> None:
    attributes = random_ensemble(rng, 8, FEATURES, 3)
    attributes["class_weights"] = [round(w) / 4 for w in attributes["class_weights"]]
    x = grid_rows(rng, 300, FEATURES)
    path = classifier_file(tmp_path, attributes | {"classlabels_int64s": [5, 6, 7]}, x[0])
    scores = np.sort(expected(path, x, "scores"), axis=1)
    assert (scores[:, -1] == scores[:, -2]).mean() > 0.1
    _require_equal(path, x)


@pytest.mark.parametrize("trees", [1, 4, 5])
def test_classifier__with_trees_of_one_leaf_and_rounds_cut_short__gives_the_runtime_s_bits(
    trees: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, trees, FEATURES, 3, votes="one", depth=2)
    lone = random_ensemble(rng, 1, FEATURES, 1, depth=0)
    for name, values in lone.items():
        attributes[name] += [trees for _ in values] if name.endswith("treeids") else values
    attributes |= {"classlabels_int64s": [0, 1, 2], "base_values": [0.5, -0.25, 0.125]}
    x = grid_rows(rng, 100, FEATURES)
    label, scores, label32, scores32 = _both(classifier_file(tmp_path, attributes, x[0]), x)
    assert (label == label32).all() and (scores == scores32).all()


def test_classifier__rows_of_a_fixed_batch__are_answered_together(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    x = grid_rows(rng, 30, FEATURES).reshape(10, 3, FEATURES)
    for votes in ("one", "all"):
        attributes = random_ensemble(rng, 12, FEATURES, 3, votes=votes)
        _require_equal(classifier_file(tmp_path, attributes | {"classlabels_int64s": [4, 9, 1]}, x[0]), x)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("function", ["SUM", "AVERAGE"])
@pytest.mark.parametrize("has_base", [False, True])
def test_regressor__any_number_of_targets__gives_the_runtime_s_bits(
    targets: int, function: str, has_base: bool, tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 17, FEATURES, targets, kind="target")
    attributes |= {"n_targets": targets, "aggregate_function": function}
    attributes |= {"base_values": [1.5, -2.25, 0.1][:targets]} if has_base else {}
    x = grid_rows(rng, 100, FEATURES)
    path = regressor_file(tmp_path, attributes, x[0])
    wanted = expected(path, x, "y")
    assert len(np.unique(wanted)) > 10
    assert (answers(import_onnx(path), x) == wanted).all()


def test_classifier__integer_features__are_compared_as_floats(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    x = rng.integers(-3, 4, (100, 1, FEATURES))
    attributes = random_ensemble(rng, 17, FEATURES, 3) | {"classlabels_int64s": [0, 1, 2]}
    _require_equal(classifier_file(tmp_path, attributes, x[0]), x)


@pytest.mark.parametrize("threshold", [np.inf, -np.inf, np.nan, 3.4028235e38, 1e-45, 0.0])
@pytest.mark.parametrize("mode", MODES)
def test_threshold__beyond_all_inputs_or_next_to_zero__sends_them_as_the_runtime_does(
    mode: str, threshold: float, tmp_path: Path
) -> None:
    attributes = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_modes": [mode, "LEAF", "LEAF"], "nodes_values": [threshold, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }  # fmt: skip
    x = np.asarray([-1e5, -1e-45, 0, 1e-45, 3e-45, 1e5], np.float32).reshape(-1, 1, 1)
    path = regressor_file(tmp_path, attributes, x[0])
    assert (answers(import_onnx(path), x) == expected(path, x, "y")).all()


def test_feature__beyond_the_range_of_networks__is_compared_as_it_is(tmp_path: Path) -> None:
    attributes = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [2.5e9, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0],
        "n_targets": 1,
    }  # fmt: skip
    x = np.asarray([2e9, 3e9, -3e9], np.float32).reshape(-1, 1, 1)
    path = regressor_file(tmp_path, attributes, x[0])
    assert (answers(import_onnx(path), x) == expected(path, x, "y")).all()


def test_trees__very_deep__take_one_level_a_comparison(tmp_path: Path) -> None:
    """A chain of 200 comparisons, as an unbalanced tree has them."""
    depth = 200
    inner, leaves = range(depth), range(depth, 2 * depth + 1)
    attributes = {
        "nodes_treeids": [0] * (2 * depth + 1), "nodes_nodeids": list(range(2 * depth + 1)),
        "nodes_featureids": [0] * (2 * depth + 1), "nodes_modes": ["BRANCH_LT"] * depth + ["LEAF"] * (depth + 1),
        "nodes_values": [float(i) for i in inner] + [0.0] * (depth + 1),
        "nodes_truenodeids": [depth + i for i in inner] + [0] * (depth + 1),
        "nodes_falsenodeids": [i + 1 if i < depth - 1 else 2 * depth for i in inner] + [0] * (depth + 1),
        "target_treeids": [0] * (depth + 1), "target_nodeids": list(leaves), "target_ids": [0] * (depth + 1),
        "target_weights": [float(i) / 3 for i in range(depth + 1)], "n_targets": 1,
    }  # fmt: skip
    x = np.linspace(-5, 205, 60, dtype=np.float32).reshape(-1, 1, 1)
    path = regressor_file(tmp_path, attributes, x[0])
    model = import_onnx(path)
    assert (answers(model, x) == expected(path, x, "y")).all()
    assert len(model.tape.instructions) < 4 * depth + 20


def test_trees__many__keep_every_step_small(tmp_path: Path, rng: np.random.Generator) -> None:
    x = grid_rows(rng, 3, FEATURES)
    attributes = random_ensemble(rng, 1500, FEATURES, 1, kind="target", depth=6) | {"n_targets": 1}
    path = regressor_file(tmp_path, attributes, x[0])
    model = import_onnx(path)
    assert (answers(model, x) == expected(path, x, "y")).all()
    symbols, count = model.tape.symbols((FEATURES, 1, 0)), len(model.tape.instructions)
    assert max(step_bytes(i, symbols, count) for i in model.tape.instructions) < 11_500


def test_trees__equal_ones__share_their_nodes(tmp_path: Path, rng: np.random.Generator) -> None:
    one = random_ensemble(rng, 1, FEATURES, 1, kind="target")
    twice = {name: values + values for name, values in one.items()}
    for name in ("nodes_treeids", "target_treeids"):
        twice[name] = one[name] + [1] * len(one[name])
    x = grid_rows(rng, 20, FEATURES)
    single, double = (import_onnx(regressor_file(tmp_path, a | {"n_targets": 1}, x[0])) for a in (one, twice))
    assert (answers(double, x) == 2 * answers(single, x)).all()
    assert _largest_weight(double) == _largest_weight(single)


def _largest_weight(model: ImportedModel) -> int:
    return max(weight.size for weight in model.tape.weights)


def test_answer__by_default__is_the_scores_with_the_labels_beside(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 5, FEATURES, 3) | {"classlabels_strings": ["low", "mid", "high"]}
    x = grid_rows(rng, 50, FEATURES)
    model = import_onnx(path := classifier_file(tmp_path, attributes, x[0], text=True))
    assert (model.answer.name, model.answer.shape, model.answer.dtype) == ("scores", (1, 3), "float32")
    assert model.labels == ("low", "mid", "high")
    # a tape answers numbers: where labels are text, the number of the class
    chosen = import_onnx(path, outputs=("label",))
    assert (chosen.answer.shape, chosen.answer.dtype, chosen.labels) == ((1,), "int64", ())
    texts = np.asarray(model.labels)[answers(chosen, x).reshape(-1)]
    assert (texts == expected(path, x, "label").reshape(-1)).all()


def test_answer__scores_alone__takes_no_instructions_for_the_label(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 5, FEATURES, 3) | {"classlabels_int64s": [1, 5, 2]}
    path = classifier_file(tmp_path, attributes, GRID[None, :FEATURES])
    scores, label = (import_onnx(path, outputs=(name,)).tape for name in ("scores", "label"))
    assert "ARGMAX" not in _reducers(scores) and "ARGMAX" in _reducers(label)


def _reducers(tape: Any) -> set[str]:
    return {i.tail.reducer.name for i in tape.instructions if hasattr(i.tail, "reducer")}


def test_answer__of_both_types__is_still_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    attributes = random_ensemble(rng, 5, FEATURES, 3) | {"classlabels_int64s": [0, 1, 2]}
    path = classifier_file(tmp_path, attributes, GRID[None, :FEATURES])
    with pytest.raises(ModelError, match="different types: choose some of one type"):
        import_onnx(path, outputs=("label", "scores"))


def test_missing_values__that_a_tree_would_send_its_own_way__are_noted(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    attributes = random_ensemble(rng, 3, FEATURES, 1, kind="target") | {"n_targets": 1}
    x = grid_rows(rng, 10, FEATURES)
    assert import_onnx(regressor_file(tmp_path, attributes, x[0])).notes == ()
    attributes["nodes_missing_value_tracks_true"] = [1] * len(attributes["nodes_modes"])
    path = regressor_file(tmp_path, attributes, x[0])
    model = import_onnx(path)
    assert "a request cannot carry NaN" in model.notes[0]
    zeros, missing = np.zeros_like(x[:1]), np.full_like(x[:1], np.nan)
    assert (answers(model, missing) == expected(path, zeros, "y")).all()
