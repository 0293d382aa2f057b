"""Which samples of a dataset a suite tests, and on which others it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.datasets.base import DataSource, Samples, images, padded
from robustbench_lite.datasets.stream import ahead
from robustbench_lite.errors import DataError

if TYPE_CHECKING:
    import torch

    from robustbench_lite.suite.builder import Suite

__all__ = ["Selection", "Shown", "head", "size_of"]

_POOL = 4  # times as many samples as wanted are looked through for those that every classifier gets right


@dataclass(frozen=True)
class Selection:
    """The datasets of a suite, cut to `limit` samples each."""

    suite: Suite
    limit: int | None

    def source(self, name: str) -> DataSource:
        """Where dataset `name` comes from."""
        return next(entry.source for entry in self.suite.data if entry.name == name)

    def wanted(self, name: str) -> int | None:
        """How many samples of dataset `name` the suite asks for; None: all there are."""
        asked = [number for number in (self.source(name).samples, self.limit) if number is not None]
        return min(asked) if asked else None

    def pool(self, name: str) -> Samples:
        """The samples to test, or with `keep: correct_by_all` to choose from, on their canvas. Raises DataError."""
        return padded(self._unpadded(name), self.source(name).pad)

    def _unpadded(self, name: str) -> Samples:
        source, wanted = self.source(name), self.wanted(name)
        if source.keep == "all" or wanted is None:
            samples = source.load(self.suite.root)
            return samples if wanted is None else head(samples, wanted)
        most = _POOL * wanted
        try:
            return source.model_copy(update={"samples": most}).load(self.suite.root)
        except DataError:  # not that many, or a class has too few: everything, then
            everything = source.model_copy(update={"samples": None, "stratified": False}).load(self.suite.root)
            return head(everything, most)

    def fitting(self, name: str, n: int, tested: Samples) -> Samples:
        """N samples of `fit_from`, or those next in rank, none of which is tested. Raises DataError."""
        source = self.source(name)
        origin = source.fit_source or source.model_copy(update={"samples": None, "stratified": False})
        try:  # tested ones may be among the first, but not more than there are
            found = origin.model_copy(update={"samples": len(tested) + n}).load(self.suite.root)
        except DataError:  # fewer than that: all there are
            found = origin.load(self.suite.root)
        found, taken = padded(found, source.pad), set(tested.ids)
        free = [i for i, sample in enumerate(found.ids) if sample not in taken]
        if len(free) < n:
            raise DataError(
                f"fit: {n} images are wanted beside the {len(tested)} tested ones, dataset '{found.dataset}' has "
                f"{len(free)}; fit on fewer, test fewer, or name another source with fit_from"
            )
        sizes = [size_of(tuple(some.images.shape[1:])) for some in (found, tested)]
        if sizes[0] != sizes[1]:
            raise DataError(f"fit_from: its images are {sizes[0]}, those tested {sizes[1]}; set size on one of them")
        some = found.taken(free[:n])
        return Samples(some.dataset, some.ids, some.images, some.labels, some.classes)


def head(samples: Samples, n: int) -> Samples:
    """The first n by hash rank (the order in which sources deliver)."""
    return samples.taken(slice(n))


@dataclass(frozen=True)
class Shown:
    """The images of samples as classifiers are shown them, float32 in [0, 1]: some at a time, the next ones ahead."""

    samples: Samples

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return self.samples.images.shape

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Those at some places, decoded now; after a slice the next one is begun with."""
        x = images(self.samples, index)
        if isinstance(index, slice) and index.stop is not None:
            ahead(self.samples.images, slice(index.stop, index.stop + len(x)))
        return x


def size_of(shape: tuple[int, ...]) -> str:
    """`3x32x32`, as sentences put it."""
    return "x".join(str(part) for part in shape)
