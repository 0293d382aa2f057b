"""A suite: what is attacked, how, on which data, and which tables come out. Every problem of a file at once."""

from __future__ import annotations

import copy
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from robustbench_lite import references
from robustbench_lite.attack import Attack, attacks
from robustbench_lite.dataset import DataSource, datasets
from robustbench_lite.errors import Problem, SuiteError, did_you_mean
from robustbench_lite.model import ModelSource, models
from robustbench_lite.registry import Config, Registry, canonical, problems_of
from robustbench_lite.suite_compose import compose, expand, override
from robustbench_lite.suite_yaml import Key, Marked, checked, tidy
from robustbench_lite.table import tables

__all__ = ["SETTINGS", "AttackEntry", "DataEntry", "Suite", "load"]

REQUIRED = ("version", "name", "data", "models", "attacks")
SETTINGS = {
    "version": "Version of this format: 1.",
    "name": "Name of the suite and of its results folder.",
    "title": "What the tables are about.",
    "reference": "Id of the published table that is printed beside ours.",
    "seed": "Seed of everything random; default 0.",
    "data": "Datasets: a name, a list of names, or a mapping from names to options.",
    "models": "Classifiers: names of the zoo, `source:name`, or mappings with a source.",
    "attacks": "Attacks: names, or mappings from a name to parameters.",
    "tables": "Tables to print after the run.",
    "images": "Whether adversarial images are stored: all (default) or none.",
    "defaults": "Parameters by attack that hold unless an entry says otherwise.",
    "include": "File, or list of files, whose keys this file extends; relative to it, within its folder.",
}
MOST_ATTACKS = 10_000
LARGEST_SEED = 2**63 - 1  # a column of the store holds it
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class DataEntry:
    name: str
    source: DataSource


@dataclass(frozen=True)
class AttackEntry:
    """An attack, and what this suite calls it."""

    variant: str
    attack: Attack


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
    tables: tuple[str, ...] = ()
    images: str = "all"
    root: Path = field(default_factory=Path.cwd)  # relative paths in the suite start here
    text: str = ""
    plain: Mapping[str, Any] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """The suite as one mapping, includes and overrides applied: `load` takes it back."""
        return copy.deepcopy(dict(self.plain))


def load(source: Path | str | Mapping[str, Any], overrides: Sequence[str] = (), root: Path | None = None) -> Suite:
    """The suite in a file, or given as a mapping. Raises SuiteError with every problem and its place, in order."""
    try:
        return _load(source, overrides, root)
    except SuiteError as error:
        raise SuiteError(tidy(error.problems, "" if isinstance(source, Mapping) else str(source))) from None


def _load(source: Path | str | Mapping[str, Any], overrides: Sequence[str], root: Path | None) -> Suite:
    if isinstance(source, Mapping):
        plain = checked(source)
        marked, text, home = Marked(plain), canonical(plain), root or Path.cwd()
    else:
        marked, text = compose(Path(source))
        home = root or Path(source).parent
    problems = override(marked, overrides)
    builder = _Builder(marked, problems)
    suite = builder.build(home, text)
    if suite is None or builder.problems:
        raise SuiteError(builder.problems)
    return suite


