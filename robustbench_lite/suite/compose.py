"""What happens to a suite's data before records are built: includes, then overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.errors import Problem, SuiteError, did_you_mean
from robustbench_lite.suite.yaml import LARGEST, Key, Marked, parse, read

__all__ = ["assignment", "compose", "override"]

_DEEPEST, _FILES = 20, 50  # includes within includes; files read


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
