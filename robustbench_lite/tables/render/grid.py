"""The columns of a text table: what stands in each, how narrow it may become, and which stand beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from robustbench_lite.tables.base import Column, Row
from robustbench_lite.tables.render.fold import chunk, lead, pad, wide
from robustbench_lite.tables.render.shown import shown
from robustbench_lite.text import visible

__all__ = ["Strip", "bands", "number", "strips", "total", "widths"]

_LONGEST = 60  # columns of a name, however much room there is
_NAME, _WORD, _TIGHT = 15, 24, 8  # columns that a name keeps, or a whole word, or anything
_LINES = 6  # of a sentence


@dataclass(frozen=True)
class Strip:
    """One column as it is printed."""

    column: Column
    head: str
    texts: list[str]

    @property
    def unit(self) -> str:
        return visible(self.column.unit)

    @cached_property
    def data(self) -> int:
        """The width of what stands in it, at most that of a long name; numbers are not folded."""
        most = max(map(wide, self.texts), default=0)
        return most if self.column.numeric else min(most, _LONGEST)

    @cached_property
    def full(self) -> int:
        """The width with its head on one line."""
        return max(self.data, wide(self.head), wide(self.unit))

    @cached_property
    def folded(self) -> int:
        """The width with its head folded."""
        return max(self.data, chunk(self.head), chunk(self.unit))

    @cached_property
    def soft(self) -> int:
        """The width with its names folded too: between words of a name, and sentences into a few lines."""
        if self.column.numeric:
            return self.folded
        words = min(_WORD, max((chunk(text) + len(lead(text)) for text in self.texts), default=0))
        least = min(self.data, max(_NAME, words, self.data // _LINES))
        return max(least, chunk(self.head), chunk(self.unit))


def strips(columns: Sequence[Column], rows: Sequence[Row], *, brief: bool, indent: bool) -> list[Strip]:
    """The columns with these rows. `brief`: without intervals; `indent`: the first one stands below headings."""
    out = []
    for i, column in enumerate(columns):
        texts = [shown(row[column.key], column, brief=brief) for row in rows]
        texts = _align(texts) if column.numeric else texts
        texts = [f"  {text}" for text in texts] if indent and i == 0 else texts
        out.append(Strip(column, visible(column.title.partition(" [")[0] if brief else column.title), texts))
    return out


def number(found: Sequence[Strip]) -> tuple[list[Strip], dict[str, str]]:
    """Names in heads become numbers; and what those stand for."""
    names: dict[str, str] = {}
    out = []
    for strip in found:
        if strip.column.named:
            key = f"#{len(names) + 1}"
            names[key] = strip.head
            out.append(Strip(strip.column, key, strip.texts))
        else:
            out.append(strip)
    return out, names


def total(sizes: Sequence[int]) -> int:
    """The width of columns beside each other."""
    return sum(sizes) + 2 * max(0, len(sizes) - 1)


def bands(found: Sequence[Strip], room: int) -> list[list[Strip]]:
    """Columns that fit beside each other; the names of the rows in every band."""
    if total([strip.soft for strip in found]) <= room:
        return [list(found)]
    names = [strip for strip in found if not strip.column.numeric]
    keys = names if total([strip.soft for strip in names]) <= room // 2 else names[:1]
    out: list[list[Strip]] = [[]]
    for strip in found:
        if all(strip is not key for key in keys):
            if out[-1] and total([one.soft for one in (*keys, *out[-1], strip)]) > room:
                out.append([])
            out[-1].append(strip)
    return [[*keys, *band] for band in out]


def widths(found: Sequence[Strip], room: int) -> list[int]:
    """Widths that fit: heads are folded first, then names, then anything."""
    sizes = [strip.full for strip in found]
    tight = [min(strip.soft, _TIGHT) for strip in found]
    for limits in ([strip.folded for strip in found], [strip.soft for strip in found], tight):
        while total(sizes) > room and (wider := [i for i, least in enumerate(limits) if sizes[i] > least]):
            sizes[max(wider, key=lambda i: sizes[i])] -= 1
    return sizes


def _align(cells: list[str]) -> list[str]:
    """Numbers above each other, whatever interval or mark follows them."""
    split = [cell.partition(" ") for cell in cells]
    size = max((wide(head) for head, _, _ in split), default=0)
    tail = max((wide(rest) for _, _, rest in split), default=0)
    return [
        pad(head, size, right=True) + (f" {pad(rest, tail, right=False)}" if tail else "") for head, _, rest in split
    ]
