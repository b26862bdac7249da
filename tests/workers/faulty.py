"""Tasks that harm the worker they run in. A module of its own: worker processes import it."""

import ctypes
import mmap
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from oracle_node.workers.bench import Workbench
from oracle_node.workers.tasks import Task


@dataclass(frozen=True)
class Segfault(Task[None]):
    """Reads address 0 in native code."""

    def run(self, bench: Workbench) -> None:
        ctypes.string_at(0)


@dataclass(frozen=True)
class Killed(Task[None]):
    """As the kernel ends what takes too much memory."""

    def run(self, bench: Workbench) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Exit(Task[None]):
    """Ends its process as a library might."""

    def run(self, bench: Workbench) -> None:
        os._exit(3)


@dataclass(frozen=True)
class Hang(Task[None]):
    """Never comes back, and says that it has begun by making a file, if it is given one."""

    begun: Path | None = None

    def run(self, bench: Workbench) -> None:
        if self.begun is not None:
            self.begun.write_text(str(os.getpid()))
        time.sleep(1000)


@dataclass(frozen=True)
class HangHoldingTheLock(Task[None]):
    """Hangs in native code without releasing the interpreter lock."""

    begun: Path

    def run(self, bench: Workbench) -> None:
        self.begun.write_text(str(os.getpid()))
        ctypes.PyDLL(None).sleep(1000)


@dataclass(frozen=True)
class Bug(Task[None]):
    """Raises what is no error of ours."""

    def run(self, bench: Workbench) -> None:
        raise IndexError("a bug in a model's way")


@dataclass(frozen=True)
class Devour(Task[int]):
    """Takes private memory, and touches it."""

    mebibytes: int

    def run(self, bench: Workbench) -> int:
        return len([bytearray(b"\1" * (1 << 20)) for _ in range(self.mebibytes)])


@dataclass(frozen=True)
class MapFile(Task[int]):
    """Maps and reads a file, as weights are."""

    path: Path

    def run(self, bench: Workbench) -> int:
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return sum(mapped[:: 1 << 20])


@dataclass(frozen=True)
class Once(Task[str]):
    """Crashes the first time, and works the second."""

    mark: Path

    def run(self, bench: Workbench) -> str:
        if not self.mark.exists():
            self.mark.touch()
            os._exit(1)
        return "second"


@dataclass(frozen=True)
class Echo(Task[int]):
    """The worker's process id, after a word on standard output."""

    is_urgent: bool = False

    def run(self, bench: Workbench) -> int:
        print("said on standard output", flush=True)
        return os.getpid()


@dataclass(frozen=True)
class Settings(Task[dict[str, object]]):
    """How the process is set up."""

    def run(self, bench: Workbench) -> dict[str, object]:
        return {
            "ignores_interrupt": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "oom_score": int(Path("/proc/self/oom_score_adj").read_text()),
            "has_web3": "web3" in sys.modules,
        }
