"""A suite: what is attacked, how, on which data, and which tables come out. Every problem of a file at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_lite.datasets.base import DataSource, datasets
from robustbench_lite.datasets.on_demand import NAMES
from robustbench_lite.errors import Problem, SuiteError, did_you_mean
from robustbench_lite.figures.base import figures
from robustbench_lite.gate.rules import Gate
from robustbench_lite.models.base import ModelSource, models
from robustbench_lite.models.python import told_apart
from robustbench_lite.registry import canonical
from robustbench_lite.suite.attacks import AttackEntry, Attacks
from robustbench_lite.suite.compose import compose, override
from robustbench_lite.suite.records import MOST_PROBLEMS, kind_of
from robustbench_lite.suite.shipped import find
from robustbench_lite.suite.yaml import Key, Marked, checked, tidy
from robustbench_lite.tables import references
from robustbench_lite.tables.base import tables

__all__ = ["SETTINGS", "AttackEntry", "DataEntry", "Objects", "Suite", "load"]

REQUIRED = ("version", "name", "data", "models", "attacks")
SETTINGS = {
    "version": "Version of this format: 1.",
    "name": "Name of the suite and of its results folder.",
    "title": "What the tables are about.",
    "reference": "Id of the published table that is printed beside ours.",
    "seed": "Seed of everything random; default 0.",
    "timeout": "Seconds that a cell, or loading a classifier, may take; default: as long as it takes.",
    "data": "Datasets: a name, a list of names, or a mapping from names to options.",
    "models": "Classifiers: names of the zoo, `source:name`, or mappings with a source.",
    "attacks": "Attacks: names, or mappings from a name to parameters.",
    "tables": "Tables to print after the run.",
    "figures": "Figures to draw after the run, for the report.",
    "images": "Whether adversarial images are stored: all (default) or none.",
    "gate": "What `check` lets pass: limits of every gate, and of some (`cells`).",
    "defaults": "Parameters by attack that hold unless an entry says otherwise.",
    "under": "A distribution of transformations that every attack is evaluated under, unless its entry says otherwise.",
    "include": "File, or list of files, whose keys this file extends; relative to it, within its folder.",
}
LARGEST_SEED = 2**63 - 1  # a column of the store holds it
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class DataEntry:
    name: str
    source: DataSource


@dataclass(frozen=True)
class Objects:
    """Classifiers and data that are in memory, beside those that a suite names."""

    models: tuple[ModelSource, ...] = ()
    data: tuple[DataEntry, ...] = ()

    def names(self) -> tuple[str, ...]:
        return (*(model.title for model in self.models), *(entry.name for entry in self.data))


@dataclass(frozen=True)
class Suite:
    """A valid suite: every record built, nothing loaded."""

    name: str
    data: tuple[DataEntry, ...]
    models: tuple[ModelSource, ...]
    attacks: tuple[AttackEntry, ...]
    title: str = ""
    reference: str | None = None
    seed: int = 0
    timeout: float | None = None
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    images: str = "all"
    gate: Gate = field(default_factory=Gate)
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
        raise SuiteError([*tidy(error.problems, first), *more]) from None


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
    builder = _Builder(marked, problems, home)
    suite = builder.build(home, text, None if isinstance(source, Mapping) else file, objects)
    if files:
        builder.look_for_files(home)
    if suite is None or builder.problems:
        raise SuiteError(builder.problems)
    return suite


class _Builder(Attacks):
    """The whole suite."""

    def build(self, root: Path, text: str, file: Path | None, objects: Objects) -> Suite | None:
        data, self.objects = self.marked.data, objects
        if not isinstance(data, dict):
            self.wrong((), f"expected a mapping with {', '.join(REQUIRED)}, got {kind_of(data)}")
            return None
        for key in data:
            if key not in SETTINGS:
                self.wrong((key,), f"unknown key '{key}'{did_you_mean(key, SETTINGS)}", key=True)
        if "include" in data:  # `compose` takes it out where it reads it
            self.wrong(("include",), "include: only a file can include others", key=True)
        for key in REQUIRED:
            if data.get(key) is None and not getattr(objects, key, ()):
                self.wrong((), f"'{key}' is missing")
        parts = {
            "name": self._name(),
            "title": self._scalar("title", str, ""),
            "reference": self._reference(),
            "seed": self._seed(),
            "timeout": self._timeout(),
            "data": self._data(),
            "models": self._models(),
            "attacks": self.entries(),
            "tables": self._named("table", tables),
            "figures": self._named("figure", figures),
            "images": self._choice("images", ("all", "none"), "all"),
            "gate": self._gate(),
        }
        version = data.get("version")
        if version is not None and (type(version) is not int or version != 1):
            self.wrong(("version",), f"expected version 1, got {data['version']!r}")
        return (
            None
            if self.problems
            else Suite(**parts, objects=objects.names(), root=root, file=file, text=text, plain=data)
        )

    def _scalar(self, name: str, kind: type, default: Any) -> Any:
        value = self.marked.data.get(name)
        if value is None:
            return default
        if type(value) is not kind:
            self.wrong((name,), f"{name}: expected {_WORDS[kind]}, got {value!r}")
            return default
        return value

    def _choice(self, name: str, known: Sequence[str], default: str) -> str:
        value = self._scalar(name, str, default)
        if value not in known:
            self.wrong((name,), f"{name}: expected one of {', '.join(known)}, got {value!r}")
        return str(value)

    def _name(self) -> str:
        value = str(self._scalar("name", str, ""))
        if value and not _NAME.fullmatch(value):
            self.wrong(
                ("name",), f"name: expected lower-case letters, digits, - and _ (it names a folder), got {value!r}"
            )
        return value

    def _seed(self) -> int:
        value = int(self._scalar("seed", int, 0))
        if not 0 <= value <= LARGEST_SEED:
            self.wrong(("seed",), f"seed: expected a number from 0 to 2^63 - 1, got {value}")
        return value

    def _timeout(self) -> float | None:
        value = self.marked.data.get("timeout")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST_SEED:
            self.wrong(("timeout",), f"timeout: expected seconds above 0, got {value!r}")
            return None
        return float(value)

    def _reference(self) -> str | None:
        value = self._scalar("reference", str, None)
        if value is not None and value not in references.known():
            self.wrong(("reference",), f"unknown reference '{value}'{did_you_mean(value, references.known())}")
        return value if value is None else str(value)

    def _named(self, what: str, known: Iterable[str]) -> tuple[str, ...]:
        """Names of tables or figures, none twice."""
        names, named = set(known), list[tuple[Key, str]]()
        for i, name in enumerate(self.items(f"{what}s")):
            if not isinstance(name, str) or name not in names:
                self.wrong((f"{what}s", i), f"unknown {what} '{name}'{did_you_mean(str(name), names)}")
            else:
                named.append(((f"{what}s", i), name))
        self.unique(what, named)
        return tuple(name for _, name in named)

    def _gate(self) -> Gate:
        value = self.marked.data.get("gate")
        if value is not None and not isinstance(value, dict):
            self.wrong(("gate",), f"gate: expected a mapping of limits, got {kind_of(value)}")
            return Gate()
        return self.built(Gate, value or {}, ("gate",)) or Gate()

    # data

    def _data(self) -> tuple[DataEntry, ...]:
        value = self.marked.data.get("data")
        found: list[tuple[Key, Any, Any]] = []
        if isinstance(value, str):
            found.append((("data",), value, {}))
        elif isinstance(value, dict) and value:
            found += [(("data", name), name, options) for name, options in value.items()]
        elif isinstance(value, dict):
            self.wrong(("data",), "data: expected at least one dataset, got an empty mapping")
        else:
            for i, entry in enumerate(self.items("data")):
                if isinstance(entry, dict):
                    found += [(("data", i, name), name, options) for name, options in entry.items()]
                else:
                    found.append((("data", i), entry, {}))
        entries = [entry for path, name, options in found if (entry := self._dataset(path, name, options))]
        named = [(path, str(name)) for path, name, _ in found]
        self.unique("dataset", [*((("data",), entry.name) for entry in self.objects.data), *named])
        return (*entries, *self.objects.data)

    def _dataset(self, path: Key, name: Any, options: Any) -> DataEntry | None:
        options = {} if options is None else options
        if not isinstance(name, str) or not isinstance(options, dict):
            wrong = name if not isinstance(name, str) else options
            self.wrong(path, f"expected the name of a dataset or a mapping with its options, got {kind_of(wrong)}")
            return None
        given = [key for key in options if key in datasets]
        if len(given) > 1:
            self.wrong(path, f"expected one source of data, got {', '.join(given)}")
            return None
        if given:  # the name is free
            source = self.record(datasets, given[0], options, path)
        else:
            kind, value = _source(name, "on_demand" if name in NAMES else "bundled")
            source = self.record(datasets, kind, {**options, kind: value}, path)
        return None if source is None else DataEntry(name, source)

    # models

    def _models(self) -> tuple[ModelSource, ...]:
        value = self.marked.data.get("models")
        entries = [value] if isinstance(value, str) else self.items("models")
        built = []
        for i, entry in enumerate(entries):
            path: Key = ("models",) if isinstance(value, str) else ("models", i)
            source = self._model(path, entry)
            if source is not None:
                built.append((path, source))
        built = list(zip([path for path, _ in built], told_apart([source for _, source in built]), strict=True))
        every = [*((("models",), source) for source in self.objects.models), *built]
        self.unique("classifier", [(path, source.title) for path, source in every])
        sources = (*(source for _, source in built), *self.objects.models)
        self.titles = [source.title for source in sources]
        return sources

    def _model(self, path: Key, entry: Any) -> ModelSource | None:
        if isinstance(entry, str):
            kind, value = _source(entry, "zoo")
            params: dict[str, Any] = {kind: value}
        elif isinstance(entry, dict):
            kinds = [key for key in entry if key in models]
            if len(kinds) != 1:
                self.wrong(path, f"expected exactly one of {', '.join(models)} in a classifier, got {list(entry)}")
                return None
            kind, params = kinds[0], entry
        else:
            self.wrong(path, f"expected a classifier's name or a mapping, got {kind_of(entry)}")
            return None
        source = self.record(models, kind, params, path)
        if source is not None and source.runs_code and not source.trust:
            self.wrong(path, f"'{kind}:' runs code that the suite names; say `trust: true` if you trust it")
        return source


_WORDS: dict[type, str] = {str: "text", int: "an integer"}


def _source(text: str, plain: str) -> tuple[str, str]:
    """`source:value`, or a bare name, which belongs to the source `plain`."""
    prefix, colon, rest = text.partition(":")
    return (prefix, rest) if colon else (plain, text)
