"""Model directories that somebody has tampered with: each spoils one that was whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.importers.hostile_onnx import ESCAPES

Spoil = Callable[[Path], object]


def _manifest(change: Callable[[dict[str, Any]], object]) -> Spoil:
    def spoil(directory: Path) -> None:
        path = directory / "model.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return spoil


def _text(content: str | bytes) -> Spoil:
    data = content.encode() if isinstance(content, str) else content
    return lambda directory: (directory / "model.json").write_bytes(data)


def _bytes(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    return lambda directory: (directory / name).write_bytes(change((directory / name).read_bytes()))


def _replaced(name: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(directory: Path) -> None:
        (directory / name).unlink()
        make(directory / name)

    return spoil


def _weight(**changes: Any) -> Spoil:
    return _manifest(lambda m: m["weights"][0].update(changes))


def _flip(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


SPOILT: dict[str, Spoil] = {
    "one bit of the tape": _bytes("tape.bin", _flip),
    "one bit of the weights": _bytes("weights.bin", _flip),
    "a tape cut short": _bytes("tape.bin", lambda data: data[:-3]),
    "an empty tape": _bytes("tape.bin", lambda data: b""),
    "a tape of zeros": _bytes("tape.bin", lambda data: bytes(len(data))),
    "a tape of one instruction of 65535 bytes": _bytes("tape.bin", lambda data: b"\xff\xff" + data),
    "a tape a million instructions long": _bytes("tape.bin", lambda data: data + data[:40] * 10**6),
    "weights cut short": _bytes("weights.bin", lambda data: data[:-1]),
    "weights with more after them": _bytes("weights.bin", lambda data: data + b"\1"),
    "no weights": _bytes("weights.bin", lambda data: b""),
    "weights that are gone": lambda directory: (directory / "weights.bin").unlink(),
    "a tape that is gone": lambda directory: (directory / "tape.bin").unlink(),
    "a manifest that is gone": lambda directory: (directory / "model.json").unlink(),
    "a manifest that is a folder": _replaced("model.json", Path.mkdir),
    "a manifest that is a pipe": _replaced("model.json", os.mkfifo),
    "a tape that is a pipe": _replaced("tape.bin", os.mkfifo),
    "weights that are a pipe": _replaced("weights.bin", os.mkfifo),
    "a manifest without an end": _replaced("model.json", lambda path: path.symlink_to("/dev/zero")),
    "a manifest that leads to itself": _replaced("model.json", lambda path: path.symlink_to(path)),
    "a manifest of 1 GiB": _replaced("model.json", lambda path: (path.touch(), os.truncate(path, 1 << 30))),
    "a manifest of no text": _text(b"\xff\xfe{}"),
    "a manifest that is empty": _text(""),
    "a manifest of another kind": _text("[1, 2, 3]"),
    "a manifest of a million brackets": _text("[" * 10**6),
    "a card of 300 brackets": _manifest(lambda m: m["card"]["input"].update(kind=_deep(300))),
    "a key too many": _manifest(lambda m: m.update(weights_path="../../etc/passwd")),
    "a key that steers the terminal": _manifest(lambda m: m.update({ESCAPES: 1})),
    "a format of 2": _manifest(lambda m: m.update(format=2)),
    "an id of another model": _manifest(lambda m: m.update(model_id="0x" + "00" * 32)),
    "an id that is no hash": _manifest(lambda m: m.update(model_id="0x../../x")),
    "an output that is not there": _manifest(lambda m: m.update(output=10**6)),
    "a negative output": _manifest(lambda m: m.update(output=-1)),
    "a number of instructions": _manifest(lambda m: m.update(instructions=2**31)),
    "a source of 2^40 elements": _manifest(lambda m: m["sources"][0].update(max_elements=2**40)),
    "a source of more than it has": _manifest(lambda m: m["sources"][0].update(min_elements=2**31)),
    "four sources": _manifest(lambda m: m["sources"].append(m["sources"][0])),
    "a step bound that is no number": _manifest(lambda m: m.update(step_bound=float("nan"))),
    "a weight of 2^120 elements": _weight(shape=[2**60, 2**60]),
    "a weight of 65 axes": _weight(shape=[1] * 65),
    "a weight below zero": _weight(shape=[-1]),
    "a weight that starts below zero": _weight(offset=-64),
    "a weight that starts at 2^70": _weight(offset=2**70),
    "a weight of an unknown type": _weight(dtype="f128"),
    "a weight of another root": _weight(root="0x" + "00" * 32),
    "two weights in one place": _manifest(lambda m: m["weights"].append(m["weights"][0])),
}


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value
