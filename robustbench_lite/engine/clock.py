"""Seconds inside passes: by the clock on the wall, or by marks in the queue of a GPU, which nobody waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from robustbench_lite.lazy import torch

__all__ = ["Clock", "Mark"]

_MANY = 1000  # marks that wait to be read: old ones have long been reached
Way = Literal["forward", "backward"]


class Mark(Protocol):
    """A point in the queue of a device, as `torch.cuda.Event` is."""

    def synchronize(self) -> None: ...
    def elapsed_time(self, end: Any, /) -> float: ...


def _in_queue(device: torch.device) -> Mark:
    """A mark behind all that this GPU was told, which need not be the current one."""
    mark = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    mark.record(torch.cuda.current_stream(device))
    return mark


@dataclass
class Clock:
    """Seconds inside forward and backward passes, summed over everything an oracle did.

    `mark`: puts a mark at the end of the queue of the device; null: there is none, and all is done on return.
    """

    mark: Callable[[], Mark] | None = None
    _seconds: dict[Way, float] = field(default_factory=lambda: {"forward": 0.0, "backward": 0.0})
    _marked: list[tuple[Way, Mark, Mark]] = field(default_factory=list)

    @classmethod
    def of(cls, device: torch.device) -> Clock:
        """For passes on this device."""
        return cls(partial(_in_queue, device) if device.type == "cuda" else None)

    @contextmanager
    def __call__(self, way: Way) -> Iterator[None]:
        """A pass runs inside; one that fails does not count."""
        if self.mark is None:
            start = time.perf_counter()
            yield
            self._seconds[way] += time.perf_counter() - start
            return
        before = self.mark()
        yield
        self._marked.append((way, before, self.mark()))
        if len(self._marked) >= 2 * _MANY:
            self._read(_MANY)

    @property
    def forward(self) -> float:
        """Seconds inside forward passes."""
        return self._read()["forward"]

    @property
    def backward(self) -> float:
        """Seconds inside backward passes."""
        return self._read()["backward"]

    def _read(self, most: int | None = None) -> dict[Way, float]:
        """The sums, with at most so many of the oldest marks added to them; null: with all."""
        some, self._marked = (self._marked, []) if most is None else (self._marked[:most], self._marked[most:])
        if some:
            some[-1][2].synchronize()
        for way, before, after in some:
            self._seconds[way] += before.elapsed_time(after) / 1000
        return self._seconds
