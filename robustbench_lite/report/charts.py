"""Small charts as SVG that inherits the page's colours: intervals, curves, heat maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robustbench_lite.svg import PALETTE, element

__all__ = ["Bar", "Line", "curves", "heat", "intervals", "round_up"]

_ROW, _LABEL, _PLOT, _VALUE = 26, 190, 330, 260


@dataclass(frozen=True)
class Bar:
    """One line of an interval chart, in the units of the axis."""

    name: str
    value: float
    low: float
    high: float
    text: str
    faint: bool = False


@dataclass(frozen=True)
class Line:
    """One curve: x ascending, y in percent."""

    name: str
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


def round_up(value: float) -> float:
    """The end of an axis whose quarters are round numbers: 0.04, 0.08, 0.12, 0.2, 0.4, ... times a power of ten."""
    if not np.isfinite(value) or value <= 0:
        return 1.0
    unit = 10.0 ** np.floor(np.log10(value))
    return float(next(step * unit for step in (1.2, 1.6, 2, 4, 6, 8, 12) if step * unit >= value))


def intervals(bars: Sequence[Bar], top: float, unit: str, title: str) -> str:
    """A dot with its interval for each bar, on an axis from 0 to `top`."""
    height = _ROW * len(bars) + 24
    return _svg(_LABEL + _PLOT + _VALUE, height, title, _interval_parts(bars, top or 1.0, unit))


def _interval_parts(bars: Sequence[Bar], top: float, unit: str) -> Iterator[str]:
    bottom = _ROW * len(bars)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LABEL + _PLOT * share
        yield element("line", x1=x, x2=x, y1=0, y2=bottom, class_="grid")
        yield element("text", text=f"{share * top:.3g}{unit}", x=x, y=bottom + 15, class_="tick", text_anchor="middle")
    for i, bar in enumerate(bars):
        y = _ROW * (i + 0.5)
        low, at, high = (_LABEL + _PLOT * min(1.0, part / top) for part in (bar.low, bar.value, bar.high))
        yield element("text", text=bar.name, x=_LABEL - 10, y=y + 4, text_anchor="end", class_="name")
        yield element("line", x1=low, x2=high, y1=y, y2=y, class_="interval")
        yield element("circle", cx=at, cy=y, r=5, class_="dot tied" if bar.faint else "dot")
        yield element("text", text=bar.text, x=_LABEL + _PLOT + 12, y=y + 4, class_="value")


def curves(lines: Sequence[Line], label: str, title: str) -> str:
    """Share of samples broken (percent) against size."""
    width, height, left, bottom = 620, 250, 44, 34
    top = round_up(max((float(line.x.max()) for line in lines if len(line.x)), default=1.0))

    def px(x: float) -> float:
        return left + (width - left - 10) * x / top

    def py(y: float) -> float:
        return 8 + (height - bottom - 8) * (1 - y / 100)

    parts = []
    for share in (0, 25, 50, 75, 100):
        parts.append(element("line", x1=left, x2=width - 10, y1=py(share), y2=py(share), class_="grid"))
        parts.append(element("text", text=f"{share} %", x=left - 6, y=py(share) + 4, class_="tick", text_anchor="end"))
    for step in (0, 0.25, 0.5, 0.75, 1):
        at = px(step * top)
        parts.append(
            element("text", text=f"{step * top:.2g}", x=at, y=height - 18, class_="tick", text_anchor="middle")
        )
    parts.append(element("text", text=label, x=(left + width) / 2, y=height - 3, class_="tick", text_anchor="middle"))
    for i, line in enumerate(lines):
        points = " ".join(f"{px(float(x)):.1f},{py(float(y)):.1f}" for x, y in zip(line.x, line.y, strict=True))
        dash = ("none", "6 3", "2 3", "9 3 2 3")[(i // 4) % 4]
        parts.append(
            element(
                "polyline", points=points, fill="none", stroke=PALETTE[i % 8], stroke_width=2, stroke_dasharray=dash
            )
        )
    return _svg(width, height, title, parts)


def heat(rows: Sequence[str], columns: Sequence[str], values: npt.NDArray[np.float64], title: str) -> str:
    """A matrix of percentages with the number in every cell; NaN stays empty."""
    cell = max(64, 8 * max(map(len, columns), default=0))  # wide enough for the longest name
    tall, left, top = 30, 12 + 8 * max(map(len, rows), default=0), 26
    parts = [
        element("text", text=name, x=left + cell * (j + 0.5), y=16, text_anchor="middle", class_="tick")
        for j, name in enumerate(columns)
    ]
    for i, name in enumerate(rows):
        y = top + tall * i
        parts.append(element("text", text=name, x=left - 8, y=y + tall / 2 + 4, text_anchor="end", class_="name"))
        for j, value in enumerate(values[i].tolist()):
            if np.isnan(value):
                continue
            x, ink = left + cell * j, "#fff" if value < 55 else "#111"
            parts.append(element("rect", fill=_shade(value), x=x, y=y, width=cell - 2, height=tall - 2, rx=2))
            at, on = x + cell / 2 - 1, y + tall / 2 + 3
            parts.append(element("text", text=f"{value:.1f}", x=at, y=on, fill=ink, font_size=12, text_anchor="middle"))
    return _svg(left + cell * len(columns), top + tall * len(rows) + 4, title, parts)


def _shade(value: float) -> str:
    """Dark blue for 0, light yellow for 100 (cividis, whose order colour-blind readers see too)."""
    stops = np.array([[0, 34, 78], [64, 77, 107], [124, 123, 120], [188, 174, 108], [254, 232, 56]])
    place = min(max(value, 0), 100) / 100 * (len(stops) - 1)
    i = min(int(place), len(stops) - 2)
    mixed = stops[i] + (place - i) * (stops[i + 1] - stops[i])
    return "#" + "".join(f"{round(float(part)):02x}" for part in mixed)


def _svg(width: float, height: float, title: str, parts: Sequence[str] | Iterator[str]) -> str:
    parts = [element("title", text=title), *parts]
    box = f"0 0 {width:g} {height:g}"
    return element("svg", parts, viewBox=box, width=width, height=height, role="img", class_="chart")
