"""What happens to a suite's data before records are built: includes, overrides, and the expansion of matrices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from robustbench_lite.errors import Problem, SuiteError, did_you_mean
from robustbench_lite.registry import canonical
from robustbench_lite.suite_yaml import Key, Marked, parse, read

__all__ = ["compose", "expand", "labels", "override"]

_DEEPEST, _MOST = 20, 10_000  # includes within includes; attacks that one matrix may make


class Wrong(Protocol):
    """Collects a problem at a path of the suite."""

    def __call__(self, path: Key, message: str, *, key: bool = False) -> None: ...


def compose(path: Path) -> tuple[Marked, str]:
    """One file with everything it includes; later keys win, lists are replaced. Raises SuiteError."""
    return _compose(path, str(path), path.parent.resolve(), ())


def _compose(path: Path, shown: str, root: Path, chain: tuple[Path, ...]) -> tuple[Marked, str]:
    marked, text = read(path, shown)
    if not isinstance(marked.data, dict) or "include" not in marked.data:
        return marked, text
    entries = marked.data["include"]
    base = Marked({})
    chain = (*chain, path.resolve())
    for i, name in enumerate(entries if isinstance(entries, list) else [entries]):
        place = marked.place(("include", i))
        target = _within(path, name, root, chain, place)
        other, _ = _compose(target, str(Path(shown).parent / name), root, chain)
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
    target = (path.parent / name).resolve()
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
    for key, value in other.data.items():
        base.data[key] = value
        for marks, new in ((base.places, other.places), (base.keys, other.keys)):
            for path in [path for path in marks if path[:1] == (key,)]:
                del marks[path]
            marks.update({path: place for path, place in new.items() if path[:1] == (key,)})


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
    dotted, equals, text = setting.partition("=")
    if not equals or not dotted:
        raise SuiteError([Problem(place, f"expected PATH=VALUE such as attacks.0.pgd.steps=7, got {setting!r}")])
    value = parse(text, place).data if text.strip() else None
    parent: Any = marked.data
    path: Key = ()
    *steps, last = dotted.split(".")
    for step in steps:
        child: Any = _step(parent, step, path, place)
        if parent[child] is None:
            parent[child] = {}
        elif isinstance(parent[child], str) and isinstance(parent, list):  # `- pgd` is short for `- pgd: {}`
            parent[child] = {parent[child]: {}}
        parent, path = parent[child], (*path, child)
    if not isinstance(parent, dict | list):
        raise SuiteError([Problem(place, f"'{'.'.join(map(str, path))}' is a value, nothing is inside it")])
    key: Any = last if isinstance(parent, dict) else _step(parent, last, path, place)
    parent[key] = value
    marked.places[(*path, key)] = marked.keys[(*path, key)] = place


def _step(parent: Any, step: str, path: Key, place: str) -> str | int:
    """The key or index that one part of a dotted path means. Raises SuiteError with the nearest."""
    shown = ".".join(map(str, path)) or "the suite"
    if isinstance(parent, list):
        if step.isdigit() and int(step) < len(parent):
            return int(step)
        raise SuiteError([Problem(place, f"{shown} has entries 0 to {len(parent) - 1}, not '{step}'")])
    if isinstance(parent, dict):
        if step in parent:
            return step
        raise SuiteError([Problem(place, f"{shown} has no '{step}'{did_you_mean(step, map(str, parent))}")])
    raise SuiteError([Problem(place, f"{shown} is a value, nothing is inside it")])


def expand(entries: Sequence[Any], wrong: Wrong) -> Iterator[tuple[Key, str, dict[str, Any], str | None]]:
    """(path, attack, params, label) of every attack; a matrix becomes one for each of its combinations."""
    for i, entry in enumerate(entries):
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
        name, params, label = names[0], entry[names[0]] or {}, entry.get("as")
        if not isinstance(params, dict):
            wrong((*path, name), f"{name}: expected a mapping of parameters, got {params!r}")
        elif "matrix" in params or "exclude" in params:
            for combined in _matrix((*path, name), dict(params), wrong):
                yield (*path, name), name, combined, None if label is None else f"{label} {_text(combined, params)}"
        else:
            yield (*path, name), name, params, None if label is None else str(label)


def _matrix(path: Key, params: dict[str, Any], wrong: Wrong) -> Iterator[dict[str, Any]]:
    axes, exclude = params.pop("matrix", None), params.pop("exclude", None) or []
    if not isinstance(axes, dict) or not axes or not all(isinstance(values, list) for values in axes.values()):
        wrong((*path, "matrix"), "matrix: expected a mapping from parameters to lists of values")
        return
    if not isinstance(exclude, list) or not all(isinstance(rule, dict) for rule in exclude):
        wrong((*path, "exclude"), "exclude: expected a list of mappings from parameters to values")
        return
    if math.prod(len(values) for values in axes.values()) > _MOST:
        wrong((*path, "matrix"), f"matrix: more than {_MOST} combinations")
        return
    used: set[int] = set()
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        hits = {i for i, rule in enumerate(exclude) if _matches(rule, chosen)}
        used |= hits
        if not hits:
            yield {**params, **chosen}
    for i in range(len(exclude)):
        if i not in used:
            wrong((*path, "exclude", i), f"exclude: {exclude[i]} matches no combination of the matrix")


def _matches(rule: dict[str, Any], chosen: dict[str, Any]) -> bool:
    return all(key in chosen and canonical(chosen[key]) == canonical(value) for key, value in rule.items())


def _text(combined: dict[str, Any], params: dict[str, Any]) -> str:
    return " ".join(f"{key}={combined[key]}" for key in params["matrix"])


def labels(entries: Sequence[tuple[str | None, str, dict[str, Any]]]) -> list[str]:
    """What tables call each (label, attack, params): the label, else the name and what tells it from its namesakes."""
    names = []
    for given, name, params in entries:
        same = [other for _, other_name, other in entries if other_name == name]
        telling = [key for key in params if any(other[key] != params[key] for other in same)]
        text = ", ".join(f"{key}={_short(params[key])}" for key in telling)
        names.append(given or (f"{name}({text})" if text else name))
    return names


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value).lower()
