"""What an attack may ask of a classifier: its gradients, its scores (the logits), or only what it decides."""

from __future__ import annotations

from typing import Literal

from robustbench_lite.errors import AttackError

__all__ = ["Access", "narrower", "permit"]

Access = Literal["labels", "scores", "gradients"]
_ORDER: tuple[Access, ...] = ("labels", "scores", "gradients")  # each allows what those before it do


def narrower(one: Access, other: Access) -> Access:
    """The one that allows less."""
    return min(one, other, key=_ORDER.index)


def permit(allowed: Access, asked: Access) -> None:
    """Raises AttackError where less is allowed than is asked for."""
    if _ORDER.index(asked) > _ORDER.index(allowed):
        raise AttackError(
            f"access: expected an attack that gets by with {allowed}, as it declares; this one asks for {asked}: "
            f'declare `access: ClassVar[Access] = "{asked}"`, or ask for less'
        )
