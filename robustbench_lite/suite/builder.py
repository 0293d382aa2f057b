"""A suite: what is attacked, how, on which data, and which tables come out. Every problem of a file at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_lite.errors import Problem, SuiteError, did_you_mean, nearest
from robustbench_lite.gate.rules import Gate
from robustbench_lite.models.base import ModelSource
from robustbench_lite.registry import canonical
from robustbench_lite.suite._settings import ALONE, CLASSIC, SETTINGS
from robustbench_lite.suite.attacks import AttackEntry
from robustbench_lite.suite.compose import compose, override
from robustbench_lite.suite.generators import GeneratorEntry
from robustbench_lite.suite.records import MOST_PROBLEMS, DataEntry, Objects, Parts, kind_of
from robustbench_lite.suite.shipped import find
from robustbench_lite.suite.sparse_coding import SparseEntry
from robustbench_lite.suite.yaml import Marked, checked, tidy
from robustbench_lite.trust.certificates import Certify

__all__ = ["AttackEntry", "DataEntry", "Objects", "Suite", "load"]


@dataclass(frozen=True)
class Suite:
    """A valid suite: every record built, nothing loaded."""

    name: str
    data: tuple[DataEntry, ...]
    models: tuple[ModelSource, ...]
    attacks: tuple[AttackEntry, ...]
    generators: tuple[GeneratorEntry, ...] = ()
    sparse_coding: tuple[SparseEntry, ...] = ()
    title: str = ""
    reference: str | None = None
    seed: int = 0
    timeout: float | None = None
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    images: str = "all"
    gate: Gate = field(default_factory=Gate)
    certify: Certify | None = None
    root: Path = field(default_factory=Path.cwd)  # relative paths in the suite start here
    file: Path | None = None  # null: given as a mapping
    text: str = ""
    plain: Mapping[str, Any] = field(default_factory=dict)
    objects: tuple[str, ...] = ()  # classifiers and data that were in memory, and are not in `plain`

    def resolved(self) -> dict[str, Any]:
        """The suite as one mapping, includes and overrides applied: `load` takes it back."""
        return copy.deepcopy(dict(self.plain))


def load(
    source: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    root: Path | None = None,
    *,
    files: bool = False,
    objects: Objects | None = None,
) -> Suite:
    """The suite in a file, shipped under a name, or given as a mapping; `objects` are beside what it names.

    With `files` also files that it names must be there. Raises SuiteError with every problem and its place, in order.
    """
    try:
        return _load(source, overrides, root, objects or Objects(), files=files)
    except SuiteError as error:
        first = "" if isinstance(source, Mapping) else str(source)
        many = len(error.problems) >= MOST_PROBLEMS
        more = [Problem(first or "suite", f"{MOST_PROBLEMS} problems; more were not looked for")] if many else []
        raise SuiteError([*tidy(error.problems, first), *more]).with_next(error.next_step) from None


def _load(
    source: Path | str | Mapping[str, Any],
    overrides: Sequence[str],
    root: Path | None,
    objects: Objects,
    *,
    files: bool,
) -> Suite:
    if isinstance(source, Mapping):
        plain = checked(source)
        marked, text, home = Marked(plain), canonical(plain), root or Path.cwd()
    else:
        file = find(source)
        marked, text = compose(file)
        home = root or file.parent
    problems = override(marked, overrides)
    parts = Parts(marked, problems, home, objects)
    suite = _built(parts, root=home, file=None if isinstance(source, Mapping) else file, text=text)
    if files:
        parts.look_for_files(home)
    if suite is None or parts.problems:
        raise SuiteError(parts.problems)
    return suite


def _required(parts: Parts) -> list[str]:
    """The keys that a suite must have: one that only makes generators, or measures sparse coding, attacks nothing."""
    data = parts.marked.data
    alone = isinstance(data, dict) and any(data.get(key) is not None for key in ALONE)
    attacks = not alone or parts.objects.names() or any(data.get(key) is not None for key in CLASSIC)
    return [*(key for key, setting in SETTINGS.items() if setting.required), *(CLASSIC if attacks else ())]


def _built(parts: Parts, **source: Any) -> Suite | None:
    """The suite, every key read by whoever its declaration names; None where something is wrong."""
    data = parts.marked.data
    required = _required(parts)
    if not isinstance(data, dict):
        parts.wrong((), f"expected a mapping with {', '.join(required)}, got {kind_of(data)}")
        return None
    for key in data:
        if key not in SETTINGS:
            parts.wrong((key,), f"unknown key '{key}'{did_you_mean(key, SETTINGS)}", key=True)
    if "include" in data:  # `compose` takes it out where it reads it
        parts.wrong(("include",), "include: only a file can include others", key=True)
    meant = {nearest(key, SETTINGS) for key in data if key not in SETTINGS}  # what is misspelt is not missing, too
    for key in required:
        if key not in meant and data.get(key) is None and not getattr(parts.objects, key, ()):
            parts.wrong((), f"'{key}' is missing")
    values = {key: setting.read(parts) for key, setting in SETTINGS.items() if setting.read is not None}
    del values["version"]  # there is only one
    return None if parts.problems else Suite(**values, objects=parts.objects.names(), plain=data, **source)
