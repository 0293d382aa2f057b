"""Logits out of what a network returns around them: a tuple, a dictionary, or an object with `.logits`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["Unwrapped", "place_of_logits"]

_ROWS = 2  # dimensions of logits (N, K)


class Unwrapped(nn.Module):
    """What `net` returns under `place`: the key of a mapping, the index of a tuple, or the name of an attribute."""

    def __init__(self, net: nn.Module, place: str | int) -> None:
        super().__init__()
        self.net, self.place = net, place

    def forward(self, x: Tensor) -> Any:
        out = self.net(x)
        return dict(_entries(out))[self.place]


def place_of_logits(out: object) -> str | int | None:
    """Where the logits are: under the name `logits`, else the first tensor of two dimensions; null where none is."""
    tensors = {place: value for place, value in _entries(out) if isinstance(value, Tensor)}
    if "logits" in tensors:
        return "logits"
    return next((place for place, value in tensors.items() if value.ndim == _ROWS), None)


def _entries(out: object) -> Iterator[tuple[str | int, object]]:
    if not isinstance(out, Mapping) and hasattr(out, "logits"):
        yield "logits", out.logits
    if isinstance(out, Mapping):
        yield from out.items()
    elif isinstance(out, (tuple, list)):
        yield from enumerate(out)
