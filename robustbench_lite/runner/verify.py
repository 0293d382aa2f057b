"""Recomputes what a results folder says, without attacking: from the data set, the classifiers and the stored images.

The suite in run.json is planned anew, so that rows can be counted, and every stored value is computed again by the code
that a run uses. What only the attack's own work would tell (passes, seconds) is taken as it is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from robustbench_lite.engine.attack import Attack
from robustbench_lite.errors import ModelError, NoResultsError, RobustbenchError, SuiteError
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.registry import canonical
from robustbench_lite.results.provenance import machine, versions
from robustbench_lite.results.schema import Row
from robustbench_lite.results.sealed import opened
from robustbench_lite.results.store import Results, read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_trial import prepare
from robustbench_lite.runner.plan import Cell, plan
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.rejudge import Disagreement, Stored, compared
from robustbench_lite.runner.run import Options, device_named, record_of
from robustbench_lite.runner.sparse_coding.verify import remeasured
from robustbench_lite.runner.stored_suite import suite_of
from robustbench_lite.suite.builder import Suite
from robustbench_lite.suite.yaml import parse
from robustbench_lite.trust.bracket import calibrated

__all__ = ["Disagreement", "Report", "verify"]

# what a run is, or when and where it was: nothing says how it must read
_OF_THE_RUN = {
    "suite", "root", "file", "text", "command", "versions", "machine", "started", "finished", "calibration", "seconds"
}  # fmt: skip
_CALIBRATED = ("attack", "params", "version", "checks", "failed")
_MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass
class Report:
    """How many rows were re-scored, how many near ties fell the other way, what disagrees and what was not verified."""

    rows: int = 0
    near_ties: int = 0
    skipped: tuple[str, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether everything that was planned is there and agrees."""
        return not (self.skipped or self.disagreements)


def verify(folder: Path, device: str = "auto", *, trust: bool = False) -> Report:
    """Recompute every stored value of a results folder.

    Raises NoResultsError where no adversarial was kept, or where it does not say which suite it is of; UsageError where
    its suite names code, unless `trust`: then that code runs.
    """
    results = read(folder)
    if not results.run and results.problems:
        raise NoResultsError(f"{results.problems[0]}; run the suite again")
    recorded = suite_of(results, trust=trust)
    report = Report(skipped=results.problems)
    with deterministic():
        planned = _planned(recorded, results, device)
        report.disagreements += tuple(planned.differences())
        for cell, row in planned.pairs():
            _verify(cell, row, planned, report)
        for rows, missing, wrong in remeasured(recorded, results):
            report.rows += rows
            report.skipped += (missing,) if missing else ()
            report.disagreements += tuple(wrong)
    if report.rows == 0 and not report.disagreements:
        fails = "every cell fails, here too" if planned.cells else "nothing was attacked; generators are not made again"
        reason = next(iter(report.skipped), fails)
        kept = "the suite says `images: none`" if recorded.images == "none" else reason
        raise NoResultsError(f"{folder}: no stored adversarials to verify ({kept})")
    return report


@dataclass
class Planned:
    """The plan of this version for a recorded suite, beside what is stored."""

    results: Results
    preflight: Preflight
    cells: tuple[Cell, ...]
    stored: dict[str, Row]
    samples: Mapping[str, list[Row]]

    def pairs(self) -> Iterator[tuple[Cell, Row | None]]:
        """Every planned cell with its row: by id, or where an older version gave another id, by its names."""
        taken = {cell.id for cell in self.cells}
        lone = {_names(row): row for name, row in self.stored.items() if name not in taken}
        for cell in self.cells:
            yield cell, self.stored.get(cell.id) or lone.get((cell.dataset, cell.source, cell.variant))

    def old(self, row: Row) -> bool:
        """Whether a cell was written before files had digests, when other things made up its id."""
        return not opened(self.results.folder / "cells" / f"{row['cell']}.parquet")[1]

    def exact(self, row: Row) -> bool:
        """Whether the same bits are promised: the same machine, versions and batch size."""
        made, device = json.loads(row["provenance"] or "{}"), self.preflight.assets.device
        same = (made.get("versions"), made.get("machine")) == (versions(), json.loads(canonical(machine(device))))
        return bool(same and row["device"] == str(device))

    def differences(self) -> Iterator[Disagreement]:
        """What in run.json is not what the suite in it makes of it, and ids that are not those of the plan."""
        run, claimed = self.results.run, {_names(row): row for row in self.stored.values()}
        pairs = list(self.pairs())
        ids = [row["cell"] if row is not None and self.old(row) else cell.id for cell, row in pairs]
        cells = [replace(cell, id=name) for (cell, _), name in zip(pairs, ids, strict=True)]
        for name, value in _record(self.preflight.assets, cells, run.get("limit")).items():
            if run.get(name) != value and (name in run or not any(map(self.old, claimed.values()))):
                yield from _within(name, run.get(name), value)
        yield from _text(run)
        yield from _calibration(run, self.cells, lax=any(map(self.old, claimed.values())))
        for row in claimed.values():
            if row["cell"] not in ids:
                yield Disagreement(row["cell"], "*", "cell", row["cell"], "no cell of the plan")


