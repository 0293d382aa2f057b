"""The bracket of attacks in turn: each member as it is configured, and what they do together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustbench_lite.engine.attack import Composition
from robustbench_lite.trust.bracket.finding import Finding
from robustbench_lite.trust.bracket.images import on_images

__all__ = ["in_turn"]


def in_turn(attack: Composition, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:
    """Every member on its own, and all of them on the plain problems: that takes as long as all together."""
    for member in attack.members.values() if not whole else ():  # whole: every attack is tried on its own anyway
        yield from on_images(member, batch_sizes, whole=False)
    yield from on_images(attack, batch_sizes[-1:], whole=False, plain=True)
