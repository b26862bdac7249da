"""The models that come with the package: float networks with test inputs, from `models/` of the repository."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from oracle_node.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "_models", _PACKAGE.parent / "models")
"""Inside an installed package, and in a source checkout."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """A folder of `models/`."""

    folder: Path

    @property
    def source(self) -> Path:
        """The float32 ONNX file."""
        return self.folder / f"{self.folder.name}.onnx"

    def sample(self, label: int) -> Path:
        """A real test input of that class, never trained on (.npy)."""
        return self.folder / "samples" / f"{label}.npy"

    def test_split(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (n, …) and classes (n,) that were held out of training."""
        with np.load(self.folder / "test.npz", allow_pickle=False) as archive:
            return np.asarray(archive["image"]), np.asarray(archive["label"])


def shipped(name: str = "digits") -> Shipped:
    """A shipped model by its name; ConfigError where there is none."""
    for place in _PLACES:
        if (place / name / f"{name}.onnx").is_file():
            return Shipped(place / name)
    raise ConfigError(f"the package ships no model {name!r}")
