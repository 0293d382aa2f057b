"""Text of unknown origin, made safe to look at, and numbers as people write them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["budget", "listed", "visible"]


def visible(text: str) -> str:
    """Control and direction characters as their code points: a name cannot move the cursor or reverse the line."""
    if text.isprintable():
        return text
    return "".join(
        f"<U+{ord(char):04X}>" if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} else char
        for char in text
    )


def budget(epsilon: float) -> str:
    """A radius for images in [0, 1]: 8/255 where it is a whole or half number of grey levels and no short decimal."""
    levels = 255 * epsilon
    if float(f"{epsilon:.2g}") == epsilon or abs(2 * levels - round(2 * levels)) > 1e-6 * levels:
        return f"{epsilon:.4g}"
    return f"{round(2 * levels) / 2:g}/255"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence: a, b and c; beyond `most` the others are counted."""
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} others"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
