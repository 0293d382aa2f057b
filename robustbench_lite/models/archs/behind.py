"""A classifier behind a defence, and the backward pass of the attacker that knows it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from robustbench_lite.engine.mixture import mix
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.models.archs.straight import led

__all__ = ["Behind"]


class Shows(Protocol):
    """What stands in front: a `Defense`, as far as it matters here."""

    @property
    def draws(self) -> int: ...

    def see(self, x: Tensor, number: int) -> Tensor: ...

    def stand_in(self, x: Tensor, number: int) -> Tensor | None: ...

    def identity(self) -> str: ...


class Behind(nn.Module):
    """`net` shown what the defence makes of images (N, C, H, W): logits (N, K), of several draws those of the mean.

    Forwards everything is the defence's own to the bit; backwards its stand-in is differentiated where it has one.
    """

    known: Tensor

    def __init__(self, net: nn.Module, defense: Shows) -> None:
        super().__init__()
        self.net, self.defense = net, defense
        text = torch.tensor(list(defense.identity().encode()), dtype=torch.uint8)
        self.register_buffer("known", text)  # so that hashes of the module's content tell two defences apart

    def forward(self, x: Tensor) -> Tensor:
        logits = [logits_of(self.net, self.shown(x, number)) for number in range(self.defense.draws)]
        return logits[0] if len(logits) == 1 else mix(logits)

    def shown(self, x: Tensor, number: int) -> Tensor:
        """What the classifier is shown of the images in a draw."""
        instead = self.defense.stand_in(x, number) if torch.is_grad_enabled() else None
        if instead is None:
            return self.defense.see(x, number)
        with torch.no_grad():
            returned = self.defense.see(x.detach(), number)
        return led(instead, returned)
