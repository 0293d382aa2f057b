"""The bracket of attacks in turn: each member as it is configured, and what they do together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustbench_lite.engine.attack import Composition
from robustbench_lite.trust.bracket.finding import Finding
from robustbench_lite.trust.bracket.images import LONG, on_images
from robustbench_lite.trust.bracket.recipes import QUICK

__all__ = ["in_turn"]


def in_turn(attack: Composition, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:
    """The members that are quick, as they are configured; and all of them together on one problem.

    Together they take thousands of passes for an image; those that take long are tried on their own where they are
    used on their own.
    """
    for member in attack.members.values() if not whole else ():
        if member.typical_passes <= LONG:
            yield from on_images(member, batch_sizes, whole=False)
    yield from on_images(attack, batch_sizes[-1:], whole=False, recipes=(QUICK,))
