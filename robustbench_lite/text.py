"""Text of unknown origin, made safe to look at."""

from __future__ import annotations

import unicodedata

__all__ = ["visible"]


def visible(text: str) -> str:
    """Control and direction characters as their code points: a name cannot move the cursor or reverse the line."""
    if text.isprintable():
        return text
    return "".join(
        f"<U+{ord(char):04X}>" if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"} else char
        for char in text
    )
