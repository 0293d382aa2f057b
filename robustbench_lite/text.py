"""Text of unknown origin, made safe to look at, and numbers as people write them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["budget", "lines", "listed", "shortened", "storable", "visible"]

_LONGEST = 20_000  # characters of one text; what is longer holds up a terminal, a page, a log
_FEWEST = 1_000  # of it that are shown at the end
# letters, marks and symbols that are drawn as nothing at all: Unicode calls them default ignorable
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}


def visible(text: str, most: int = _LONGEST) -> str:
    """Control, direction and invisible characters as their code points, and no more than about `most` characters.

    So a name cannot move the cursor, reverse the line, look like another, or fill the screen.
    """
    text = shortened(text, most)
    if text.isprintable() and (text.isascii() or not _BLANK.search(text)):
        return text  # most are
    return "".join(f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text)


def lines(text: str, most: int = _LONGEST) -> str:
    """The same for a text of several lines, which stay apart."""
    return "\n".join(visible(line) for line in shortened(text, most).split("\n"))


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN or _BLANK.match(char) is not None


def shortened(text: str, most: int = _LONGEST) -> str:
    """The beginning and the end of what is too long, and how much is missing."""
    if len(text) <= most:
        return text
    end = min(_FEWEST, most // 4)
    start = most - end
    return f"{text[:start]} ... {len(text) - most:,} characters left out ... {text[-end:]}"


def storable(text: str) -> str:
    """The same as valid Unicode: halves of a pair, which no file can hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