def _names(row: Row) -> tuple[Any, ...]:
    return row["dataset"], row["source"], row["variant"]


def _planned(suite: Suite, results: Results, device: str) -> Planned:
    stored = {row["cell"]: row for row in results.cell_table.to_pylist()}
    samples: defaultdict[str, list[Row]] = defaultdict(list)
    for row in results.sample_table.to_pylist():
        samples[row["cell"]].append(row)
    assets = Assets(_as_of(suite, stored.values()), device_named(device), limit=results.run.get("limit"))
    return Planned(results, Preflight(assets), plan(assets.suite, assets), stored, samples)


def _as_of(suite: Suite, rows: Any) -> Suite:
    """The suite with the versions of its attacks that the rows say they are of: these are part of the ids."""
    known = {(row["attack"], row["params"]): row["version"] for row in rows}
    entries = []
    for entry in suite.attacks:
        version = known.get((entry.attack.title, canonical(entry.attack.params())))
        entries.append(replace(entry, attack=_of_version(entry.attack, version)))
    return replace(suite, attacks=tuple(entries))


def _of_version(attack: Attack, version: int | None) -> Attack:
    if version in {None, attack.version}:
        return attack
    copy = attack.model_copy()
    object.__setattr__(copy, "version", version)  # a class variable elsewhere
    return copy


def _record(assets: Assets, cells: list[Cell], limit: Any) -> dict[str, Any]:
    """What run.json would say of the suite."""
    record = record_of(assets.suite, Options(limit=limit), assets, cells)
    return json.loads(json.dumps({name: value for name, value in record.items() if name not in _OF_THE_RUN}))  # type: ignore[no-any-return]


def _within(name: str, stored: Any, found: Any) -> Iterator[Disagreement]:
    """Where two values differ, the entries that do, rather than a hundred of them."""
    if isinstance(stored, dict) and isinstance(found, dict):
        for key in sorted(stored.keys() | found.keys()):
            if stored.get(key) != found.get(key):
                yield Disagreement("run.json", name, key, stored.get(key), found.get(key))
    else:
        yield Disagreement("run.json", "*", name, stored, found)


def _text(run: Mapping[str, Any]) -> Iterator[Disagreement]:
    """The suite as it was written says what the one that ran says, where nothing was included or overridden."""
    text, suite = run.get("text"), run["suite"]
    if not isinstance(text, str) or not text or "--set" in str(run.get("command")):
        return
    try:
        written = parse(text, "text").data
    except SuiteError as error:
        written = str(error)
    if not isinstance(written, dict) or ("include" not in written and written != suite):
        yield Disagreement("run.json", "*", "text", "another suite", "the one that ran")


def _calibration(run: Mapping[str, Any], cells: tuple[Cell, ...], *, lax: bool) -> Iterator[Disagreement]:
    """What the exact-answer bracket says of each attack, calibrated anew; `lax`: an older version said less."""
    stored = run.get("calibration") or {}
    for variant, attack in {cell.variant: cell.attack for cell in cells}.items():
        entry, found = stored.get(variant) or {}, calibrated(attack)
        wrong = {name: entry.get(name) for name in _CALIBRATED if entry.get(name) != found[name]}
        if wrong and not (lax and "params" not in entry):
            yield Disagreement("run.json", "calibration", variant, wrong, {name: found[name] for name in wrong})


def _verify(cell: Cell, row: Row | None, planned: Planned, report: Report) -> None:
    """Recompute one cell."""
    name = f"{cell.dataset} · {cell.source} · {cell.variant}"
    if row is None:
        report.skipped += (f"{name}: planned, but not in the store",)
        return
    try:
        stored = _stored(row, planned)
        with blamed(cell.source, ModelError, "judge"), undisturbed():
            trial = prepare(cell, planned.preflight)
        if not stored.samples or (not stored.images and not trial.stores_images):
            report.skipped += (f"{name}: {row['error'] or 'no stored images'}",)
            return
        with undisturbed():
            found, close = compared(trial, stored, exact=planned.exact(row))
    except RobustbenchError as error:
        if row["status"] != "ok" and row["error"] == str(error):  # it fails here in the same way
            return
        report.disagreements += (Disagreement(row["cell"], "*", "status", row["error"] or row["status"], str(error)),)
    except (*_MALFORMED, pa.ArrowException, SystemExit) as error:  # the last: code that it was trusted with
        text = (str(error).splitlines() or [type(error).__name__])[0]
        report.disagreements += (Disagreement(row["cell"], "*", "content", "malformed", text[:200]),)
    else:
        report.disagreements += tuple(found)
        report.near_ties += close
        report.rows += len(stored.samples)


def _stored(row: Row, planned: Planned) -> Stored:
    results, name = planned.results, row["cell"]
    images = results.images(name).to_pylist()
    artifacts = results.artifacts(name).to_pylist()
    by_id = {image["sample"]: image for image in images}
    if len(by_id) < len(images):
        raise ValueError("two images of one sample")
    by_name = {artifact["name"]: artifact for artifact in artifacts}
    return Stored(row, planned.samples[name], by_id, by_name, planned.old(row))
