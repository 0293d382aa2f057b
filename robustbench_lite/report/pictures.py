"""What was done to the images: clean, adversarial and amplified difference, exact pixels as PNG inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from robustbench_lite.groups import Group, groups, through

if TYPE_CHECKING:
    from robustbench_lite.record import Row
    from robustbench_lite.store import Results

__all__ = ["MOST", "Picture", "pictures"]

MOST = 96  # pictures on a page
_EACH = ("easiest", "median", "hardest", "failed")


@dataclass(frozen=True)
class Picture:
    """One sample of one cell as one classifier saw it."""

    dataset: str
    model: str
    attack: str
    source: str
    outcome: str  # easiest, median, hardest (of the successes, by l2), failed
    sample: str
    label: int
    before: str
    after: str
    facts: str
    clean: str  # data URIs
    adversarial: str
    difference: str
    factor: int


def pictures(results: Results) -> tuple[list[Picture], int]:
    """The chosen pictures, at most MOST, and how many rows they were chosen from. The choice is deterministic."""
    chosen: list[tuple[Group, list[tuple[str, int]]]] = []
    total = 0
    for group in groups(results):
        if group.ok and len(group.rows):
            total += len(group.rows)
            chosen.append((group, _choice(group)))
    out: list[Picture] = []
    for rank in range(len(_EACH)):  # every cell shows its first before any shows its second
        for group, picks in chosen:
            if rank < len(picks) and len(out) < MOST:
                out += _pictures(results, group, [picks[rank]])
    places = {(group.cell["cell"], group.model): i for i, (group, _) in enumerate(chosen)}
    order = {name: i for i, name in enumerate(_EACH)}
    keyed = [(places[key], order[picture.outcome], picture) for key, picture in _keys(out, chosen)]
    return [picture for _, _, picture in sorted(keyed, key=lambda entry: entry[:2])], total


def _keys(
    found: list[Picture], chosen: list[tuple[Group, list[tuple[str, int]]]]
) -> Iterator[tuple[tuple[str, str], Picture]]:
    names = {
        (g.cell["dataset"], g.model, str(g.cell["variant"]), through(g.cell)): (g.cell["cell"], g.model)
        for g, _ in chosen
    }
    for picture in found:
        yield names[picture.dataset, picture.model, picture.attack, picture.source], picture


def _choice(group: Group) -> list[tuple[str, int]]:
    """Row indices with what they stand for."""
    success, size = group["success"].astype(bool), group["l2"].astype(float)
    won = np.flatnonzero(success)
    order = won[np.argsort(size[won], kind="stable")]
    lost = np.flatnonzero(~success)
    picks = [("easiest", order[0]), ("median", order[len(order) // 2]), ("hardest", order[-1])] if len(order) else []
    picks += [("failed", lost[0])] if len(lost) else []
    seen: set[int] = set()
    return [(name, int(i)) for name, i in picks if int(i) not in seen and not seen.add(int(i))]  # type: ignore[func-returns-value]


def _pictures(results: Results, group: Group, picks: list[tuple[str, int]]) -> Iterator[Picture]:
    stored = {row["sample"]: row for row in results.images(group.cell["cell"]).to_pylist()}
    rows = group.rows.to_pylist()
    for outcome, i in picks:
        row = rows[i]
        if row["sample"] in stored:
            yield _picture(group, row, outcome, stored[row["sample"]])


def _picture(group: Group, row: Row, outcome: str, stored: Row) -> Picture:
    shape = stored["shape"]
    clean = np.frombuffer(stored["clean"], np.uint8).reshape(shape)
    adversarial = np.frombuffer(stored["adversarial"], "<f4").reshape(shape)
    difference = adversarial - clean.astype(np.float32) / 255
    largest = float(np.abs(difference).max())
    factor = max(1, min(100, int(0.5 / largest))) if largest > 0 else 1
    rounded = (np.clip(np.nan_to_num(adversarial), 0, 1) * 255).round().astype(np.uint8)
    amplified = (np.clip(0.5 + factor * np.nan_to_num(difference), 0, 1) * 255).round().astype(np.uint8)
    sizes = f"l2 {row['l2']:.3g}, linf {255 * row['linf']:.3g}/255, margin {row['margin']:.2g}"
    bits = "in 8 bits too" if row["success_8bit"] else "not in 8 bits" if row["success"] else ""
    return Picture(
        dataset=str(group.cell["dataset"]),
        model=group.model,
        attack=str(group.cell["variant"]),
        source=through(group.cell),
        outcome=outcome,
        sample=row["sample"],
        label=row["label"],
        before=f"{row['clean_pred']} ({100 * row['clean_confidence']:.0f} %)",
        after=f"{row['adv_pred']} ({100 * row['adv_confidence']:.0f} %)",
        facts=", ".join(part for part in (sizes, bits) if part),
        clean=_uri(clean),
        adversarial=_uri(rounded),
        difference=_uri(amplified),
        factor=factor,
    )


def _uri(pixels: npt.NDArray[np.uint8]) -> str:
    """(C, H, W) as a PNG data URI."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
