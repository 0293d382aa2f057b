"""Entries of attacks, a matrix of parameters expanded into one for each of its combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from operator import and_
from typing import Any, Protocol

from robustbench_lite.errors import did_you_mean
from robustbench_lite.registry import canonical, fraction
from robustbench_lite.suite.yaml import Key

__all__ = ["combinations", "expand"]

_MOST = 10_000  # attacks that one matrix may make


class Wrong(Protocol):
    """Collects a problem at a path of the suite."""

    def __call__(self, path: Key, message: str, *, key: bool = False) -> None: ...


def expand(entries: Iterable[tuple[int, Any]], wrong: Wrong) -> Iterator[tuple[Key, str, dict[str, Any], str | None]]:
    """(path, attack, params, label) of every numbered entry; a matrix becomes one for each of its combinations."""
    for i, entry in entries:
        path: Key = ("attacks", i)
        if isinstance(entry, str):
            yield path, entry, {}, None
            continue
        if not isinstance(entry, dict):
            wrong(path, f"expected an attack's name or a mapping from it to parameters, got {entry!r}")
            continue
        names = [key for key in entry if key != "as"]
        if len(names) != 1:
            wrong(path, f"expected exactly one attack (and `as`) in an entry, got {list(entry)}")
            continue
        name, label = names[0], entry.get("as")
        params = {} if entry[name] is None else entry[name]
        if "as" in entry and (not isinstance(label, str) or not label or not label.isprintable()):
            wrong((*path, "as"), f"as: expected a label on one line, got {label!r}")
        elif not isinstance(params, dict):
            wrong((*path, name), f"{name}: expected a mapping of parameters, got {params!r}")
        elif "matrix" in params or "exclude" in params:
            for combined in combinations((*path, name), dict(params), wrong):
                yield (*path, name), name, combined, None if label is None else f"{label} {_text(combined, params)}"
        else:
            yield (*path, name), name, params, label


def combinations(path: Key, params: dict[str, Any], wrong: Wrong) -> Iterator[dict[str, Any]]:
    """The parameters with every combination of their `matrix` that no rule of their `exclude` leaves out."""
    axes, exclude = params.pop("matrix", None), params.pop("exclude", None) or []
    if not _sound(path, axes, exclude, params, wrong):
        return
    masks = {key: _excluding(key, values, exclude) for key, values in axes.items()}
    used, left = 0, 0
    for places in itertools.product(*(range(len(values)) for values in axes.values())):
        chosen = dict(zip(axes, places, strict=True))
        hits = reduce(and_, (masks[key][place] for key, place in chosen.items()))
        used |= hits
        if not hits:
            left += 1
            yield {**params, **{key: axes[key][place] for key, place in chosen.items()}}
    for i, rule in enumerate(exclude):
        if not used >> i & 1:
            wrong((*path, "exclude", i), f"exclude: {rule} matches no combination of the matrix")
    if not left:
        wrong((*path, "exclude"), "exclude: nothing of the matrix is left")


def _excluding(key: str, values: Sequence[Any], exclude: Sequence[dict[str, Any]]) -> list[int]:
    """For each value of an axis the rules that leave it out, as far as this axis has a say: bit i is rule i."""
    silent = sum(1 << i for i, rule in enumerate(exclude) if key not in rule)
    by_value: dict[Any, int] = {}
    for i, rule in enumerate(exclude):
        if key in rule:
            value = _comparable(rule[key])
            by_value[value] = by_value.get(value, 0) | 1 << i
    return [silent | by_value.get(_comparable(value), 0) for value in values]


def _sound(path: Key, axes: Any, exclude: Any, params: dict[str, Any], wrong: Wrong) -> bool:
    """Whether the matrix can be expanded; says why not."""
    if not isinstance(axes, dict) or not axes or not all(isinstance(values, list) for values in axes.values()):
        wrong((*path, "matrix"), "matrix: expected a mapping from parameters to lists of values")
        return False
    if not isinstance(exclude, list) or not all(isinstance(rule, dict) and rule for rule in exclude):
        wrong((*path, "exclude"), "exclude: expected a list of mappings from parameters to values")
        return False
    said: list[tuple[Key, str, bool]] = []
    said += [(("matrix", key), f"matrix: no values for '{key}'", False) for key, values in axes.items() if not values]
    said += [(("matrix", key), f"matrix: '{key}' is a parameter outside it too", True) for key in axes if key in params]
    said += [
        (("exclude", i, key), f"exclude: '{key}' is not in the matrix{did_you_mean(key, axes)}", True)
        for i, rule in enumerate(exclude)
        for key in rule
        if key not in axes
    ]
    if math.prod(len(values) for values in axes.values()) > _MOST:
        said.append((("matrix",), f"matrix: more than {_MOST} combinations", False))
    for inner, message, key in said:
        wrong((*path, *inner), message, key=key)
    return not said


def _comparable(value: Any) -> str | Fraction:
    """2/255 and 4/510 are the same number, 1 and true are not; what is no number is compared as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return canonical(value)
    try:
        return fraction(value) if isinstance(value, str) else Fraction(value)
    except (ValueError, ArithmeticError):
        return canonical(value)


def _text(combined: dict[str, Any], params: dict[str, Any]) -> str:
    return " ".join(f"{key}={combined[key]}" for key in params["matrix"])
