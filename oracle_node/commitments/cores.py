"""Hashing on all cores, in processes that share a window of memory: `hashlib` keeps the interpreter's lock for 1 KiB
messages, so that threads would gain nothing. Where they cannot run, this process does the work, with the same result.
"""

import mmap
import os
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock

from oracle_node.commitments.hashing import CHUNK_BYTES, HASH_BYTES, leaves
from oracle_node.commitments.merkle import depth, root_over

SEGMENT_BYTES = 1 << 20
SEGMENT_HEIGHT = depth(SEGMENT_BYTES // CHUNK_BYTES)
_WINDOW_BYTES = 64 * SEGMENT_BYTES
_MAX_WORKERS = 16
_SHARED_FD = 3


def segment_roots(data: memoryview) -> bytes:
    """Concatenated roots of the subtrees over each whole MiB of the data."""
    if _lock.acquire(blocking=False):
        try:
            return _pool().segment_roots(data)
        except OSError:
            _close()
        finally:
            _lock.release()
    return _hash_here(data)


def serve() -> None:
    """A worker's loop: lines of "start stop" (bytes of the shared window) in, concatenated roots out."""
    shared = memoryview(mmap.mmap(_SHARED_FD, _WINDOW_BYTES))
    for line in sys.stdin:
        start, stop = map(int, line.split())
        sys.stdout.buffer.write(_hash_here(shared[start:stop]))
        sys.stdout.buffer.flush()


def _hash_here(data: memoryview) -> bytes:
    starts = range(0, len(data), SEGMENT_BYTES)
    return b"".join(root_over(leaves(data[s : s + SEGMENT_BYTES]), 0, SEGMENT_HEIGHT) for s in starts)


class _Pool:
    """Workers that live as long as this process, and the window of memory they share with it."""

    def __init__(self) -> None:
        self._file = os.memfd_create("oracle-node-hashing")
        os.ftruncate(self._file, _WINDOW_BYTES)
        self._window = memoryview(mmap.mmap(self._file, _WINDOW_BYTES))
        cores = min(len(os.sched_getaffinity(0)), _MAX_WORKERS)
        self._workers = [self._start() for _ in range(cores if cores > 1 else 0)]

    def _start(self) -> tuple[int, int]:
        """A worker's (requests, replies) pipe ends; it ends when this process closes them."""
        package_root = str(Path(__file__).resolve().parents[2])
        program = f"import sys; sys.path.insert(0, {package_root!r}); from {__name__} import serve; serve()"
        their_input, requests = os.pipe()
        replies, their_output = os.pipe()
        ends = [(their_input, 0), (their_output, 1), (self._file, _SHARED_FD)]
        actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in ends]
        os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ, file_actions=actions)
        os.close(their_input)
        os.close(their_output)
        return requests, replies

    def segment_roots(self, data: memoryview) -> bytes:
        """As the function; OSError where a worker has gone."""
        if not self._workers:
            return _hash_here(data)
        windows = range(0, len(data), _WINDOW_BYTES)
        return b"".join(self._hash_window(data[at : at + _WINDOW_BYTES]) for at in windows)

    def _hash_window(self, data: memoryview) -> bytes:
        self._window[: len(data)] = data
        segments, count = len(data) // SEGMENT_BYTES, len(self._workers)
        bounds = [segments * k // count for k in range(count + 1)]
        shares = list(zip(self._workers, bounds[:-1], bounds[1:], strict=True))
        for (requests, _), first, end in shares:
            os.write(requests, f"{first * SEGMENT_BYTES} {end * SEGMENT_BYTES}\n".encode())
        return b"".join(_read(replies, (end - first) * HASH_BYTES) for (_, replies), first, end in shares)

    def close(self) -> None:
        for end in (end for ends in self._workers for end in ends):
            with suppress(OSError):
                os.close(end)
        self._workers = []


def _read(descriptor: int, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = os.read(descriptor, size - len(received))
        if not part:
            raise OSError("a hashing worker has ended")
        received += part
    return received


_lock = Lock()
_pools: list[_Pool] = []


def _pool() -> _Pool:
    if not _pools:
        if not hasattr(os, "memfd_create"):
            raise OSError("no anonymous shared memory on this system")
        _pools.append(_Pool())
    return _pools[0]


def _close() -> None:
    """Work without workers from now on."""
    for pool in _pools:
        pool.close()
