"""Small charts as SVG that inherits the page's colours: curves, and cost against strength."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from robustbench_lite.figures.svg import PALETTE, element, round_up

__all__ = ["DASHES", "Fall", "Line", "Point", "Trade", "curves", "falls", "traces", "trades"]

DASHES = ("none", "6 3", "2 3", "9 3 2 3")  # a second signal beside colour, every four lines
_ASIDE, _LETTER = 6.0, 6.3  # pixels: between marks at one budget; the width of a letter of a name
_Box = tuple[float, float, float, float]  # left, right, top, bottom
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 620, 250, 58, 20, 10, 36


@dataclass(frozen=True)
class Line:
    """One curve: x ascending, y in percent."""

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fall:
    """A share (n,) in percent from each budget on, up to the next, with its interval; not `whole`: only there."""

    name: str
    budget: npt.NDArray[np.float64]
    share: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    whole: bool


@dataclass(frozen=True)
class Point:
    """One attack: what it costs (x > 0) and what it achieves."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class Trade:
    """The attacks on one classifier."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Frame:
    """Axes: where a value lies on the chart."""

    low: float
    high: float
    top: float
    log: bool = False
    bottom: float = 0.0

    def x(self, value: float) -> float:
        low, high, at = (np.log10(v) if self.log else v for v in (self.low, self.high, value))
        return float(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (at - low) / (high - low))

    def y(self, value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - self.bottom) / (self.top - self.bottom))

    def parts(self, ticks: Sequence[float], label: str, unit: str) -> Iterator[str]:
        for share in (0, 0.25, 0.5, 0.75, 1):
            value = self.bottom + share * (self.top - self.bottom)
            y = self.y(value)
            yield element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid")
            text = f"{_plain(value)}{unit}"
            yield element("text", text=text, x=_LEFT - 6, y=y + 4, class_="tick", text_anchor="end")
        for tick in ticks:
            at, low = self.x(tick), _HEIGHT - _BOTTOM
            yield element("line", x1=at, x2=at, y1=low, y2=low + 4, class_="grid")
            yield element("text", text=_plain(tick), x=at, y=low + 16, class_="tick", text_anchor="middle")
        middle = (_LEFT + _WIDTH) / 2
        yield element("text", text=label, x=middle, y=_HEIGHT - 4, class_="tick", text_anchor="middle")


def _plain(value: float) -> str:
    """Three digits, no exponent below a million."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def curves(lines: Sequence[Line], label: str, title: str, end: float) -> str:
    """Share of samples broken (percent) against size, which ends at `end`."""
    frame = _Frame(0, end, 100)
    parts = list(frame.parts([share * end for share in (0, 0.25, 0.5, 0.75, 1)], label, " %"))
    for i, line in enumerate(lines):
        parts.append(_polyline(i, [(frame.x(x), frame.y(y)) for x, y in zip(line.x, line.y, strict=True)]))
    return _svg(title, parts)


def traces(lines: Sequence[Line], label: str, title: str) -> str:
    """Any quantity against another from 0 on, as it goes; what is far out lies on the edge."""
    every = np.concatenate([line.y for line in lines])
    bottom, top = (float(value) for value in np.quantile(every, (0.01, 0.99)))
    if 0 <= bottom < top / 2:
        bottom, top = 0.0, round_up(top)
    elif bottom < 0:
        top = max(0.0, top)
    end = round_up(max(float(line.x.max()) for line in lines))
    frame = _Frame(0, end, top if top > bottom else bottom + 1, bottom=bottom)
    parts = list(frame.parts([share * end for share in (0, 0.25, 0.5, 0.75, 1)], label, ""))
    for i, line in enumerate(lines):
        y = np.clip(line.y, frame.bottom, frame.top)
        parts.append(_polyline(i, [(frame.x(a), frame.y(b)) for a, b in zip(line.x, y, strict=True)]))
    return _svg(title, parts)


def falls(lines: Sequence[Fall], label: str, title: str, end: float) -> str:
    """Robust accuracy (percent) against the budget, which ends at `end`: stairs in the band of their interval."""
    frame = _Frame(0, end, 100)
    parts = list(frame.parts([share * end for share in (0, 0.25, 0.5, 0.75, 1)], label, " %"))
    marked = [i for i, line in enumerate(lines) if not line.whole]
    for i, line in enumerate(lines):
        aside = _ASIDE * (marked.index(i) - (len(marked) - 1) / 2) if i in marked else 0.0
        parts += _stairs(frame, i, line) if line.whole else _marks(frame, i, line, aside)
    return _svg(title, parts)


