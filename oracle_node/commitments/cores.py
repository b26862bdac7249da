"""Hashing on all cores, in processes that share a window of memory: `hashlib` keeps the interpreter's lock for 1 KiB
messages, so that threads would gain nothing. Where they cannot run, this process does the work, with the same result.
"""

import mmap
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock

from oracle_node.commitments.hashing import CHUNK_BYTES, HASH_BYTES, leaves
from oracle_node.commitments.merkle import depth, root_over

SEGMENT_BYTES = 1 << 20
SEGMENT_HEIGHT = depth(SEGMENT_BYTES // CHUNK_BYTES)
_WINDOW_BYTES = 64 * SEGMENT_BYTES
_TASK_BYTES = 2 * SEGMENT_BYTES
"""What a worker gets at once: little, so that one on a busy core does not hold up the rest."""
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
        starts = iter(range(0, len(data), _TASK_BYTES))
        roots: dict[int, bytes] = {}

        def drive(worker: tuple[int, int]) -> None:
            requests, replies = worker
            for start in starts:
                stop = min(start + _TASK_BYTES, len(data))
                os.write(requests, f"{start} {stop}\n".encode())
                roots[start] = _read(replies, (stop - start) // SEGMENT_BYTES * HASH_BYTES)

        with ThreadPoolExecutor(len(self._workers)) as threads:
            list(threads.map(drive, self._workers))
        return b"".join(roots[start] for start in sorted(roots))

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
_pools: dict[int, _Pool] = {}
"""By process id: a forked child must not talk to its parent's workers."""


def _pool() -> _Pool:
    if os.getpid() not in _pools:
        if not hasattr(os, "memfd_create"):
            raise OSError("no anonymous shared memory on this system")
        _pools[os.getpid()] = _Pool()
    return _pools[os.getpid()]


def _close() -> None:
    """Do without workers from now on."""
    if os.getpid() in _pools:
        _pools[os.getpid()].close()
