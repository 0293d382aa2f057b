"""How a source reads its images, and which of them are damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.datasets._labels import listed
from robustbench_lite.errors import DataError

__all__ = ["Images", "Reader", "UnreadableError"]

Images = npt.NDArray[np.uint8]
_AT_ONCE = 64  # encoded images in memory


class UnreadableError(DataError):
    """Bytes that are no image, or only the beginning of one."""


@dataclass(frozen=True)
class Reader:
    """How a source reads: (name, what is encoded) of the images at some places of it, and the pixels (C, H, W) of one.

    `quick`: nothing is decoded, so that threads are not worth it.
    """

    read: Callable[[Sequence[int]], Iterable[tuple[str, Any]]]
    decode: Callable[[str, Any], Images]
    quick: bool = False

    def then(self, change: Callable[[Images, str], Images]) -> Reader:
        """The same images, changed."""
        return Reader(self.read, lambda name, item: change(self.decode(name, item), name))

    def damaged(self, places: Sequence[int]) -> dict[int, str]:
        """The names of those that cannot be decoded, by place."""
        return {place: name for place, name, item in self._some(places) if not self._sound(name, item)}

    def counted(self, error: UnreadableError, places: Sequence[int]) -> UnreadableError:
        """The sentence on the first damaged image, with how many others there are at these places, and what to do."""
        first = str(error).split(":", maxsplit=1)[0]
        others = [name for name in self.damaged(places).values() if not name.startswith(first)]
        text = f"{len(others)} more of the {len(places)} images looked at cannot be read: {listed(others, 3)}; "
        advice = f"mend or remove {'them' if others else 'it'}, or say `damaged: skip` on the dataset"
        return UnreadableError(f"{error}; {text if others else ''}{advice}")

    def _some(self, places: Sequence[int]) -> Iterator[tuple[int, str, Any]]:
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE]
            yield from ((place, *item) for place, item in zip(some, self.read(some), strict=True))

    def _sound(self, name: str, item: Any) -> bool:
        try:
            self.decode(name, item)
        except UnreadableError:
            return False
        return True
