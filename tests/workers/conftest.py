"""A small model on disk, and where it is loaded from."""

from functools import partial
from pathlib import Path

import pytest

from oracle_node.model.directory import save_model
from oracle_node.node.shelf import Shelf
from oracle_node.workers.bench import LoadShelf
from tests.e2e.arena import toy


@pytest.fixture(scope="session")
def toy_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy's files."""
    directory = tmp_path_factory.mktemp("models") / "toy"
    save_model(toy().model, directory)
    return directory


@pytest.fixture
def load(toy_directory: Path) -> LoadShelf:
    """As the node gives it to its workers."""
    return partial(Shelf.load, (toy_directory,), 1)
