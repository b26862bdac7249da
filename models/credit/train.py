"""Train the boosted trees of this folder, and write everything it ships.

    pip install 'oracle-node[train]' && python models/credit/train.py

Data: scikit-learn's bundled breast cancer set, 569 rows of 30 numbers in two classes; a quarter is held out.
Training is deterministic, but another version of scikit-learn may split nodes that tie in another way, and skl2onnx
writes its version into the file: the file in this folder, and not this script, is what SHA256SUMS pins.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

SEED = 11
CLASSES = ("benign", "malignant")


def train(rows: np.ndarray, labels: np.ndarray) -> GradientBoostingClassifier:
    """60 trees of at most 8 leaves on rows (n, 30) f32 and labels (n,) of text."""
    model = GradientBoostingClassifier(
        n_estimators=60, learning_rate=0.2, max_depth=3, subsample=0.7, max_features="sqrt", random_state=SEED
    )
    return model.fit(rows, labels)


def to_onnx(model: GradientBoostingClassifier, features: int) -> onnx.ModelProto:
    """One row in, the probabilities of both classes out; the label is the larger one."""
    proto = convert_sklearn(
        model,
        "credit",
        initial_types=[("row", FloatTensorType([1, features]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 15, "ai.onnx.ml": 1},
    )
    (label,) = (output for output in proto.graph.output if "label" in output.name)
    proto.graph.output.remove(label)
    domains = sorted(proto.opset_import, key=lambda entry: entry.domain)  # the converter keeps them in a set
    del proto.opset_import[:]
    proto.opset_import.extend(domains)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def write(folder: Path, proto: onnx.ModelProto, rows: np.ndarray, labels: np.ndarray) -> Sequence[Path]:
    """credit.onnx, the held-out rows, and the first of either class as its own file."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    onnx.save(proto, folder / "credit.onnx")
    numbers = np.asarray([CLASSES.index(label) for label in labels])
    np.savez_compressed(folder / "test.npz", row=rows[:, None], label=numbers)
    for number in range(len(CLASSES)):
        np.save(folder / "samples" / f"{number}.npy", rows[np.flatnonzero(numbers == number)[:1]])
    return [folder / "credit.onnx", folder / "test.npz", *sorted((folder / "samples").glob("*.npy"))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="where to write (default: here)"
    )
    folder = parser.parse_args().out

    data = load_breast_cancer()
    texts = np.asarray(data.target_names)[data.target]
    fit_x, test_x, fit_y, test_y = train_test_split(
        data.data.astype(np.float32), texts, test_size=0.25, random_state=SEED, stratify=texts
    )
    model = train(fit_x, fit_y)
    files = write(folder, to_onnx(model, fit_x.shape[1]), test_x, test_y)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    right = int((model.predict(test_x) == test_y).sum())
    print(f"{right} of {len(test_y)} held-out rows right ({right / len(test_y):.2%})")


if __name__ == "__main__":
    main()
