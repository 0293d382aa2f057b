"""How many classes a network has that the user's code makes: one look at a grey image."""

from __future__ import annotations

from pathlib import Path

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.lazy import torch
from robustbench_lite.models.imported import Home

__all__ = ["outputs"]


def outputs(python: str, root: Path, size: tuple[int, ...]) -> int:
    """The width of what `module:factory` gives for images of `size` (C, H, W). Runs that code. Raises ModelError."""
    from robustbench_lite.models.archs.unwrapped import Unwrapped, place_of_logits  # they need torch

    place, _, factory = python.rpartition(":")
    if not place or not factory:
        raise ModelError(f"--python: expected module:factory or path/to/file.py:factory, got '{python}'")
    with blamed(f"--python {python} fails on an image of size {list(size)}", ModelError, "load"), undisturbed():
        x = torch.full((2, *size), 0.5)
        with Home(place, root) as home, torch.no_grad():
            net = home.get(factory)().eval()
            out = net(x)
            where = None if isinstance(out, torch.Tensor) else place_of_logits(out)
            logits = out if where is None else Unwrapped(net, where)(x)
        return max(2, int(logits.shape[-1])) if logits.ndim > 1 else 2