@dataclass
class _Builder:
    """Turns plain data into records, and collects what is wrong instead of stopping at it."""

    marked: Marked
    problems: list[Problem]

    def build(self, root: Path, text: str) -> Suite | None:
        data = self.marked.data
        if not isinstance(data, dict):
            self._wrong((), f"expected a mapping with {', '.join(REQUIRED)}, got {_kind(data)}")
            return None
        for key in data:
            if key not in SETTINGS:
                self._wrong((key,), f"unknown key '{key}'{did_you_mean(key, SETTINGS)}", key=True)
        if "include" in data:  # `compose` takes it out where it reads it
            self._wrong(("include",), "include: only a file can include others", key=True)
        for key in REQUIRED:
            if data.get(key) is None:
                self._wrong((), f"'{key}' is missing")
        parts = {
            "name": self._name(),
            "title": self._scalar("title", str, ""),
            "reference": self._reference(),
            "seed": self._seed(),
            "data": self._data(),
            "models": self._models(),
            "attacks": self._attacks(),
            "tables": self._tables(),
            "images": self._choice("images", ("all", "none"), "all"),
        }
        version = data.get("version")
        if version is not None and (type(version) is not int or version != 1):
            self._wrong(("version",), f"expected version 1, got {data['version']!r}")
        return None if self.problems else Suite(**parts, root=root, text=text, plain=data)

    def _wrong(self, path: Key, message: str, *, key: bool = False) -> None:
        self.problems.append(Problem(self.marked.place(path, key=key), message))

    def _scalar(self, name: str, kind: type, default: Any) -> Any:
        value = self.marked.data.get(name)
        if value is None:
            return default
        if type(value) is not kind:
            self._wrong((name,), f"{name}: expected {_WORDS[kind]}, got {value!r}")
            return default
        return value

    def _choice(self, name: str, known: Sequence[str], default: str) -> str:
        value = self._scalar(name, str, default)
        if value not in known:
            self._wrong((name,), f"{name}: expected one of {', '.join(known)}, got {value!r}")
        return str(value)

    def _name(self) -> str:
        value = str(self._scalar("name", str, ""))
        if value and not _NAME.fullmatch(value):
            self._wrong(
                ("name",), f"name: expected lower-case letters, digits, - and _ (it names a folder), got {value!r}"
            )
        return value

    def _seed(self) -> int:
        value = int(self._scalar("seed", int, 0))
        if not 0 <= value <= LARGEST_SEED:
            self._wrong(("seed",), f"seed: expected a number from 0 to 2^63 - 1, got {value}")
        return value

    def _reference(self) -> str | None:
        value = self._scalar("reference", str, None)
        if value is not None and value not in references.known():
            self._wrong(("reference",), f"unknown reference '{value}'{did_you_mean(value, references.known())}")
        return value if value is None else str(value)

    def _tables(self) -> tuple[str, ...]:
        named: list[tuple[Key, str]] = []
        for i, name in enumerate(self._list("tables")):
            if not isinstance(name, str) or name not in tables:
                self._wrong(("tables", i), f"unknown table '{name}'{did_you_mean(str(name), tables)}")
            else:
                named.append((("tables", i), name))
        self._unique("table", named)
        return tuple(name for _, name in named)

    def _list(self, name: str) -> list[Any]:
        value = self.marked.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self._wrong((name,), f"{name}: expected a list, got {_kind(value)}")
            return []
        if not value:
            self._wrong((name,), f"{name}: the list is empty")
        return value

    # data

    def _data(self) -> tuple[DataEntry, ...]:
        value = self.marked.data.get("data")
        found: list[tuple[Key, Any, Any]] = []
        if isinstance(value, str):
            found.append((("data",), value, {}))
        elif isinstance(value, dict) and value:
            found += [(("data", name), name, options) for name, options in value.items()]
        elif isinstance(value, dict):
            self._wrong(("data",), "data: expected at least one dataset, got an empty mapping")
        else:
            for i, entry in enumerate(self._list("data")):
                if isinstance(entry, dict):
                    found += [(("data", i, name), name, options) for name, options in entry.items()]
                else:
                    found.append((("data", i), entry, {}))
        entries = [entry for path, name, options in found if (entry := self._dataset(path, name, options))]
        self._unique("dataset", [(path, str(name)) for path, name, _ in found])
        return tuple(entries)

    def _dataset(self, path: Key, name: Any, options: Any) -> DataEntry | None:
        options = {} if options is None else options
        if not isinstance(name, str) or not isinstance(options, dict):
            wrong = name if not isinstance(name, str) else options
            self._wrong(path, f"expected the name of a dataset or a mapping with its options, got {_kind(wrong)}")
            return None
        given = [key for key in options if key in datasets]
        if len(given) > 1:
            self._wrong(path, f"expected one source of data, got {', '.join(given)}")
            return None
        if given:  # the name is free
            source = self._record(datasets, given[0], options, path)
        else:
            kind, value = _source(name, "bundled")
            source = self._record(datasets, kind, {**options, kind: value}, path)
        return None if source is None else DataEntry(name, source)

    # models

    def _models(self) -> tuple[ModelSource, ...]:
        value = self.marked.data.get("models")
        entries = [value] if isinstance(value, str) else self._list("models")
        built = []
        for i, entry in enumerate(entries):
            path: Key = ("models",) if isinstance(value, str) else ("models", i)
            source = self._model(path, entry)
            if source is not None:
                built.append((path, source))
        self._unique("classifier", [(path, source.title) for path, source in built])
        return tuple(source for _, source in built)

    def _model(self, path: Key, entry: Any) -> ModelSource | None:
        if isinstance(entry, str):
            kind, value = _source(entry, "zoo")
            params: dict[str, Any] = {kind: value}
        elif isinstance(entry, dict):
            kinds = [key for key in entry if key in models]
            if len(kinds) != 1:
                self._wrong(path, f"expected exactly one of {', '.join(models)} in a classifier, got {list(entry)}")
                return None
            kind, params = kinds[0], entry
        else:
            self._wrong(path, f"expected a classifier's name or a mapping, got {_kind(entry)}")
            return None
        source = self._record(models, kind, params, path)
        if source is not None and source.runs_code and not source.trust:
            self._wrong(path, f"'{kind}:' runs code that the suite names; say `trust: true` if you trust it")
        return source

    # attacks

    def _attacks(self) -> tuple[AttackEntry, ...]:
        defaults = self._defaults()
        built: list[tuple[Key, str | None, Attack]] = []
        for i, (path, name, params, label) in enumerate(expand(self._list("attacks"), self._wrong)):
            if i >= MOST_ATTACKS:
                self._wrong(path, f"attacks: more than {MOST_ATTACKS}, matrices expanded")
                break
            if name not in attacks:
                self._wrong(path, f"unknown attack '{name}'{did_you_mean(name, attacks)}", key=True)
                continue
            own = defaults.get(name, {})
            attack = self._record(attacks, name, {**own, **params}, path, self._origins(path, name, own, params))
            if attack is not None:
                built.append((path, label, attack))
        different = self._different(built)
        names = _variants([(label, attack) for _, label, attack in different])
        self._unique("attack", [(path, name) for (path, _, _), name in zip(different, names, strict=True)])
        return tuple(AttackEntry(name, attack) for (_, _, attack), name in zip(different, names, strict=True))

    def _origins(self, path: Key, name: str, defaults: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Key]:
        """Where the parameters are written that the entry itself does not give: in `defaults` or in its matrix."""
        written = self.marked.data["attacks"][path[1]]
        matrix = (written[name] or {}).get("matrix", {}) if isinstance(written, dict) else {}
        origins: dict[str, Key] = {key: ("defaults", name) for key in defaults if key not in params}
        return origins | dict.fromkeys(matrix, (*path, "matrix"))

    def _different(self, built: list[tuple[Key, str | None, Attack]]) -> list[tuple[Key, str | None, Attack]]:
        """Those that nobody before them equals; the others are problems."""
        seen: dict[str, Key] = {}
        different = []
        for path, label, attack in built:
            key = attack.fingerprint()
            if key in seen:
                where = self.marked.place(seen[key])
                self._wrong(path, f"the same attack with the same parameters is at {where}")
            else:
                seen[key] = path
                different.append((path, label, attack))
        return different

    def _defaults(self) -> dict[str, dict[str, Any]]:
        value = self.marked.data.get("defaults") or {}
        if not isinstance(value, dict):
            self._wrong(("defaults",), f"defaults: expected a mapping from attacks to parameters, got {_kind(value)}")
            return {}
        out = {}
        for name, params in value.items():
            if name not in attacks:
                self._wrong(("defaults", name), f"unknown attack '{name}'{did_you_mean(name, attacks)}", key=True)
            elif not isinstance(params, dict):
                self._wrong(("defaults", name), f"defaults of {name}: expected a mapping, got {_kind(params)}")
            else:
                for key in params:
                    if key not in attacks[name].model_fields:
                        known = attacks[name].model_fields
                        self._wrong(("defaults", name, key), f"unknown key '{key}'{did_you_mean(key, known)}", key=True)
                out[name] = {key: params[key] for key in params if key in attacks[name].model_fields}
        return out

    def _record(
        self,
        registry: Registry[C],
        name: str,
        params: Mapping[str, Any],
        path: Key,
        origins: Mapping[str, Key] | None = None,
    ) -> C | None:
        """The record, or None and a problem for each thing that is wrong with it; `origins`: keys from elsewhere."""
        if name not in registry:
            self._wrong(path, f"unknown {registry.kind} '{name}'{did_you_mean(name, registry)}")
            return None
        try:
            return registry[name](**params)
        except ValidationError as error:
            for inner, message in problems_of(error, registry[name]):
                start = (origins or {}).get(str(inner[0]), path) if inner else path
                self._wrong((*start, *inner), message, key=message.startswith("unknown key"))
        except OverflowError:
            self._wrong(path, f"{name}: expected numbers that a float can hold")
        return None

    def _unique(self, what: str, named: Iterable[tuple[Key, str]]) -> None:
        seen: set[str] = set()
        for path, name in named:
            if name in seen:
                self._wrong(path, f"two {what}s are called '{name}'; give one of them another name")
            seen.add(name)


