"""How many samples are attacked before they are stored: minutes of work, and no more than fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from robustbench_lite.errors import UsageError
from robustbench_lite.results.shards import Shard, gaps
from robustbench_lite.runner.cell_trial import Prepared

__all__ = ["WHOLE", "Share", "Sizes"]

_SECONDS = 120.0  # of work that a run which is killed may lose
_BYTES = 256 * 2**20  # of images as float32; an attack holds several times as much
_FEWEST = 16  # a smaller window wastes the device
_DEARER = 1.5  # a pass, half of them backwards, than a forward pass


@dataclass(frozen=True)
class Share:
    """The part `number` (from 0) of so many equal `parts` of the samples of a cell."""

    number: int = 0
    parts: int = 1

    def of(self, n: int) -> tuple[int, int]:
        """From which to which of n samples it is."""
        return n * self.number // self.parts, n * (self.number + 1) // self.parts

    def part(self, number: int, parts: int) -> Share:
        """The part `number` (from 0) of so many of it."""
        return Share(self.number * parts + number, self.parts * parts)

    @classmethod
    def parse(cls, text: str) -> Self:
        """That of `I/N`, counted from 1. Raises UsageError."""
        number, _, parts = text.partition("/")
        if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
            raise UsageError(f"--shard: expected I/N with I from 1 to N, such as 2/3, got {text!r}")
        return cls(int(number) - 1, int(parts))

    def __str__(self) -> str:
        return f"{self.number + 1}/{self.parts}"


WHOLE = Share()


@dataclass(frozen=True)
class Sizes:
    """The shards of n samples: `wanted` in each, or null: at least `least`, at most `most`, by how long they take."""

    n: int
    wanted: int | None
    least: int
    most: int
    expected: float  # seconds for a sample

    @classmethod
    def of(cls, whole: Prepared, wanted: int | None) -> Self:
        """Those of a cell; one that cannot be taken apart has one."""
        n, assets = len(whole), whole.preflight.assets
        if not whole.separable:
            return cls(n, n, n, n, 0.0)
        shape = whole.samples.images.shape[1:]
        window = assets.batch_for(whole.like())
        least = window if assets.device.type == "cuda" else min(window, _FEWEST)
        most = max(1, _BYTES // (4 * shape[0] * shape[1] * shape[2]))
        return cls(n, wanted, least, most, whole.cell.attack.typical_passes * whole.pace * _DEARER)

    def parts(self, done: list[Shard], share: Share = WHOLE) -> Iterator[tuple[int, int]]:
        """From which to which sample the next shard is, as long as any are missing; `done` grows meanwhile."""
        first, last = share.of(self.n)
        while left := [(max(first, a), min(last, b)) for a, b in gaps(done, self.n) if a < last and b > first]:
            (start, stop), size = left[0], self._size(done)
            yield start, stop if stop - start < 1.5 * size and self.wanted is None else min(stop, start + size)

    def _size(self, done: list[Shard]) -> int:
        if self.wanted is not None:
            return self.wanted
        spent = sum(shard.facts["seconds"] + shard.facts["seconds_judge"] for shard in done)
        each = spent / sum(len(shard) for shard in done) if done else self.expected
        return min(self.most, max(self.least, int(_SECONDS / max(each, 1e-9))))
