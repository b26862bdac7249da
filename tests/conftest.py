"""Fixtures that every test may use, and the rule that no test leaves this machine."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests that import ONNX Runtime by themselves too
REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"
_connect = socket.socket.connect


def _connect_locally(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"a test tried to reach {address}")
    _connect(self, address)


@pytest.fixture(autouse=True)
def stay_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets connect to this machine only."""
    monkeypatch.setattr(socket.socket, "connect", _connect_locally)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a file of others' test data; skips where it is absent."""

    def find(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs ../shared/data/{name}, test data that the repository does not ship")
        return path

    return find
