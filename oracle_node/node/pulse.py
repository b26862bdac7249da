"""Signs of life: every loop of the node beats, and who asks can tell which one has stopped."""

import time
from collections.abc import Mapping


class Pulse:
    """The last beat of each named loop, on the monotonic clock."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}

    def beat(self, name: str) -> None:
        """The loop of that name is alive and getting on."""
        self._beats[name] = time.monotonic()

    def ages_s(self) -> Mapping[str, float]:
        """Seconds since each loop's last beat."""
        now = time.monotonic()
        return {name: now - beat for name, beat in self._beats.items()}

    def stalled(self, after_s: float) -> list[str]:
        """Loops that have been silent for longer."""
        return sorted(name for name, age in self.ages_s().items() if age > after_s)