_WORDS: dict[type, str] = {str: "text", int: "an integer"}


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), repr(value))


def _source(text: str, plain: str) -> tuple[str, str]:
    """`source:value`, or a bare name, which belongs to the source `plain`."""
    prefix, colon, rest = text.partition(":")
    return (prefix, rest) if colon else (plain, text)


def _variants(entries: list[tuple[str | None, Attack]]) -> list[str]:
    """Labels: as given, else the name, with the parameters that tell it from its namesakes where there are any."""
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    params = [attack.params() for _, attack in entries]
    for (_, attack), own in zip(entries, params, strict=True):
        for key, value in own.items():
            values[attack.registered, key].add(canonical(value))
    names = []
    for (label, attack), own in zip(entries, params, strict=True):
        telling = [key for key in own if len(values[attack.registered, key]) > 1]
        text = ", ".join(f"{key}={_short(own[key])}" for key in telling)
        names.append(label or (f"{attack.registered}({text})" if text else attack.registered))
    return names


def _short(value: Any) -> str:
    """As a person would write it, and never the same for two different values."""
    if isinstance(value, float):
        short, levels = f"{value:.4g}", value * 255
        exact = float(short) == value
        return short if exact else f"{levels:.0f}/255" if round(levels) / 255 == value else repr(value)
    return "null" if value is None else str(value).lower()
