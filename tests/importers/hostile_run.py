"""Commands in a process of their own each, forked from one that has imported everything; with limits."""

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

MEMORY_BYTES = 500 << 20
"""Address space that a command may take beside what it started with."""
CPU_S = 2
"""Processor time a command may take."""
_PRELOAD = [
    "oracle_node.cli.app",
    "oracle_node.cli.model",
    "oracle_node.cli.sources",
    "oracle_node.importers.onnx",
    "oracle_node.importers.gguf",
    "oracle_node.language.tokenizer",
    "oracle_node.model.directory",
    "tests.importers.hostile_run",
]


@dataclass(frozen=True)
class Outcome:
    """How a command ended; `code` is below zero where a signal killed it."""

    code: int
    out: str
    err: str
    cpu_s: float
    extra_bytes: int


def context() -> ForkServerContext:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(_PRELOAD)
    return made


def command(arguments: list[str]) -> None:
    """`oracle-node arguments…`."""
    from oracle_node.cli.app import main

    main(arguments)


def too_large(arguments: list[str]) -> None:
    bytearray(2 * MEMORY_BYTES)


def too_long(arguments: list[str]) -> None:
    while True:
        pass


def run(
    server: ForkServerContext,
    arguments: list[str],
    scratch: Path,
    main: Callable[[list[str]], None] = command,
) -> Outcome:
    """`main(arguments)`, stopped where it outgrows its limits."""
    child = server.Process(target=_limited, args=(main, arguments, str(scratch)))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        child.join()
    out, err, used = ((scratch / name) for name in ("out", "err", "used"))
    cpu, extra = used.read_text().split() if used.exists() else ("nan", "-1")
    assert child.exitcode is not None
    return Outcome(child.exitcode, out.read_text(), err.read_text(), float(cpu), int(extra))


def _limited(main: Callable[[list[str]], None], arguments: list[str], scratch: str) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{scratch}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    have = _address_space()
    resource.setrlimit(resource.RLIMIT_AS, (have + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    try:
        main(arguments)
    finally:
        cpu, most = time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        Path(scratch, "used").write_text(f"{cpu} {(most - rss) * 1024}")
        sys.stdout.flush()
        sys.stderr.flush()


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
