"""The page's part on generators: what became of each, its images beside real ones, and how it came there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import StoreError
from robustbench_lite.figures.latent_arithmetic import added_up
from robustbench_lite.figures.sheets import as_uri, sheet
from robustbench_lite.figures.svg import element
from robustbench_lite.results.made import SUMMED
from robustbench_lite.text import listed, significant

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["Made", "headline", "made", "scatter"]

_COLUMNS = 8  # images of a row of a sheet
_LOOKS = 6  # on the way
_SIDE = 220  # pixels of a scatter
_NAMED = 4  # generators in a sentence
_WORDS = {"not learned": "did not learn", "not judged": "are not judged"}


@dataclass(frozen=True)
class Picture:
    """One picture, a data URI or SVG, with what is said beneath it; `height` of `width` pixels on the page."""

    says: str
    uri: str = ""
    svg: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Made:
    """One generator as the template shows it."""

    name: str
    outcome: str
    red: bool
    reason: str
    facts: str
    pictures: list[Picture] = field(default_factory=list)  # what it makes, beside what is real
    way: list[Picture] = field(default_factory=list)  # the same latents while it learnt
    between: Picture | None = None
    arithmetic: Picture | None = None
    neighbours: list[Picture] = field(default_factory=list)  # its images, and training images nearest to them


def headline(results: Results) -> str:
    """What became of the generators of a run, in a sentence; empty where there are none."""
    cells = results.generator_table.to_pylist()
    if not cells:
        return ""
    groups: dict[str, list[str]] = {}
    for cell in cells:
        groups.setdefault(_outcome(cell), []).append(cell["name"])
    parts = []
    for word in sorted(groups, key=lambda word: word != "trained"):
        names = groups[word]
        more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
        parts.append(f"{len(names)} of {len(cells)} {_WORDS.get(word, word)} ({listed([*names[:_NAMED], *more])})")
    return "; ".join(parts) + "."


def made(results: Results) -> list[Made]:
    """Every generator of a run, in the order of the suite."""
    return [_made(results, cell) for cell in results.generator_table.to_pylist()]


def _outcome(cell: Row) -> str:
    return str(cell["outcome"] or ("not judged" if cell["status"] == "ok" else "failed"))


def _made(results: Results, cell: Row) -> Made:
    try:
        rows = results.generated(cell["cell"]).to_pylist()
    except StoreError as error:  # pictures that cannot be read hide no number
        rows, cell = [], cell | {"reason": str(error)}
    word = _outcome(cell)
    reason = cell["reason"] or ("" if cell["status"] == "ok" else cell["error"])
    red = bool(cell["collapsed"]) or word in {"failed", "not learned"}
    points = any(row["point"] is not None for row in rows)
    shown = _points(rows) if points else _images(rows) | _sums(rows, json.loads(cell["scores"] or "{}"))
    return Made(cell["name"], word, red, reason or "", _facts(cell), **shown)


def _facts(cell: Row) -> str:
    """What trained it, and what is known of it in few numbers."""
    said = [f"{cell['architecture']} under {cell['objective']}"]
    if cell["modes"]:
        said.append(f"{cell['covered']} of {cell['modes']} modes, {100 * cell['high_quality']:.0f} % near one")
    if cell["classifier_score"] is not None:
        real = significant(cell["classifier_score_real"], 3)
        said.append(f"score {significant(cell['classifier_score'], 3)} (real images {real}) by {cell['judge']}")
    if cell["swd"] is not None:
        said.append(f"SWD {significant(cell['swd'], 3)} (real {significant(cell['swd_real'], 3)})")
    if cell["seconds"] is not None:
        said.append(f"{cell['steps']:,} steps in {cell['seconds']:,.0f} s")
    return " · ".join([*said, *(["bundled"] if cell["bundled"] else [])])


def _by_step(rows: Sequence[Row], kind: str = "generated") -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["kind"] == kind:
            found.setdefault(row["step"], []).append(row)
    return {step: sorted(found[step], key=lambda row: row["number"]) for step in sorted(found)}


def _some(steps: Sequence[int]) -> list[int]:
    """A few of them, the first and the last among them."""
    return [steps[i] for i in sorted({round(place) for place in np.linspace(0, len(steps) - 1, _LOOKS)})]


def _images(rows: Sequence[Row]) -> dict[str, Any]:
    steps = _by_step(rows)
    if not steps:
        return {}
    last = max(steps)
    real, near, between = (_by_step(rows, kind).get(last, []) for kind in ("real", "neighbour", "between"))
    pictures = [_sheet(steps[last], "generated"), *([_sheet(real, "real")] if real else [])]
    way = [_sheet(steps[step][:_COLUMNS], f"step {step:,}") for step in _some(list(steps))] if len(steps) > 1 else []
    line = _sheet(between, "straight lines between pairs of latents") if between else None
    pair = [_sheet(steps[last][:_COLUMNS], "generated"), _sheet(near[:_COLUMNS], _far(near[:_COLUMNS]))] if near else []
    return {"pictures": pictures, "way": way, "between": line, "neighbours": pair}


def _sums(rows: Sequence[Row], scores: dict[str, float]) -> dict[str, Any]:
    """Sums of latents, one in a row."""
    found = [row for own in _by_step(rows, "arithmetic").values() for row in own]
    terms = "three thick ones of a class and their mean, three thin ones and theirs, three thin ones of another class"
    says = f"each row: {terms} and theirs; at its end thick less thin plus thin. {added_up(scores).capitalize()}"
    return {"arithmetic": _sheet(found, says, SUMMED)} if found else {}


def _far(rows: Sequence[Row]) -> str:
    return f"nearest training images (l2 {', '.join(significant(row['distance'], 2) for row in rows)})"


def _sheet(rows: Sequence[Row], says: str, columns: int = _COLUMNS) -> Picture:
    pixels = sheet([np.frombuffer(row["pixels"], np.uint8).reshape(row["shape"]) for row in rows], columns)
    scale = 2 if pixels.shape[2] <= 300 else 1
    return Picture(says, uri=as_uri(pixels), width=scale * pixels.shape[2], height=scale * pixels.shape[1])


def _points(rows: Sequence[Row]) -> dict[str, Any]:
    steps = {step: _cloud(own) for step, own in _by_step(rows).items()}
    real = next((_cloud(own) for own in _by_step(rows, "real").values()), np.zeros((0, 2)))
    last = max(steps)
    every = np.concatenate([real, steps[last]])
    finite = every[np.isfinite(every).all(1)]
    reach = 1.1 * float(np.abs(real if len(real) else finite).max(initial=1.0))

    def drawn(step: int, side: int, says: str) -> Picture:
        return Picture(says, svg=scatter(steps[step], real, reach, side, says), width=side, height=side)

    way = [drawn(step, _SIDE // 2, f"step {step:,}") for step in _some(list(steps))] if len(steps) > 1 else []
    return {"pictures": [drawn(last, _SIDE, "generated (blue) over real points (grey)")], "way": way}


def _cloud(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    return np.array([row["point"] for row in rows if row["point"] is not None], np.float64).reshape(-1, 2)


def scatter(ours: npt.NDArray[np.float64], real: npt.NDArray[np.float64], reach: float, side: int, title: str) -> str:
    """Points (n, 2) over real ones; those beyond `reach` lie on the edge."""
    box = f"0 0 {side} {side}"
    parts = [element("title", text=title)]
    parts += [_dots(real, reach, side, "cloud real"), _dots(ours, reach, side, "cloud")]
    return element("svg", parts, viewBox=box, width=side, height=side, role="img", class_="chart square")


def _dots(points: npt.NDArray[np.float64], reach: float, side: int, of: str) -> str:
    """All of them as one path of strokes without length, which round ends make visible."""
    sound = np.clip(points[np.isfinite(points).all(1)], -reach, reach)
    places = (sound / reach * (1, -1) + 1) * side / 2
    return element("path", d="".join(f"M{x:.1f} {y:.1f}h0" for x, y in places.tolist()), class_=of)
