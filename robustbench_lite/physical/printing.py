"""What a sticker may look like: where it sticks (masks), which colours a printer has, how rough it is."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MASKS", "content", "mask", "non_printability", "palette", "shuffled", "total_variation", "triplets"]

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")  # no others: Pillow hands PostScript to another program
MASKS = ("two_stripes", "octagon", "poster")


def mask(name: str, side: int) -> torch.Tensor:
    """Where the sticker is (side, side), 0 or 1: a named shape, or the bright part of a PNG. Raises AttackError.

    `poster` is the whole sign, `octagon` its face without the border, `two_stripes` a bar above and one below the word.
    """
    from PIL import Image  # where it is needed: declaring an attack must not cost what importing it does

    from robustbench_lite.physical.sign import face, outline

    if name not in MASKS:
        with _open(name, "mask") as picture:
            grey = picture.convert("L").resize((side, side), Image.Resampling.BOX)
        return torch.from_numpy((np.asarray(grey) >= 128).astype(np.float32))
    shape = torch.from_numpy((outline(side) if name == "poster" else face(side)) > 0.999).float()
    if name == "two_stripes":
        row, column = torch.meshgrid(*2 * [(torch.arange(side) + 0.5) / side], indexing="ij")
        bars = ((row > 0.13) & (row < 0.29)) | ((row > 0.71) & (row < 0.87))
        shape = shape * (bars & (column > 0.2) & (column < 0.8))
    return shape


def triplets(path: str) -> torch.Tensor:
    """Printable colours (P, 3) in [0, 1] from a file, `r,g,b` a line, to 1 or to 255. Raises AttackError."""
    try:
        lines = [line for line in _find(path, "printable").read_text(encoding="utf-8").splitlines() if line.strip()]
        colours = torch.tensor([[float(part) for part in line.replace(",", " ").split()] for line in lines])
    except ValueError:
        raise AttackError(f"printable: expected three numbers in each line of {path}") from None
    if colours.ndim != 2 or colours.shape[1] != 3 or colours.min() < 0 or colours.max() > 255:
        raise AttackError(f"printable: expected lines of three numbers from 0 to 1, or 0 to 255, in {path}")
    return colours / 255 if colours.max() > 1 else colours


def palette(n: int) -> torch.Tensor:
    """N colours (n, 3) spread evenly (Sobol) over what a printer reaches: neither quite black nor quite white."""
    sobol: torch.Tensor = torch.quasirandom.SobolEngine(3).draw(n)  # type: ignore[no-untyped-call]
    return 0.05 + 0.87 * sobol


def non_printability(colours: torch.Tensor, printable: torch.Tensor) -> torch.Tensor:
    """Sum over colours (M, 3) of the product of their distances to all printable ones (P, 3); zero iff all printable.

    The non-printability score of Sharif et al. (CCS 2016), as in https://arxiv.org/abs/1707.08945.
    """
    gaps = colours[:, None] - printable.to(colours)
    return (gaps.square().sum(2) + 1e-20).sqrt().prod(1).sum()  # the root has no slope at 0


def total_variation(noise: torch.Tensor) -> torch.Tensor:
    """Sum of absolute differences of neighbouring pixels of (C, S, S)."""
    return noise.diff(dim=1).abs().sum() + noise.diff(dim=2).abs().sum()


def shuffled(colours: torch.Tensor, where: torch.Tensor, order: torch.Tensor, side: int = 8) -> torch.Tensor:
    """A picture (3, S, S) of the same colours in other places: square patches of the mask (S, S) change places.

    Each patch takes the mean colour of another one; `order` (K,) are random numbers, at least one for each patch.
    """
    pool = torch.nn.functional.avg_pool2d
    weight = pool(where[None], side)
    means = pool(colours * where, side) / weight.clamp_min(1e-6)
    patches = (weight[0] > 0).nonzero()
    mixed = patches[order[: len(patches)].argsort()]
    out = means.clone()
    out[:, patches[:, 0], patches[:, 1]] = means[:, mixed[:, 0], mixed[:, 1]]
    return torch.nn.functional.interpolate(out[None], size=where.shape[0], mode="nearest")[0]


def content(path: str) -> str:
    """Hash of a file that a parameter names, so that another content is another attack; empty where there is none."""
    found = _places(path)
    return hashlib.sha256(found[0].read_bytes()).hexdigest() if found else ""


def _places(path: str) -> list[Path]:
    folders = [Path.cwd(), *([Path(data)] if (data := os.environ.get("ROBUSTBENCH_LITE_DATA")) else [])]
    return [folder / path for folder in folders if (folder / path).is_file()]


def _find(path: str, what: str) -> Path:
    found = _places(path)
    if not found:
        raise AttackError(f"{what}: no file '{path}' in the current folder or ROBUSTBENCH_LITE_DATA")
    return found[0]


def _open(path: str, what: str) -> Image.Image:
    from PIL import Image

    place = _find(path, what)
    try:
        return Image.open(place, formats=_FORMATS)
    except OSError:
        raise AttackError(
            f"{what}: {place} is not a readable image; expected a PNG, white where the sticker is"
        ) from None
