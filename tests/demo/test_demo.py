"""The demo and the dispute bench, as users run them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oracle_node.cli.sources import import_source
from oracle_node.model.directory import save_model
from tests.cli.conftest import oracle as oracle
from tests.cli.running import Cli

MAX_GAS_TOTAL = 1_000_000
MAX_GAS_STEP = 350_000


def test_demo__as_json__answers_finalizes_and_refutes(oracle: Cli) -> None:
    ran = oracle("demo", "--engine", "pyevm", "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert {key: found[key] for key in ("answered", "finalized", "refuted")} == dict.fromkeys(
        ("answered", "finalized", "refuted"), True
    )
    assert found["digit"] == 7
    assert found["gas_total"] == sum(move["gas"] for move in found["moves"])
    assert [found["moves"][end]["move"] for end in (0, -1)] == ["open", "prove"]
    assert {move["who"] for move in found["moves"]} == {"liar", "watcher"}


def test_bench_dispute__digits__stays_within_the_bounds(oracle: Cli) -> None:
    found = oracle("bench", "dispute", "--engine", "pyevm", "--json").json
    assert found["rounds"] <= 6
    assert found["gas_total"] <= MAX_GAS_TOTAL
    assert found["gas_step"] <= MAX_GAS_STEP
    assert found["gas_total"] == sum(found["gas_by_move"].values())
    assert found["reference"]["quoted"] is True


def test_bench_dispute__mnist__stays_within_the_bounds(
    oracle: Cli, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    save_model(import_source(shared_data("onnx/mnist-12.onnx")), tmp_path / "mnist")
    found = oracle("bench", "dispute", "--model", tmp_path / "mnist", "--engine", "pyevm", "--json").json
    assert found["rounds"] <= 6
    assert found["gas_total"] <= MAX_GAS_TOTAL
    assert found["gas_step"] <= MAX_GAS_STEP
    assert found["seconds"] < 10


def test_bench_dispute__tensor_that_does_not_exist__is_one_line(oracle: Cli) -> None:
    ran = oracle("bench", "dispute", "--tensor", 9999)
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_bench_exact__digits__reports_both_ratios(oracle: Cli) -> None:
    found = oracle("bench", "exact", "--rounds", 3, "--json").json
    assert found["ratio_float32"] == pytest.approx(found["exact_ms"] / found["float32_ms"])
    assert found["ratio_int8_dynamic"] > 0


def test_bench_exact__model_without_its_source__is_a_usage_error(oracle: Cli, tmp_path: Path) -> None:
    assert oracle("bench", "exact", "--model", tmp_path).code == 2


def test_bench_commit__small__reports_its_ratio(oracle: Cli) -> None:
    found = oracle("bench", "commit", "--mebibytes", 4, "--rounds", 1, "--json").json
    assert found["ratio"] == pytest.approx(found["gib_per_s"] / found["hashlib_gib_per_s"])


def test_demo__image_that_is_no_digit__is_one_line(oracle: Cli, tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.zeros(65, np.float32))
    ran = oracle("demo", "--input", tmp_path / "large.npy")
    assert ran.code == 1
    assert "65 elements, the model takes 64" in ran.err
