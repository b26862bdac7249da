"""Train the digit classifier that the demo uses, and write everything this folder ships.

    pip install 'oracle-node[train]' && python models/digits/train.py

Data: scikit-learn's bundled digits, 1,797 handwritten digits of 8 × 8 pixels with values 0…16; a fifth is held out.
The network is exported by hand with `onnx.helper`, so that the file's bytes depend on the weights and nothing else.
Training runs on one thread with fixed seeds; another CPU or another torch may still round differently, which is why the
file in this folder, and not this script, is what SHA256SUMS pins.
"""

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 7
PIXEL_MAX = 16.0
EPOCHS = 60
BATCH = 32


def network() -> nn.Sequential:
    """(n, 1, 8, 8) pixels in 0…1 → (n, 10) logits; 38,282 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(512, 64), nn.ReLU(),
        nn.Linear(64, 10),
    )  # fmt: skip


def train(images: np.ndarray, labels: np.ndarray) -> nn.Sequential:
    """Fit by Adam with a one-cycle rate and shifts by one pixel; images (n, 1, 8, 8) in 0…1."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=1e-4)
    steps = -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs=EPOCHS, steps_per_epoch=steps)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(BATCH):
            shift = tuple(int(s) for s in torch.randint(-1, 2, (2,)))
            loss = nn.functional.cross_entropy(model(torch.roll(x[batch], shift, (2, 3))), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def to_onnx(model: nn.Sequential) -> onnx.ModelProto:
    """The same network for raw pixels 0…16: the first kernel is divided by 16, which is exact in binary."""
    parameters = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    parameters["0.weight"] = parameters["0.weight"] / np.float32(PIXEL_MAX)
    kernel = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["image", "0.weight", "0.bias"], ["conv1"], name="conv1", **kernel),
        helper.make_node("Relu", ["conv1"], ["relu1"], name="relu1"),
        helper.make_node("Conv", ["relu1", "2.weight", "2.bias"], ["conv2"], name="conv2", **kernel),
        helper.make_node("Relu", ["conv2"], ["relu2"], name="relu2"),
        helper.make_node("MaxPool", ["relu2"], ["pool"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pool"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "7.weight", "7.bias"], ["dense1"], name="dense1", transB=1),
        helper.make_node("Relu", ["dense1"], ["relu3"], name="relu3"),
        helper.make_node("Gemm", ["relu3", "9.weight", "9.bias"], ["logits"], name="dense2", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in parameters.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="oracle-node")
    proto.ir_version = 8
    onnx.checker.check_model(proto, full_check=True)
    return proto


def write(folder: Path, model: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> Sequence[Path]:
    """digits.onnx, the held-out test split, and one test image of every digit as its own file."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(model), folder / "digits.onnx")
    np.savez_compressed(folder / "test.npz", image=images, label=labels)
    for digit in range(10):
        np.save(folder / "samples" / f"{digit}.npy", images[np.flatnonzero(labels == digit)[0]])
    return [folder / "digits.onnx", folder / "test.npz", *sorted((folder / "samples").glob("*.npy"))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="where to write (default: here)"
    )
    folder = parser.parse_args().out

    digits = load_digits()
    pixels = digits.images.astype(np.float32)[:, None]
    fit_x, test_x, fit_y, test_y = train_test_split(
        pixels, digits.target, test_size=0.2, random_state=SEED, stratify=digits.target
    )
    model = train(fit_x / np.float32(PIXEL_MAX), fit_y)
    with torch.no_grad():
        logits = model(torch.from_numpy(test_x / np.float32(PIXEL_MAX))).numpy()
    files = write(folder, model, test_x, test_y)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    right = int((logits.argmax(1) == test_y).sum())
    print(f"{right} of {len(test_y)} held-out digits right ({right / len(test_y):.2%})")


if __name__ == "__main__":
    main()
