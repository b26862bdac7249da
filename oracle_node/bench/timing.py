"""Timing two or more things fairly: interleaved, so that a machine that slows down slows all of them; medians."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

Work = Callable[[], object]


def medians_s(
    works: Mapping[str, Work], rounds: int, before: Work = lambda: None, after: Work = lambda: None
) -> dict[str, float]:
    """Median seconds of each work over `rounds` interleaved rounds, after one round to warm up.

    `before` comes ahead of every work and `after` ends every round; neither is timed.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_number in range(rounds + 1):
        for name, work in works.items():
            before()
            start = perf_counter()
            work()
            if round_number:
                taken[name].append(perf_counter() - start)
        after()
    return {name: median(times) for name, times in taken.items()}
