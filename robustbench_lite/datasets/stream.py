"""Images that are decoded when they are asked for, in a few threads; those that come next meanwhile, in the background.

What is wrong with a file is said where its image is asked for, and by nobody else: one that fails in the background is
decoded again in the foreground.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.datasets._reader import Images, Reader, UnreadableError
from robustbench_lite.datasets._room import check_room
from robustbench_lite.datasets._said import heard, notes
from robustbench_lite.errors import DataError
from robustbench_lite.lazy import torch

__all__ = ["Images", "Pixels", "Reader", "Stream", "ahead", "close", "parts", "text_of"]

Index = slice | Sequence[int] | npt.NDArray[Any]
_WINDOW = 64 * 2**20  # bytes of pixels that are decoded in one go, and as many ahead
_THREADS = 4  # at most; and no more than PyTorch has, whose cores they share
_DARK = 16  # of 255; where no pixel of any image is brighter, the numbers mean something else
_FEW = 4  # images that are sooner decoded than threads are started


class _Batch:
    """Places that are read together, when the first of their images is decoded."""

    def __init__(self, reader: Reader, places: Sequence[int]) -> None:
        self.reader, self.places, self.lock = reader, places, threading.Lock()
        self.items: list[tuple[str, Any] | None] = []

    def image(self, number: int) -> tuple[str, Images, set[str]]:
        """The name and the pixels of one, which is then forgotten, and what was said of them."""
        with self.lock:
            self.items = self.items or list(self.reader.read(self.places))
            item, self.items[number] = self.items[number], None
        assert item is not None
        with heard() as said:
            return item[0], self.reader.decode(*item), said


class Decoder:
    """The images of the source `what`, by their places in it. Raises DataError."""

    def __init__(self, what: str, reader: Reader, places: Sequence[int]) -> None:
        self.what, self.reader = what, reader
        try:
            self.name, image, _ = _Batch(reader, places[:1]).image(0)
        except UnreadableError as error:
            raise reader.counted(error, places) from None
        self.said = dict[str, set[int]]()  # what was decided about pixels, and the places of the images
        self.shape, self.brightest = image.shape, 0  # of all that were decoded so far
        self._begun = dict[int, Future[tuple[str, Images, set[str]]]]()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """What looks wrong, once all images have been decoded."""
        said = f"{self.what}: the brightest pixel of all images is {self.brightest} of 255: what do the numbers mean?"
        return (said,) if self.brightest <= _DARK else ()

    def notes(self, places: Iterable[int]) -> tuple[str, ...]:
        """What was decided about the pixels of the images at these places."""
        wanted = set(places)
        counts = {what: len(wanted & where) for what, where in self.said.items()}
        return notes(self.what, counts, len(wanted))

    def images(self, places: Sequence[int]) -> Images:
        """(n, C, H, W); some of them may have been begun before."""
        wanted = list(dict.fromkeys(places))
        if len(wanted) < len(places):
            number = {place: i for i, place in enumerate(wanted)}
            return self.images(wanted)[[number[place] for place in places]]
        size = math.prod(self.shape)
        advice = "take fewer samples, or set size on the dataset"
        check_room(len(places) * size, f"{len(places)} images of {text_of(self.shape)}", advice)
        out = np.empty((len(places), *self.shape), np.uint8)
        step = max(1, _WINDOW // max(1, size))
        try:
            for start in range(0, len(places), step):
                for i, image in enumerate(self._window(places[start : start + step]), start):
                    out[i] = image
        except UnreadableError as error:
            self.close()
            told = self.reader.counted(error, places)
            told.stage = "load"
            raise told from None
        except BaseException as error:
            self.close()
            if isinstance(error, DataError):
                error.stage = error.stage or "load"
            raise
        if not self._begun:
            self.close()
        self.brightest = max(self.brightest, int(out.max(initial=0)))
        return out

    def ahead(self, places: Sequence[int]) -> None:
        """Begin with those that will be asked for next, as many as are decoded in one go."""
        if not self.reader.quick and len(places) > _FEW:
            self._begin(places[: max(1, _WINDOW // max(1, math.prod(self.shape)))])

    def close(self) -> None:
        """Forget what was begun; no thread is left."""
        self._begun.clear()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def _window(self, places: Sequence[int]) -> Iterator[Images]:
        missing = [place for place in places if place not in self._begun]
        if not self.reader.quick and len(missing) > _FEW:
            self._begin(missing)
            missing = []
        here = {place: i for i, place in enumerate(missing)}
        batch = _Batch(self.reader, missing)
        for place in places:
            name, image, said = batch.image(here[place]) if place in here else self._awaited(place)
            for what in said:
                self.said.setdefault(what, set()).add(place)
            yield self._alike(name, image)

    def _awaited(self, place: int) -> tuple[str, Images, set[str]]:
        future = self._begun.pop(place)
        return _Batch(self.reader, [place]).image(0) if future.exception() else future.result()

    def _begin(self, places: Sequence[int]) -> None:
        new = [place for place in places if place not in self._begun]
        pool = self._pool = self._pool or ThreadPoolExecutor(min(_THREADS, torch.get_num_threads()), "decode")
        batch = _Batch(self.reader, new)
        self._begun |= {place: pool.submit(batch.image, i) for i, place in enumerate(new)}

    def _alike(self, name: str, image: Images) -> Images:
        """The image, where it has the shape of the first. Raises DataError."""
        one, other = self.shape, image.shape
        if one == other:
            return image
        wanted = ("size", "channels") if one[0] != other[0] and one[1:] != other[1:] else ("size",)
        wanted = ("channels",) if one[1:] == other[1:] else wanted
        raise DataError(
            f"images differ in shape: {self.name} is {text_of(one)}, {name} is {text_of(other)}; "
            f"set {' and '.join(wanted)} on the dataset"
        )


@dataclass(frozen=True)
class Stream:
    """Images (N, C, H, W) uint8 on the disk: indexed like an array, but decoded each time. Raises DataError.

    `places` (N,) in the source; `pad` black pixels around each. `key`: what their pixels depend on beside their ids.
    """

    decoder: Decoder
    places: npt.NDArray[np.int64]
    key: str
    pad: int = 0

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        channels, *sides = self.decoder.shape
        return (len(self), channels, *(side + 2 * self.pad for side in sides))

    @property
    def nbytes(self) -> int:
        """Of all of them, decoded."""
        return math.prod(self.shape)

    def __getitem__(self, index: Index) -> Images:
        images = self.decoder.images(self.places[index].tolist())
        sides = ((self.pad, self.pad),) * 2
        return np.pad(images, ((0, 0), (0, 0), *sides)) if self.pad else images

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about pixels, as far as they have been decoded."""
        return self.decoder.notes(self.places.tolist())

    def said(self) -> dict[str, list[int]]:
        """The same by the numbers of the images, for the next run."""
        said = self.decoder.said
        return {what: [i for i, place in enumerate(self.places.tolist()) if place in said[what]] for what in said}

    def recall(self, said: dict[str, list[int]]) -> None:
        """What an earlier run has seen, without decoding."""
        for what, numbers in said.items():
            self.decoder.said.setdefault(what, set()).update(self.places[numbers].tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)

    def taken(self, index: Index) -> Stream:
        """Some of them, not yet decoded."""
        return replace(self, places=self.places[index])

    def padded(self, pad: int) -> Stream:
        """The same with `pad` more black pixels on every side."""
        return replace(self, pad=self.pad + pad)


Pixels = Images | Stream


def ahead(pixels: Pixels, index: Index) -> None:
    """Begin to decode what will be asked for next; nothing where all is in memory."""
    if isinstance(pixels, Stream):
        pixels.decoder.ahead(pixels.places[index].tolist())


def close(pixels: Pixels) -> None:
    """Nobody goes on: forget what was begun, leave no thread."""
    if isinstance(pixels, Stream):
        pixels.decoder.close()


def parts(pixels: Pixels) -> Iterator[Images]:
    """All images in their order, so many at a time (n, C, H, W) as are decoded in one go, the next ones meanwhile."""
    step = max(1, _WINDOW // max(1, math.prod(pixels.shape[1:])))
    try:
        for start in range(0, len(pixels), step):
            part = pixels[start : start + step]
            ahead(pixels, slice(start + step, start + 2 * step))
            yield part
    finally:
        close(pixels)


def text_of(shape: Sequence[int]) -> str:
    """`3x32x32`, as sentences put it."""
    return "x".join(str(side) for side in shape)
