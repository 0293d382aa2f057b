"""Which checks an attack has to pass, and what a run stores of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.trust.bracket.colours import on_colours
from robustbench_lite.trust.bracket.finding import Finding, guarded
from robustbench_lite.trust.bracket.images import LONG, on_images
from robustbench_lite.trust.bracket.latents import in_latents
from robustbench_lite.trust.bracket.members import in_turn
from robustbench_lite.trust.bracket.objects import on_stickers, on_textures
from robustbench_lite.trust.bracket.patches import on_patches
from robustbench_lite.trust.bracket.search import on_transforms
from robustbench_lite.trust.bracket.universal import for_all

__all__ = ["bracket", "calibrate", "lengthy", "summary", "thorough", "usual"]

BATCH_SIZES = (1, 7, 64)
_SHORT = (16,)  # not all images fit in, so that places in the window are refilled
_BRACKETS: dict[str, Callable[..., Iterator[Finding]]] = {  # by what an attack, or the setting it needs, calls it
    "images": on_images,
    "members": in_turn,
    "transforms": on_transforms,
    "textures": on_textures,
    "stickers": on_stickers,
    "fitted": for_all,
    "latents": in_latents,
    "patches": on_patches,
    "colours": on_colours,
}


def bracket() -> Iterator[Finding]:
    """Every registered attack with its usual parameters, in each of its norms and goals, at several batch sizes."""
    for name in attacks:
        for attack in usual(name):
            yield from thorough(attack)


def lengthy(attack: Attack) -> bool:
    """Whether it asks for so many passes of each image that its bracket takes minutes."""
    return attack.bracket in {"images", "members"} and attack.typical_passes > LONG


def thorough(attack: Attack) -> Iterator[Finding]:
    """The bracket of one attack at several batch sizes; of one that asks for hundreds of passes as before a run."""
    if lengthy(attack):
        return calibrate(attack)
    return calibrate(attack, BATCH_SIZES, whole=True)


def usual(name: str) -> Iterator[Attack]:
    """An attack with its usual parameters, in each of its norms, searches and goals."""
    record = attacks[name]
    choices = {key: _choices(record, key) for key in ("norm", "search") if key in record.model_fields}
    for values in product(*choices.values()):
        for target in ({}, {"target": 0}) if record.model_fields["target"].annotation is not type(None) else ({},):
            yield attacks.build(name, dict(zip(choices, values, strict=True)) | target)


def _choices(record: type[Attack], key: str) -> tuple[str, ...]:
    choices: tuple[str, ...] = record.model_fields[key].annotation.__args__  # type: ignore[union-attr]
    return choices


def calibrate(attack: Attack, batch_sizes: Sequence[int] = _SHORT, *, whole: bool = False) -> Iterator[Finding]:
    """The bracket of one attack as it is configured; `whole`: also what takes long."""
    yield from guarded(attack, "bracket", lambda: _BRACKETS[attack.bracket](attack, batch_sizes, whole=whole))


def summary(attack: Attack) -> dict[str, Any]:
    """What a run stores of the bracket for an attack."""
    start = time.perf_counter()
    findings = list(calibrate(attack))
    wrong = [f"{f.case}: expected {f.expected}, found {f.found}" for f in findings if not f.passed]
    return {"checks": len(findings), "failed": wrong, "seconds": round(time.perf_counter() - start, 3)}
