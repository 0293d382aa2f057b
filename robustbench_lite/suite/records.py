"""What building any part of a suite needs: a record, or a problem with its place for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from robustbench_lite.datasets.base import DataSource
from robustbench_lite.errors import Problem, SuiteError, problems_of
from robustbench_lite.models.base import ModelSource
from robustbench_lite.registry import Config, Records
from robustbench_lite.suite.yaml import Key, Marked

__all__ = ["MOST_PROBLEMS", "DataEntry", "Objects", "Parts", "kind_of"]

MOST_PROBLEMS = 100

C = TypeVar("C", bound=Config)


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


@dataclass
class Parts:
    """Turns plain data into records, and collects what is wrong instead of stopping at it."""

    marked: Marked
    problems: list[Problem]
    root: Path = field(default_factory=Path.cwd)  # relative paths in the suite start here
    objects: Objects = field(default_factory=Objects)
    titles: list[str] = field(default_factory=list)  # of the classifiers, once they are built
    records: list[tuple[Key, Config]] = field(default_factory=list)  # all that were built, and where they are written

    def wrong(self, path: Key, message: str, *, key: bool = False) -> None:
        """Add a problem. Raises SuiteError where there are so many that nobody reads on."""
        if len(self.problems) < MOST_PROBLEMS:  # who caught the last one may complain of it again
            self.problems.append(Problem(self.marked.place(path, key=key), message))
        if len(self.problems) >= MOST_PROBLEMS:
            raise SuiteError(self.problems)

    def items(self, name: str) -> list[Any]:
        value = self.marked.data.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong((name,), f"{name}: expected a list, got {kind_of(value)}")
            return []
        if not value:
            self.wrong((name,), f"{name}: the list is empty")
        return value

    def record(
        self,
        registry: Records[C],
        name: str,
        params: Mapping[str, Any],
        path: Key,
        origins: Mapping[str, Key] | None = None,
    ) -> C | None:
        """The record, or None and a problem for each thing that is wrong with it; `origins`: keys from elsewhere."""
        if name not in registry:
            self.wrong(path, registry.unknown(name))
            return None
        return self.built(registry[name], params, path, origins)

    def built(
        self, record: type[C], params: Mapping[str, Any], path: Key, origins: Mapping[str, Key] | None = None
    ) -> C | None:
        """The same for a record that is in no registry."""
        try:
            made = record.model_validate(dict(params))
        except ValidationError as error:
            for inner, message in problems_of(error, record):
                start = (origins or {}).get(str(inner[0]), path) if inner else path
                self.wrong((*start, *inner), message, key=message.startswith("unknown key"))
        except OverflowError:
            self.wrong(path, f"{record.registered or path[-1]}: expected numbers that a float can hold")
        else:
            self.records.append((path, made))
            return made
        return None

    def look_for_files(self, root: Path) -> None:
        """A problem for every file that a record names and that is not there."""
        for path, record in self.records:
            for option, sentence in record.absent(root):
                self.wrong((*path, option), sentence)

    def unique(self, what: str, named: Iterable[tuple[Key, str]]) -> None:
        seen: set[str] = set()
        for path, name in named:
            if name in seen:
                self.wrong(path, f"two {what}s are called '{name}'; give one of them another name")
            seen.add(name)


def kind_of(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), repr(value))
