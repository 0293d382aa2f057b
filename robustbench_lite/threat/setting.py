"""Where images are attacked, beside the images themselves: an object before a camera, photographs of one object, ...

An attack asks for a setting by its type (`Attack.needs`); who runs and judges it asks the setting what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from robustbench_lite.threat.draws import Draw

__all__ = ["Setting", "Views"]


class Views(Protocol):
    """What a classifier is shown of an image: `see(x, draw, step)` gives one random view of every row."""

    def see(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        """Views (n, C, H', W') in [0, 1] of the images x (n, C, H, W), differentiable in x; `step` (n,) or a number."""
        ...


class Setting:
    """What there is beside the images x (N, C, H, W) that are attacked. The answers here are those of plain images."""

    title: ClassVar[str]  # what a user has to have, as a sentence puts it
    bracket: ClassVar[str]  # the exact answers that an attack which needs this has to find (docs/bracket.md)

    @classmethod
    def of(cls, setting: Setting | None, attack: str) -> Self:
        """The setting, which has to be of this type. Raises AttackError with what the attack of that name needs."""
        if not isinstance(setting, cls):
            there = "images" if setting is None else setting.title
            raise AttackError(f"{attack}: expected {cls.title}, got {there}")
        return setting

    @property
    def views(self) -> Views | None:
        """Where classifiers are never shown the images but only views of them: what makes these, and the judge's."""
        return None

    @property
    def screen(self) -> tuple[int, int, int] | None:
        """The shape (C, H, W) of such a view; None: classifiers look at the images."""
        return None

    @property
    def second(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Where images are made, not changed: logits (N, K) of who says what they show, on the CPU; None: nobody."""
        return None

    @property
    def others(self) -> int | None:
        """How many other images passes are spent on instead, to be counted there; None: on those that are attacked."""
        return None

    def content(self) -> dict[str, Any]:
        """What of it changes the outcome of an attack that needs it: a part of the cell's id."""
        return {}

    def origins(self) -> tuple[dict[str, Any], ...] | None:
        """How each image came about, N rows for the stored column `transform`; None: nothing to be told."""
        return None

    def pick(self, index: torch.Tensor) -> Self:  # noqa: ARG002  (for those that know of each image)
        """The setting of the images with these places (m,)."""
        return self

    def to(self, device: torch.device) -> Self:  # noqa: ARG002  (for those that hold tensors)
        """The same on the device."""
        return self
