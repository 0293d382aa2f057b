"""Who does what next, and when all is done. Pure: the drivers ask it, `plan` and simulations play it through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush
from typing import Protocol

__all__ = ["Timed", "finish", "pick"]

_ALIKE = 0.5  # of the longest job's time: those that take as much may go before it


class Timed(Protocol):
    """A job of which the expected time is known, and the classifiers that it needs."""

    @property
    def seconds(self) -> float: ...

    @property
    def classifiers(self) -> AbstractSet[str]: ...


def pick(queue: Sequence[Timed], loaded: AbstractSet[str], elsewhere: AbstractSet[str] = frozenset()) -> int:
    """The place in the queue, the longest first, of the job that a worker who has `loaded` these classifiers does next.

    The longest, or one not much shorter for which it has less to load; then one for which others have less to load.
    """
    comparable = [i for i, job in enumerate(queue) if job.seconds >= _ALIKE * queue[0].seconds]

    def price(i: int) -> tuple[int, int]:
        missing = queue[i].classifiers - loaded
        return len(missing), len(missing & elsewhere)

    return min(comparable, key=price)


def finish(
    jobs: Sequence[Timed], workers: int, load: Callable[[str], float] = lambda _: 0.0, start: float = 0.0
) -> float:
    """Seconds until so many workers have done all; `load`: of a classifier, once a worker; `start`: of a worker."""
    queue = sorted(jobs, key=lambda job: -job.seconds)
    loaded = [set[str]() for _ in range(min(workers, len(jobs)))]
    free = [(start, place) for place in range(len(loaded))]
    last = 0.0
    while queue:
        now, place = heappop(free)
        elsewhere = set[str]().union(*(names for other, names in enumerate(loaded) if other != place))
        job = queue.pop(pick(queue, loaded[place], elsewhere))
        done = now + job.seconds + sum(load(name) for name in job.classifiers - loaded[place])
        loaded[place] |= job.classifiers
        heappush(free, (done, place))
        last = max(last, done)
    return last
