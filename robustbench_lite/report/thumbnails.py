"""Small pictures of samples that classifiers disagree on, so that comparing shows images and not their ids."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from robustbench_lite.report.pictures import eight_bits, pictured, stored

if TYPE_CHECKING:
    from robustbench_lite.results.evaluation import Evaluation
    from robustbench_lite.results.store import Results

__all__ = ["Thumbnails"]

_SIDE = 64  # pixels at most
_ROOM = 600_000  # characters of a page
_OF_ATTACK = 24  # samples


@dataclass
class Thumbnails:
    """Pictures by content, as PNG in base64, as long as there is room."""

    texts: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    used: int = 0
    room: int = _ROOM

    def of(self, members: Sequence[tuple[Results, Evaluation]]) -> list[dict[str, tuple[int, int]]]:
        """For each of these classifiers, by sample: the places of the image before and after the attack.

        Only of samples that stay right for some and not for others, and whose images are stored.
        """
        out = []
        wanted = _telling(members)
        for results, one in members:
            cell, found = one.id, {}
            for sample in wanted:
                if sample in pictured(results, cell) and self.used < self.room:
                    row = stored(results, cell)[sample]
                    clean = np.frombuffer(row["clean"], np.uint8).reshape(row["shape"])
                    after = np.nan_to_num(np.frombuffer(row["adversarial"], "<f4").reshape(row["shape"]))
                    found[sample] = self._add(clean), self._add(eight_bits(after))
            out.append(found)
        return out

    def _add(self, pixels: npt.NDArray[np.uint8]) -> int:
        text = _png(pixels)
        if text not in self.places:
            self.places[text] = len(self.texts)
            self.texts.append(text)
            self.used += len(text)
        return self.places[text]


def _telling(members: Sequence[tuple[Results, Evaluation]]) -> list[str]:
    """The first samples that stay right under the attack for some of these and not for others."""
    said: dict[str, set[bool]] = {}
    for _, one in members:
        for sample, right in zip(one.samples, one.robust.tolist(), strict=True):
            said.setdefault(sample, set()).add(right)
    images = pictured(members[0][0], members[0][1].id)
    return [sample for sample, both in said.items() if len(both) > 1 and sample in images][:_OF_ATTACK]


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    """(C, H, W), shrunk where it is large."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    if max(image.size) > _SIDE:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
