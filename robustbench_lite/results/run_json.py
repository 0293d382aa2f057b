"""run.json: what tables need beside the rows, and of which types; a file that holds others is damaged.

`suite` and `root` are looked at by whoever loads the suite again, `gate` by whoever gates on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Any

from robustbench_lite.results.made import MADE

__all__ = ["misfit"]

_NUMBER, _TEXT, _WORD = (float, int), (str,), (str, int, float, bool, NoneType)
_CALIBRATED = {"attack": _TEXT, "params": _TEXT, "fingerprint": _TEXT, "key": _TEXT, "failed": [_TEXT]}
_PLANNED = {
    **dict.fromkeys(("cell", "dataset", "source", "variant", "attack", "params", "goal"), _TEXT),
    "norm": (*_TEXT, NoneType),
    "eps": (*_NUMBER, NoneType),
    "sources": [_TEXT],
    "models": [_TEXT],
}
# (types): one of them; [shape]: a list of such; {"": shape}: an object of such, else of the shapes under their names
_RUN: dict[str, Any] = {
    **dict.fromkeys(("name", "title", "reference", "text", "file", "command", "started", "finished"), _TEXT),
    **dict.fromkeys(("seed", "limit"), (int,)),
    **{key: [_TEXT] for key in ("tables", "data", "models", "attacks", "cells", *MADE)},
    **{kind.planned: [_TEXT] for kind in MADE.values()},
    "gate": {},
    "published": {"": {"": _TEXT}},
    "defenses": {"": {"": _TEXT}},
    "classes": {"": [_TEXT]},
    "data_notes": {"": [_TEXT]},  # what was decided about pixels and labels
    "planned": [_PLANNED],
    "versions": {"": _WORD},
    "machine": {"": _WORD},
    "seconds": {"": _NUMBER},
    "calibration": {"": {**_CALIBRATED, "version": (int,), "checks": (int,), "seconds": _NUMBER}},
}
_CALLED = {str: "text", list: "a list", dict: "an object", bool: "true or false", NoneType: "nothing"}


def misfit(run: dict[str, Any]) -> str:
    """The first thing in run.json that is not of its type, in words; empty: nothing. What is absent or null fits."""
    return next(_misfits({key: value for key, value in run.items() if value is not None}, _RUN, ""), "")


def _misfits(value: Any, shape: Any, at: str) -> Iterator[str]:
    kinds = shape if isinstance(shape, tuple) else (type(shape),)
    if type(value) not in kinds:
        expected, got = (_CALLED.get(kind, "a number") for kind in (kinds[0], type(value)))
        yield f"'{at}': expected {expected}, got {got}"
    elif isinstance(shape, list):
        for i, entry in enumerate(value):
            yield from _misfits(entry, shape[0], f"{at}[{i}]")
    elif isinstance(shape, dict):
        for key, entry in value.items():
            if (inner := shape.get(key, shape.get(""))) is not None:
                yield from _misfits(entry, inner, f"{at}.{key}" if at else key)
