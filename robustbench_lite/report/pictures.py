"""What was done to the images: clean, adversarial and amplified difference, exact pixels as PNG inside the page."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from robustbench_lite.groups import Group, groups, through

if TYPE_CHECKING:
    from robustbench_lite.record import Row
    from robustbench_lite.store import Results

__all__ = ["MOST", "Picture", "as_uri", "class_names", "pictures"]

MOST = 96  # pictures on a page
_SHOWN = ("easiest", "median", "hardest", "failed", "near tie")
_TURNS = ("median", "easiest", "hardest", "failed", "near tie")  # every cell shows its first before any its second


@dataclass(frozen=True)
class Picture:
    """One sample of one cell as one classifier saw it."""

    cell: str
    dataset: str
    model: str
    attack: str
    source: str
    outcome: str  # easiest, median, hardest (of the successes, by l2), failed, near tie
    sample: str
    label: str
    before: str
    after: str
    size: str
    facts: str
    clean: str  # data URIs
    adversarial: str
    difference: str
    factor: int


def pictures(results: Results) -> tuple[list[Picture], int]:
    """The chosen pictures, at most MOST, and how many rows they were chosen from. The choice is deterministic."""
    found = [group for group in groups(results) if group.ok and len(group.rows)]
    stored: dict[str, dict[str, Row]] = {}  # by cell and sample; only of the cells that get a turn
    out: list[tuple[int, int, Picture]] = []
    for outcome in _TURNS:
        for place in _spread(found):
            group = found[place]
            cell = group.cell["cell"]
            if len(out) < MOST:
                if cell not in stored:
                    stored[cell] = {row["sample"]: row for row in results.images(cell).to_pylist()}
                if (index := _choice(group, stored[cell]).get(outcome)) is not None:
                    (row,) = group.rows.slice(index, 1).to_pylist()
                    names = class_names(results, str(group.cell["dataset"]))
                    picture = _picture(group, row, outcome, stored[cell][row["sample"]], names)
                    out.append((place, _SHOWN.index(outcome), picture))
    out.sort(key=lambda entry: entry[:2])
    return [picture for _, _, picture in out], sum(len(group.rows) for group in found)


def _spread(found: list[Group]) -> list[int]:
    """The order of turns: every classifier shows one attack before any shows its second."""
    seen: Counter[str] = Counter()
    turns = []
    for place, group in enumerate(found):
        turns.append((seen[group.model], place))
        seen[group.model] += 1
    return [place for _, place in sorted(turns)]


def _choice(group: Group, stored: dict[str, Row]) -> dict[str, int]:
    """Of the samples whose images are stored, the row of each outcome; none twice."""
    kept = np.array([sample in stored for sample in group.rows["sample"].to_pylist()])
    success, size = group["success"].astype(bool), group["l2"].astype(float)
    won = np.flatnonzero(success & kept)
    order = won[np.argsort(size[won], kind="stable")]
    lost, close = np.flatnonzero(~success & kept), np.flatnonzero(group["near_tie"].astype(bool) & kept)
    picks: dict[str, int] = {}
    if len(order):
        picks = {"median": order[len(order) // 2], "easiest": order[0], "hardest": order[-1]}
    picks |= {name: rows[0] for name, rows in (("failed", lost), ("near tie", close)) if len(rows)}
    return {name: int(i) for n, (name, i) in enumerate(picks.items()) if i not in list(picks.values())[:n]}


def class_names(results: Results, dataset: str) -> list[str]:
    """The names of the classes as the run stored them; empty where it did not."""
    stored = (results.run.get("classes") or {}).get(dataset) or []
    return [str(name) for name in stored]


def _called(label: int, names: list[str]) -> str:
    return names[label] if 0 <= label < len(names) else str(label)


def _picture(group: Group, row: Row, outcome: str, stored: Row, names: list[str]) -> Picture:
    shape = stored["shape"]
    clean = np.frombuffer(stored["clean"], np.uint8).reshape(shape)
    adversarial = np.frombuffer(stored["adversarial"], "<f4").reshape(shape)
    difference = adversarial - clean.astype(np.float32) / 255
    largest = float(np.abs(difference).max())
    factor = max(1, min(100, int(0.5 / largest))) if largest > 0 else 1
    rounded = (np.clip(np.nan_to_num(adversarial), 0, 1) * 255).round().astype(np.uint8)
    amplified = (np.clip(0.5 + factor * np.nan_to_num(difference), 0, 1) * 255).round().astype(np.uint8)
    size = _moved(row) or f"l2 {row['l2']:.3g}, linf {255 * row['linf']:.3g}/255"
    bits = "in 8 bits too" if row["success_8bit"] else "not in 8 bits" if row["success"] else ""
    return Picture(
        cell=str(group.cell["cell"]),
        dataset=str(group.cell["dataset"]),
        model=group.model,
        attack=str(group.cell["variant"]),
        source=through(group.cell),
        outcome=outcome,
        sample=row["sample"],
        label=_called(row["label"], names),
        before=f"{_called(row['clean_pred'], names)} ({100 * row['clean_confidence']:.0f}\u00a0%)",
        after=f"{_called(row['adv_pred'], names)} ({100 * row['adv_confidence']:.0f}\u00a0%)",
        size=size,
        facts=", ".join(part for part in (size, f"margin {row['margin']:.2g}", bits) if part),
        clean=as_uri(clean),
        adversarial=as_uri(rounded),
        difference=as_uri(amplified),
        factor=factor,
    )


def _moved(row: Row) -> str:
    """What a transform did to the image, in words; empty where it was none."""
    made = json.loads(row["transform"] or "{}")
    if not {"angle", "dx", "dy"} <= made.keys():
        return ""
    zoom = f", {100 * made['scale']:.0f}\u00a0% large" if made.get("scale", 1) != 1 else ""
    return f"{made['angle']:+.0f}\u00b0, {made['dx']:+.1f} px right, {made['dy']:+.1f} px down{zoom}"


def as_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """(C, H, W) as a PNG data URI."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
