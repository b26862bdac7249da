"""`bench commit`: trace hashing beside bare `hashlib` over the same 1 KiB chunks."""

from hashlib import sha256
from os import cpu_count

import numpy as np

from oracle_node.bench.timing import medians_s
from oracle_node.commitments.hashing import CHUNK_BYTES
from oracle_node.commitments.tensor import tensor_bytes, tensor_root

GIB = float(1 << 30)


def bench_commit(mebibytes: int, rounds: int = 5) -> dict[str, float | int]:
    """GiB/s of `tensor_root` over one large tensor, and over as many bytes in single-core pieces, and of bare hashlib.

    `ratio` is one core against hashlib on the same core; `ratio_all_cores` the large tensor against it.
    """
    data = np.random.default_rng(1).integers(0, 256, mebibytes << 20, np.uint8)
    view = tensor_bytes(data)
    size = len(view)
    pieces = [data[at : at + SINGLE_CORE_BYTES] for at in range(0, size, SINGLE_CORE_BYTES)]

    def bare() -> None:
        for at in range(0, size, CHUNK_BYTES):
            sha256(view[at : at + CHUNK_BYTES]).digest()

    def one_core() -> None:
        for piece in pieces:
            tensor_root(piece)

    seconds = medians_s({"bare": bare, "one": one_core, "all": lambda: tensor_root(data)}, rounds)
    return {
        "mebibytes": mebibytes,
        "cores": cpu_count() or 1,
        "gib_per_s": size / GIB / seconds["one"],
        "gib_per_s_all_cores": size / GIB / seconds["all"],
        "hashlib_gib_per_s": size / GIB / seconds["bare"],
        "ratio": seconds["bare"] / seconds["one"],
        "ratio_all_cores": seconds["bare"] / seconds["all"],
    }


SINGLE_CORE_BYTES = 1 << 20
"""A tensor so small that hashing it stays on one core."""
