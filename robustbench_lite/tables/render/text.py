"""Tables for a terminal. What does not fit is folded, said once, left out by name or stacked; nothing is cut.

Losses come in the order of what a reader needs least: columns that say the same in every row go above the table, then
columns of priority 3 are left out, then intervals, then columns of priority 2; what is left is printed in bands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property

from robustbench_lite.tables.base import Table
from robustbench_lite.tables.render.fold import fold, lead, pad, wide
from robustbench_lite.tables.render.grid import Strip, bands, number, strips, total, widths
from robustbench_lite.tables.render.shape import constant, constants, without
from robustbench_lite.tables.render.shown import Part, body, parts, titled
from robustbench_lite.text import colored, visible

__all__ = ["LEAST", "sentence", "text"]

LEAST = 40  # columns; a narrower terminal is taken for one of so many
_DIM, _RED = 2, 31
_NONE: AbstractSet[int] = frozenset()


def text(table: Table, width: int | None, *, color: bool) -> str:
    """The table, no line wider than `width`, at least `LEAST`; without a width as wide as it is."""
    room = max(width, LEAST) if width else 10**6
    view = next(view for view in _views(table) if view.banded or view.total <= room)
    found, names = view.strips
    wrap = room if width else min(max(view.total, 80), 120)
    drawn = [line for band in bands(found, room) for line in ("", *_drawn(band, view, room, color=color))]
    said = [f"in every row: {', '.join(view.said)}"] if view.said else []
    legend = [f"columns: {', '.join(f'{key}={name}' for key, name in names.items())}"] if names else []
    notes = [*legend, *view.losses(table), *table.footnotes]
    lines = [*_sentence(visible(table.title), room), *_wrapped(said, wrap), *drawn, *_wrapped(notes, wrap)]
    return "\n".join(lines) + "\n"


def sentence(words: str, width: int | None) -> str:
    """A line of its own below a table, wrapped as its footnotes are."""
    return "\n".join(_sentence(visible(words), max(width, LEAST) if width else 120)) + "\n"


def _wrapped(notes: Sequence[str], width: int) -> Iterator[str]:
    for note in notes:
        yield from _sentence(visible(note), width)


def _sentence(words: str, width: int) -> Iterator[str]:
    """Folded at spaces only, as far as that is possible."""
    line = ""
    for word in words.split(" "):
        if line.strip() and wide(line) + 1 + wide(word) > width:
            yield line
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
        if wide(line) > width:
            *full, line = fold(line, width, "  ")
            yield from full
    yield line


@dataclass(frozen=True)
class _View:
    """One way to show a table: what is said above it, what is left out, and how the columns are headed."""

    table: Table
    said: tuple[str, ...] = ()
    brief: bool = False
    numbered: bool = False  # names of columns that do not fit are numbers with a legend
    banded: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def parts(self) -> list[Part]:
        return list(parts(self.table))

    @cached_property
    def strips(self) -> tuple[list[Strip], dict[str, str]]:
        """The columns, and what numbers in their heads stand for."""
        headed = any(heading for heading, _ in self.parts)
        rows = [row for _, part in self.parts for row in part]
        found = strips(body(self.table), rows, brief=self.brief, indent=headed)
        return number(found) if self.numbered else (found, {})

    @property
    def total(self) -> int:
        """The columns that it needs at least."""
        return total([strip.soft for strip in self.strips[0]])

    def losses(self, table: Table) -> list[str]:
        """What is missing and where it is."""
        lost = ["intervals"] if self.brief and any(column.interval for column in self.table.columns) else []
        if not (lost := [*lost, *self.left_out]):
            return []
        need = _View(table).total
        return [f"left out for want of room: {', '.join(lost)}; {need} columns show all, and so does --format csv"]


def _views(table: Table) -> Iterator[_View]:
    """From all there is to what always fits."""
    yield _View(table)
    fixed = constants(table)
    said = [(column, constant(table, column)) for column in fixed]
    view = _View(without(table, fixed), tuple(f"{titled(column)} {text}" for column, text in said if text))
    yield view
    yield from _leaner(view, 3)
    brief = replace(view, brief=True)
    yield brief
    *_, lean = [brief, *_leaner(brief, 3)]
    yield from _leaner(brief, 3)
    yield (lean := replace(lean, numbered=True))
    yield from _leaner(lean, 2)
    yield replace(lean, banded=True)


def _leaner(view: _View, priority: int) -> Iterator[_View]:
    """Without one more of the columns of this priority each time, the last first."""
    columns = [column for column in view.table.columns if column.priority == priority and not column.group]
    for i in reversed(range(len(columns))):
        out = columns[i:]
        lost = [titled(column) for column in out]
        yield replace(view, table=without(view.table, out), left_out=(*view.left_out, *lost))


def _drawn(found: list[Strip], view: _View, room: int, *, color: bool) -> Iterator[str]:
    """Head, rule, rows under their headings, rule."""
    sizes = widths(found, room)
    for texts in ([strip.head for strip in found], [strip.unit for strip in found]):
        if any(texts):
            yield from _lines(found, texts, sizes, head=True)
    rule = "-" * total(sizes)
    yield rule
    ready = iter(list(zip(*(strip.texts for strip in found), strict=True)))
    for i, (heading, rows) in enumerate(view.parts):
        if heading:
            yield from [""] if i else []
            yield from fold(" · ".join(heading), room, "   ")
        for row in rows:
            dim = color and any(row[column.key].kind == "published" for column in body(view.table))
            reds = {i for i, strip in enumerate(found) if color and row[strip.column.key].red}
            for line in _lines(found, next(ready), sizes, reds=reds):
                yield colored(line, _DIM) if dim else line
    yield rule


def _lines(
    found: list[Strip], texts: Sequence[str], sizes: list[int], *, head: bool = False, reds: AbstractSet[int] = _NONE
) -> Iterator[str]:
    """The lines of one row, as many as its longest cell has; heads stand at the bottom of theirs."""
    cells = []
    for text, size, strip in zip(texts, sizes, found, strict=True):
        hang = not (head or strip.column.numeric)
        cells.append(fold(text, size, lead(text) if hang else ""))
    height = max(map(len, cells), default=0)
    cells = [[""] * (height - len(cell)) + cell if head else cell + [""] * (height - len(cell)) for cell in cells]
    for line in zip(*cells, strict=True):
        trio = zip(line, sizes, found, strict=True)
        padded = [pad(text, size, right=strip.column.numeric) for text, size, strip in trio]
        padded[-1] = padded[-1].rstrip()
        yield "  ".join(_reddened(text) if i in reds else text for i, text in enumerate(padded)).rstrip()


def _reddened(text: str) -> str:
    """Its letters in red; the room beside them stays as it is."""
    bare = text.strip(" ")
    return text.replace(bare, colored(bare, _RED)) if bare else text
