"""What happens to a suite's data before records are built: includes, overrides, and the expansion of matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any, Protocol

from robustbench_lite.errors import Problem, SuiteError, did_you_mean
from robustbench_lite.registry import canonical, fraction
from robustbench_lite.suite.yaml import LARGEST, Key, Marked, parse, read

__all__ = ["assignment", "compose", "expand", "override"]

_DEEPEST, _FILES, _MOST = 20, 50, 10_000  # includes within includes; files read; attacks that one matrix may make


class Wrong(Protocol):
    """Collects a problem at a path of the suite."""

    def __call__(self, path: Key, message: str, *, key: bool = False) -> None: ...


def compose(path: Path) -> tuple[Marked, str]:
    """One file with everything it includes; later keys win, lists are replaced. Raises SuiteError."""
    return _compose(path, str(path), path.parent.resolve(), (), _Budget())


@dataclass
class _Budget:
    """What may still be read: two includes each, twenty deep, would be a million files."""

    files: int = _FILES
    bytes: int = LARGEST

    def read(self, path: Path, shown: str) -> tuple[Marked, str]:
        if self.files == 0:
            raise SuiteError([Problem(shown, f"include: more than {_FILES} files")])
        marked, text = read(path, shown, self.bytes)
        self.files, self.bytes = self.files - 1, self.bytes - len(text.encode())
        return marked, text


def _compose(path: Path, shown: str, root: Path, chain: tuple[Path, ...], budget: _Budget) -> tuple[Marked, str]:
    marked, text = budget.read(path, shown)
    if not isinstance(marked.data, dict) or "include" not in marked.data:
        return marked, text
    entries = marked.data["include"]
    base = Marked({})
    chain = (*chain, path.resolve())
    for i, name in enumerate(entries if isinstance(entries, list) else [entries]):
        place = marked.place(("include", i))
        target = _within(path, name, root, chain, place)
        other, _ = _compose(target, str(Path(shown).parent / name), root, chain, budget)
        if not isinstance(other.data, dict):
            raise SuiteError([Problem(place, f"'{name}' holds no mapping")])
        _lay_over(base, other)
    _lay_over(base, marked)
    base.places[()] = marked.places[()]
    del base.data["include"]
    return base, text


def _within(path: Path, name: Any, root: Path, chain: tuple[Path, ...], place: str) -> Path:
    """The included file; it must exist, lie under the suite's folder, and not include itself."""
    if not isinstance(name, str):
        raise SuiteError([Problem(place, f"include: expected a file name, got {name!r}")])
    try:
        target = (path.parent / name).resolve()
    except (OSError, RuntimeError):  # a loop of links
        raise SuiteError([Problem(place, f"include: no file '{name}'")]) from None
    if not target.is_relative_to(root):
        raise SuiteError([Problem(place, f"include: '{name}' lies outside the suite's folder")])
    if target in chain:
        raise SuiteError([Problem(place, f"include: '{name}' includes itself")])
    if len(chain) > _DEEPEST:
        raise SuiteError([Problem(place, f"include: more than {_DEEPEST} files deep")])
    if not target.is_file():
        raise SuiteError([Problem(place, f"include: no file '{name}'")])
    return target


def _lay_over(base: Marked, other: Marked) -> None:
    """Put the top-level keys of `other`, with their marks, over those of `base`."""
    base.data |= other.data
    base.places = {path: place for path, place in base.places.items() if path and path[0] not in other.data}
    base.keys = {path: place for path, place in base.keys.items() if path[0] not in other.data}
    base.places |= {path: place for path, place in other.places.items() if path}
    base.keys |= other.keys


def override(marked: Marked, settings: Sequence[str]) -> list[Problem]:
    """Apply `path=value` settings in place; the value is YAML. Returns what is wrong with them."""
    problems: list[Problem] = []
    for setting in settings:
        place = f"--set {setting.partition('=')[0]}"
        try:
            _set(marked, setting, place)
        except SuiteError as error:
            problems += error.problems
    return problems


def _set(marked: Marked, setting: str, place: str) -> None:
    dotted, value = assignment(setting, place, "PATH=VALUE such as attacks.0.pgd.steps=7")
    parent: Any = marked.data
    path: Key = ()
    *steps, last = dotted.split(".")
    for step in steps:
        parent, path = _inside(marked, parent, step, path, place)
    if not isinstance(parent, dict | list):
        raise SuiteError([Problem(place, f"'{'.'.join(map(str, path))}' is a value, nothing is inside it")])
    key: Any = last if isinstance(parent, dict) else _step(parent, last, path, place)
    parent[key] = value
    _forget(marked, (*path, key))
    marked.places[(*path, key)] = marked.keys[(*path, key)] = place


def assignment(setting: str, place: str = "--set", wanted: str = "KEY=VALUE") -> tuple[str, Any]:
    """`key=value`, the value as YAML reads it. Raises SuiteError."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise SuiteError([Problem(place, f"expected {wanted}, got {setting!r}")])
    return key, parse(text, place).data if text.strip() else None


def _inside(marked: Marked, parent: Any, step: str, path: Key, place: str) -> tuple[Any, Key]:
    """What `step` leads to. Short forms are written out: `- pgd` becomes `- pgd: {}`."""
    found = _named(parent, step)
    if found is not None:
        parent, path = _inside(marked, parent, str(found), path, place)
    elif (
        isinstance(parent, dict)
        and step not in parent
        and (step in {"defaults", "gate", "matrix"} or path == ("defaults",))
    ):
        parent[step] = {}
        marked.places[(*path, step)] = marked.keys[(*path, step)] = place
    child: Any = _step(parent, step, path, place)
    inner = parent[child]
    if inner is None:
        parent[child] = {}
    elif isinstance(inner, str) and (isinstance(parent, list) or (*path, child) == ("data",)):
        parent[child] = {inner: {}}
    return parent[child], (*path, child)


def _named(parent: Any, step: str) -> int | None:
    """The entry of a list that is called `step`, where there is exactly one."""
    if not isinstance(parent, list) or step.isdecimal():
        return None
    found = [i for i, entry in enumerate(parent) if entry == step or (isinstance(entry, dict) and step in entry)]
    return found[0] if len(found) == 1 else None


def _forget(marked: Marked, path: Key) -> None:
    """What was written inside `path` is no longer there."""
    for marks in (marked.places, marked.keys):
        for old in [old for old in marks if old[: len(path)] == path]:
            del marks[old]


def _step(parent: Any, step: str, path: Key, place: str) -> str | int:
    """The key or index that one part of a dotted path means. Raises SuiteError with the nearest."""
    shown = ".".join(map(str, path)) or "the suite"
    if isinstance(parent, list):
        if step.isascii() and step.isdecimal() and len(step) < 9 and int(step) < len(parent):
            return int(step)
        raise SuiteError([Problem(place, f"{shown} has entries 0 to {len(parent) - 1}, not '{step}'")])
    if isinstance(parent, dict):
        if step in parent:
            return step
        raise SuiteError([Problem(place, f"{shown} has no '{step}'{did_you_mean(step, map(str, parent))}")])
    raise SuiteError([Problem(place, f"{shown} is a value, nothing is inside it")])


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
            for combined in _matrix((*path, name), dict(params), wrong):
                yield (*path, name), name, combined, None if label is None else f"{label} {_text(combined, params)}"
        else:
            yield (*path, name), name, params, label


def _matrix(path: Key, params: dict[str, Any], wrong: Wrong) -> Iterator[dict[str, Any]]:
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
