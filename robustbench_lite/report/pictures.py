"""What was done to the images: clean, adversarial and amplified difference, exact pixels as PNG inside the page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robustbench_lite.figures.sheets import as_uri
from robustbench_lite.results.evaluation import Evaluation, through
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import class_names
from robustbench_lite.text import levels, percent, signed

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = ["MOST", "Picture", "eight_bits", "gallery", "pictured", "pictures", "specimen", "stored", "told_apart"]

MOST = 96  # pictures on a page
_TRIED = 8  # whose size says how many fit
SUCCESSES = ("easiest", "median", "hardest")
_SHOWN = (*SUCCESSES, "failed", "near tie", "wrong before")
_TURNS = ("median", *(name for name in _SHOWN if name != "median"))  # each cell shows its first before any its second
_VISIBLE = 8 / 255  # the change of a pixel that a reader can see


@dataclass(frozen=True)
class Picture:
    """One sample of one cell as one classifier saw it."""

    cell: str
    dataset: str
    model: str
    attack: str
    source: str
    outcome: str  # easiest, median, hardest (of the successes, by l2), failed, near tie, wrong before
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
    second: str = ""  # of an image that was made, not changed: what a second classifier takes it for


def pictures(results: Results, most: int = MOST) -> tuple[list[Picture], int]:
    """The chosen pictures, at most `most`, and how many rows they were chosen from. The choice is deterministic."""
    found = [one for one in evaluations(results) if one.ok and len(one)]
    picks: list[tuple[int, int, int]] = []  # evaluation, outcome, row
    turns = [place for place in _spread(found) if pictured(results, found[place].id)]
    choices: dict[int, dict[str, int]] = {}  # by evaluation; where most are taken at once, few are asked
    for outcome, place in product(_TURNS, turns):
        if len(picks) == most:
            break
        if place not in choices:
            choices[place] = _choice(found[place], results)
        if (index := choices[place].get(outcome)) is not None:
            picks.append((place, _SHOWN.index(outcome), index))
    out = [_picture(results, found[place], index, _SHOWN[outcome]) for place, outcome, index in sorted(picks)]
    return out, sum(map(len, found))


def gallery(results: Results, most: int, room: int) -> tuple[list[Picture], int]:
    """The same, as many as fit into so many bytes; 0: all that are chosen."""
    found, total = pictures(results, min(most, _TRIED) if room else most)
    if not room or not found:
        return found, total
    largest = max(len(one.clean) + len(one.adversarial) + len(one.difference) for one in found)
    return pictures(results, max(1, min(most, room // largest)))


def specimen(results: Results, wanted: Sequence[tuple[str, str]]) -> Picture | None:
    """What an attack looks like that made a right classifier wrong. `wanted`: (classifier, cell), the best one first.

    The first classifier that was fooled, by the attack that is strongest on it; of these successes the one of median
    size, if possible among those that a reader can see and that survive in 8 bits. None: no such image is stored.
    """
    known = {(one.model, one.id): one for one in evaluations(results) if one.ok}
    order = list(dict.fromkeys(model for model, _ in wanted))
    found = [known[key] for key in wanted if key in known]
    for one in sorted(found, key=lambda one: (order.index(one.model), _left(one))):
        won = _successes(one, results)
        seen = won[(one["linf"][won] >= _VISIBLE) & one["success_8bit"][won]]
        by_size = seen if len(seen) else won
        if len(by_size):
            return _picture(results, one, int(by_size[len(by_size) // 2]), "median")
    return None


def _left(one: Evaluation) -> float:
    """What the attack left of a classifier: the median size that it needs (failures: infinite), or what stays right."""
    if one.minimal:
        return float(np.median(one.needed))
    if one.viewed:
        return float(one.share_of_views("draws_label").mean())
    return float(one.robust.mean())


def _spread(found: list[Evaluation]) -> list[int]:
    """The order of turns: every classifier shows one attack before any shows its second."""
    seen: Counter[str] = Counter()
    turns = []
    for place, one in enumerate(found):
        turns.append((seen[one.model], place))
        seen[one.model] += 1
    return [place for _, place in sorted(turns)]


def stored(results: Results, cell: str) -> dict[str, Row]:
    """The images of a cell by sample. Only those of the last cell stay in memory."""
    if results.memo.get("images", ("",))[0] != cell:
        results.memo["images"] = cell, {row["sample"]: row for row in results.images(cell).to_pylist()}
    found: dict[str, Row] = results.memo["images"][1]
    return found


def pictured(results: Results, cell: str) -> frozenset[str]:
    """The samples of a cell whose image is stored."""
    known: dict[str, frozenset[str]] = results.memo.setdefault("pictured", {})
    if cell not in known:
        known[cell] = frozenset(stored(results, cell))
    return known[cell]


def _kept(one: Evaluation, results: Results) -> npt.NDArray[np.bool_]:
    """Which samples have their image stored."""
    images = pictured(results, one.id)
    return np.array([sample in images for sample in one.samples], bool)


def _successes(one: Evaluation, results: Results) -> npt.NDArray[np.int64]:
    """The samples with an image that were right and are wrong now as the attack wanted, from the smallest change up."""
    won = one.success & one["clean_correct"] & ~one.correct
    places = np.flatnonzero(won & _kept(one, results))
    return places[np.argsort(one["l2"][places], kind="stable")]


def _choice(one: Evaluation, results: Results) -> dict[str, int]:
    """Of the samples whose images are stored, the row of each outcome; none twice."""
    kept, right = _kept(one, results), one["clean_correct"]
    order = _successes(one, results)
    others = {"failed": right & ~one.success, "near tie": one["near_tie"], "wrong before": ~right}
    picks: dict[str, int] = {}
    if len(order):
        picks = {"median": order[len(order) // 2], "easiest": order[0], "hardest": order[-1]}
    picks |= {name: np.flatnonzero(which & kept)[0] for name, which in others.items() if (which & kept).any()}
    return {name: int(i) for n, (name, i) in enumerate(picks.items()) if i not in list(picks.values())[:n]}


def told_apart(names: Sequence[str]) -> list[str]:
    """Names of classes, with their number where two share one."""
    times = Counter(names)
    return [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]


def _called(label: int, names: list[str]) -> str:
    return names[label] if 0 <= label < len(names) else str(label)


def _picture(results: Results, one: Evaluation, index: int, outcome: str) -> Picture:
    (row,) = one.rows.slice(index, 1).to_pylist()
    image, names = stored(results, one.id)[row["sample"]], told_apart(class_names(results, one.dataset))
    clean = np.frombuffer(image["clean"], np.uint8).reshape(image["shape"])
    adversarial = np.frombuffer(image["adversarial"], "<f4").reshape(image["shape"])
    difference = adversarial - clean.astype(np.float32) / 255
    largest = float(np.abs(difference).max())
    factor = max(1, min(100, int(0.5 / largest))) if largest > 0 else 1
    rounded = eight_bits(np.nan_to_num(adversarial))
    amplified = eight_bits(0.5 + factor * np.nan_to_num(difference))
    size = _moved(row) or f"l2 {row['l2']:.3g}, linf {levels(row['linf'])}"
    bits = "in 8 bits too" if row["success_8bit"] else "not in 8 bits" if row["success"] else ""
    return Picture(
        cell=one.id,
        dataset=one.dataset,
        model=one.model,
        attack=one.variant,
        source=through(one.cell),
        outcome=outcome,
        sample=row["sample"],
        label=_called(row["label"], names),
        before=f"{_called(row['clean_pred'], names)} ({percent(row['clean_confidence'], 0)}\u00a0%)",
        after=f"{_called(row['adv_pred'], names)} ({percent(row['adv_confidence'], 0)}\u00a0%)",
        size=size,
        facts=", ".join(part for part in (size, f"margin {row['margin']:.2g}", bits) if part),
        clean=as_uri(clean),
        adversarial=as_uri(rounded),
        difference=as_uri(amplified),
        factor=factor,
        second=_opinion(row, names),
    )


def _opinion(row: Row, names: list[str]) -> str:
    """What a second classifier takes the image for; empty where none was asked."""
    if row["second_opinion"] is None:
        return ""
    return f"{_called(row['second_opinion'], names)} ({percent(row['second_opinion_confidence'], 0)}\u00a0%)"


def eight_bits(image: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """[0, 1] to 8 bits, halves up, as the judge rounds."""
    found: npt.NDArray[np.uint8] = np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return found


def _recoloured(made: dict[str, float]) -> str:
    """How colours were changed; what stayed as it was is not named."""
    said = {name: f"{signed(100 * made[name], '.0f')}\u00a0%" for name in ("contrast", "saturation")}
    said = {"brightness": signed(made["brightness"], ".2f")} | said | {"hue": f"{signed(made['hue'], '.0f')}\u00b0"}
    changed = [f"{name} {text}" for name, text in said.items() if any(digit in text for digit in "123456789")]
    return ", ".join(changed) or "colours as they were"


def _moved(row: Row) -> str:
    """What a transform did to the image, or its colours, or how far a generator's latent was moved, in words."""
    made = json.loads(row["transform"] or "{}")
    if {"brightness", "contrast", "saturation", "hue"} <= made.keys():
        return _recoloured(made)
    if {"x", "y", "area"} <= made.keys():
        return f"a patch on {100 * made['area']:.1f}\u00a0%, turned by {made['angle']:+.0f}\u00b0"
    if {"start", "distance"} <= made.keys():
        return f"{made['distance']:.2g} from its start in latent space"
    if not {"angle", "dx", "dy"} <= made.keys():
        return ""
    zoom = f", {percent(made['scale'], 0)}\u00a0% large" if made.get("scale", 1) != 1 else ""
    return f"{made['angle']:+.0f}\u00b0, {made['dx']:+.1f} px right, {made['dy']:+.1f} px down{zoom}"