def _stairs(frame: _Frame, i: int, line: Fall) -> Iterator[str]:
    inside = line.budget <= frame.high
    x = np.repeat(np.append(line.budget[inside], frame.high), 2)[1:-1]
    low, share, high = (
        [(frame.x(at), frame.y(value)) for at, value in zip(x, np.repeat(y[inside], 2), strict=True)]
        for y in (line.low, line.share, line.high)
    )
    yield element("polygon", points=_text([*high, *reversed(low)]), fill=PALETTE[i % 8], opacity=0.12)
    yield _polyline(i, share)


def _marks(frame: _Frame, i: int, line: Fall, aside: float) -> Iterator[str]:
    """Where only some budgets were tried: a mark at each, and its interval; `aside`, so that none hides another."""
    for at, share, low, high in zip(line.budget, line.share, line.low, line.high, strict=True):
        if at <= frame.high:
            x = frame.x(at) + aside
            yield _polyline(i, [(x, frame.y(low)), (x, frame.y(high))])
            yield element("circle", cx=x, cy=frame.y(share), r=3.5, fill=PALETTE[i % 8])


def trades(found: Sequence[Trade], label: str, top: float, unit: str, title: str, between: tuple[float, float]) -> str:
    """What attacks achieve (0 to `top`) against what they cost (logarithmic); a line joins those on one classifier."""
    frame = _Frame(between[0] / 1.3, between[1] * 1.3, top, log=True)
    ticks = [s * 10.0**e for e in range(-3, 9) for s in (1, 2, 5) if frame.low <= s * 10.0**e <= frame.high]
    parts = list(frame.parts(ticks, label, unit))
    for i, trade in enumerate(found):
        points = sorted(trade.points, key=lambda point: point.x)
        parts.append(_polyline(i, [(frame.x(p.x), frame.y(p.y)) for p in points], opacity=0.5))
        for point in points:
            tip = element("title", text=f"{trade.name}, {point.name}: {point.y:.3g}{unit} for {point.x:.3g}")
            parts.append(element("circle", tip, cx=frame.x(point.x), cy=frame.y(point.y), r=4, fill=PALETTE[i % 8]))
    named: dict[str, Point] = {}
    for trade in found:
        for point in trade.points:  # the name goes over the highest mark of its attack
            if point.name not in named or point.y > named[point.name].y:
                named[point.name] = point
    if len(named) <= 8:
        marks = [(frame.x(point.x), frame.y(point.y)) for trade in found for point in trade.points]
        parts += _names({name: (frame.x(point.x), frame.y(point.y)) for name, point in named.items()}, marks)
    return _svg(title, parts)


def _names(places: Mapping[str, tuple[float, float]], marks: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Each name beside its mark, where it lies on no mark and no other name; nowhere if there is no such place."""
    taken = [(x - 4, x + 4, y - 4, y + 4) for x, y in marks]
    for name, (x, y) in places.items():
        wide = _LETTER * len(name)
        for left, low in product((x + 7, x - 7 - wide), (y + 4, y - 7, y + 15)):
            box = (left, left + wide, low - 9, low + 2)
            if (
                left < _LEFT
                or box[1] > _WIDTH
                or not _TOP < low < _HEIGHT - _BOTTOM
                or any(_meet(box, it) for it in taken)
            ):
                continue
            taken.append(box)
            yield element("text", text=name, x=left, y=low, class_="name")
            break


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _polyline(i: int, points: Sequence[tuple[float, float]], opacity: float = 1.0) -> str:
    colour, dash = PALETTE[i % 8], DASHES[i // 4 % 4]
    return element(
        "polyline",
        points=_text(points),
        fill="none",
        stroke=colour,
        stroke_width=2,
        stroke_dasharray=dash,
        opacity=opacity,
    )


def _text(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _svg(title: str, parts: Sequence[str]) -> str:
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    inside = [element("title", text=title), *parts]
    return element("svg", inside, viewBox=box, width=_WIDTH, height=_HEIGHT, role="img", class_="chart")
