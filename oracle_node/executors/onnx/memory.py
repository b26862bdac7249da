"""How much memory this process may still use."""

import os
import resource
from pathlib import Path

_RESERVE_BYTES = 2 << 30
"""Left for activations, and for all else on the machine."""
_LEAST_BYTES = 256 << 20


def default_cache_bytes() -> int:
    """Most of what is free now, but for a reserve."""
    free = _available_bytes()
    return max(_LEAST_BYTES, min(free - _RESERVE_BYTES, free // 4 * 3))


def _available_bytes() -> int:
    """Free memory of the machine, or what the control group or the process's own limit leaves where that is less."""
    free = [_machine_bytes()]
    limit, used = (_number(Path(f"/sys/fs/cgroup/memory.{name}")) for name in ("max", "current"))
    if limit is not None:
        free.append(max(0, limit - (used or 0)))
    private, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if private != resource.RLIM_INFINITY:
        free.append(max(0, private - _private_bytes()))
    return min(free)


def _private_bytes() -> int:
    """What counts towards the process's limit on data."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    except OSError:
        return 0


def _machine_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 4 * _RESERVE_BYTES


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
