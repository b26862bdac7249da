"""How much memory this process may still use."""

import os
from pathlib import Path

_RESERVE_BYTES = 2 << 30
"""Left for activations, and for all else on the machine."""
_LEAST_BYTES = 256 << 20


def default_cache_bytes() -> int:
    """Most of what is free now, but for a reserve."""
    free = _available_bytes()
    return max(_LEAST_BYTES, min(free - _RESERVE_BYTES, free // 4 * 3))


def _available_bytes() -> int:
    """Free memory of the machine, or of the control group where that is less."""
    machine = _machine_bytes()
    limit, used = (_number(Path(f"/sys/fs/cgroup/memory.{name}")) for name in ("max", "current"))
    return machine if limit is None else min(machine, max(0, limit - (used or 0)))


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
