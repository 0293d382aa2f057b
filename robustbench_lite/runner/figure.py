"""`figure`: computes a figure from a results folder, stores its rows there, and draws it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from pydantic import ValidationError

from robustbench_lite.errors import UsageError, did_you_mean, problems_of
from robustbench_lite.figures.base import Figure, figures
from robustbench_lite.figures.contact_sheet import ContactSheet
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.results.store import Results, Store, read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.run import device_named
from robustbench_lite.runner.stored_suite import suite_of
from robustbench_lite.suite.builder import Suite, load
from robustbench_lite.transforms.distribution import operations

__all__ = ["contact_sheet", "figure", "rows"]

_PLAIN = {"version": 1, "data": "fashion_mnist", "models": ["resnet8_fashion"]}


def figure(
    folder: Path,
    name: str,
    options: Mapping[str, Any],
    device: str = "auto",
    *,
    suite: Suite | None = None,
    trust: bool = False,
) -> tuple[str, Path]:
    """Figure `name` of a results folder as SVG, and where its rows are. Raises UsageError or StoreError.

    `suite` is what has just run there; null: what the folder records, and where that names code, only with `trust`.
    """
    record, table = rows(read(folder), name, options, device, suite=suite, trust=trust)
    return record.draw(table), Store(folder).write_figure(name, table)


def rows(
    results: Results,
    name: str,
    options: Mapping[str, Any],
    device: str = "auto",
    *,
    suite: Suite | None = None,
    trust: bool = False,
) -> tuple[Figure, pa.Table]:
    """Figure `name` with its rows, which nobody has stored. Raises UsageError.

    Only a figure that asks for classifiers or data needs the suite behind the results.
    """
    record = _record(name, options)
    assets = _OnDemand(lambda: Assets(suite or suite_of(results, trust=trust), device_named(device)))
    with blamed(name, UsageError, "draw"), undisturbed(), deterministic():
        return record, record.compute(results, cast("Assets", assets))


@dataclass(frozen=True)
class _OnDemand:
    """Assets that are looked for when a figure asks for one: most take what is stored, be the suite there or not."""

    make: Callable[[], Assets]

    @cached_property
    def _assets(self) -> Assets:
        return self.make()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._assets, name)


def contact_sheet(name: str) -> str:
    """Random views of images as SVG: of a suite file, or of one operation with its defaults on bundled images."""
    if Path(name).suffix in {".yaml", ".yml"}:
        suite = load(Path(name))
    elif name in operations:
        attack = {"pgd": {"under": [name]}}
        suite = load({**_PLAIN, "name": name, "attacks": [attack]})
    else:
        raise UsageError(f"'{name}' is no operation and no suite file{did_you_mean(name, operations)}")
    sheet = ContactSheet()
    return sheet.draw(sheet.sheet(Assets(suite, device_named("cpu"))))


def _record(name: str, options: Mapping[str, Any]) -> Figure:
    if name not in figures:
        raise UsageError(f"unknown figure '{name}'{did_you_mean(name, figures)}")
    try:
        return figures[name](**options)
    except ValidationError as error:
        raise UsageError("; ".join(message for _, message in problems_of(error, figures[name]))) from None
