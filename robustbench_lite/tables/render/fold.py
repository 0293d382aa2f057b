"""Text in so many columns of a terminal: measured, folded, padded. Nothing is ever cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

__all__ = ["chunk", "fold", "lead", "pad", "wide"]

_AFTER = frozenset("-/,;:=+)")  # a name may be folded after one of these, before an underscore, and at a space


def wide(text: str) -> int:
    """Terminal columns: wide East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text: str, size: int, *, right: bool) -> str:
    gap = " " * (size - wide(text))
    return gap + text if right else text + gap


def lead(text: str) -> str:
    """What stands before the second line of a name, and those below it."""
    return " " * (1 + len(text) - len(text.lstrip(" ")))


def fold(text: str, size: int, indent: str = "") -> list[str]:
    """Lines of at most `size` >= 4 columns whose concatenation is the text, those after the first indented.

    A space at which a line is folded opens the next one, so that different texts never read the same.
    """
    lines, lead = [], ""
    while wide(lead + text) > size:
        at = _break(text, size - wide(lead))
        lines.append(lead + text[:at])
        text, lead = text[at:], indent
    return [*lines, lead + text]


def _break(text: str, size: int) -> int:
    """The last place within `size` columns where the text may be folded; a long word is folded anywhere."""
    end, used = 0, 0
    while end < len(text) and used + wide(text[end]) <= size:
        used += wide(text[end])
        end += 1
    end = max(end, 1)
    return next((at for at in range(end, 1, -1) if _may(text, at) and text[:at].strip()), end)


def _may(text: str, at: int) -> bool:
    if at >= len(text) or (text[at].isdigit() and text[at - 2 : at - 1].isdigit()):
        return False  # 8/255, 0-255
    return text[at] in " _" or text[at - 1] in _AFTER


def chunk(text: str) -> int:
    """The columns that the text needs if it is folded wherever it may be."""
    return max(map(wide, _pieces(text)), default=0)


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for at in range(2, len(text)):
        if _may(text, at) and text[start:at].strip():
            yield text[start:at]
            start = at
    yield text[start:]
