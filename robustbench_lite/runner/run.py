"""A suite from beginning to end: plan, skip what is in the store, execute the rest, write each cell as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from robustbench_lite.errors import DeviceError, UsageError
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results import provenance
from robustbench_lite.results.sealed import parsed
from robustbench_lite.results.store import Results, Store, read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.executors import Executor, Local, Pool, Ray, Setup
from robustbench_lite.runner.making import Making, made_cells
from robustbench_lite.runner.namesake import refuse_namesake
from robustbench_lite.runner.objects import in_memory, shaped
from robustbench_lite.runner.observer import Observer, Phases, Silent
from robustbench_lite.runner.parts import kept_together, own
from robustbench_lite.runner.plan import Cell, plan
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.resume import resumed
from robustbench_lite.runner.sizes import WHOLE, Share
from robustbench_lite.suite.builder import Suite, load
from robustbench_lite.trust.bracket import calibrated, key_of

__all__ = ["Options", "device_named", "keep", "record_of", "run", "run_suite"]


@dataclass(frozen=True)
class Options:
    """What changes how a suite runs, but no result (`limit` selects fewer samples, and says so in the cells)."""

    results: Path = Path("results")
    device: str = "auto"
    batch_size: int | None = None
    limit: int | None = None
    fresh: bool = False
    command: str = ""
    only: Callable[[Cell], bool] | None = None  # of the planned cells; the others stay "not run yet"
    timing: bool = True  # also time a few samples of each cell at batch size 1
    cell_timeout: float | None = None  # seconds; null: what the suite says
    jobs: int = 1  # processes that attack; more than one: on as many parts of the cores, or each on a GPU
    executor: str = "local"  # or "ray": workers of a cluster
    address: str | None = None  # of the Ray cluster; null: that of RAY_ADDRESS, or one on this machine
    cpus: int = 1  # of each worker of Ray
    gpus: float | None = None  # a fraction shares one; null: 1 where the device is a GPU
    shard_size: int | None = None  # samples of a cell that are attacked before they are stored; null: minutes of work
    shard: str | None = None  # "2/3": the second third of every cell; two other runs do the rest; null: all of it


def device_named(name: str) -> torch.device:
    """The device `auto`, `cpu`, `cuda` or `cuda:1`. Raises DeviceError for one that this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"--device {name}: expected auto, cpu, cuda or cuda:N") from None
    if device.type not in {"cpu", "cuda"}:
        raise DeviceError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(f"--device {name}: this machine has {count} CUDA devices; use --device cpu or auto")
    return device


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    results: str | Path = "results",
    *,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Results:
    """Run a suite (a file, the name of one that is shipped, or its content as a mapping) and return its Results.

    `models`: modules in memory by name, or mappings {"module": net, "expectation": 20, "backward": stand_in}
    (docs/models.md); `data`: pairs (images, labels), beside those that the suite names, if it names any;
    attacks, tables and gates know them by these names. `options` are those of `Options`. Raises SuiteError for an
    invalid suite. Failed cells do not raise: they are rows of `cells()` with a reason.
    """
    loaded = suite if isinstance(suite, Suite) else load(suite, objects=in_memory(models, data))
    return run_suite(shaped(loaded), Options(results=Path(results), **options))


def run_suite(suite: Suite, options: Options, observer: Observer | None = None) -> Results:
    """Run what is not in the store yet, and read the whole back."""
    told = observer or Silent()
    timeout = suite.timeout if options.cell_timeout is None else options.cell_timeout
    assets = Assets(suite, device_named(options.device), options.batch_size, options.limit, timeout)
    executor = _executor(options)
    _makeable(suite, options)
    folder = options.results / suite.name
    executor.check(assets, folder)
    store = Store(folder)
    share = _share(options)
    setup = Setup(Preflight(assets), store, told, options.timing, options.shard_size, share)
    phases = Phases(told)
    with store.lock("" if share == WHOLE else str(share).replace("/", "-of-")), deterministic():
        refuse_namesake(suite, folder)
        with phases("loading"):
            cells = plan(suite, assets)
            making = Making(made_cells(suite, options.limit), store, suite.root, assets.device, timeout)
            record = record_of(suite, options, assets, cells) | making.record()
        with store.alone():
            cached = set() if options.fresh else resumed(store, cells)
            made = set() if options.fresh else making.resumed()
            store.forget(cached)
        told.planned(cells, cached)
        mine = own(cells, assets, share) - cached
        due = [cell for cell in cells if cell.id in mine and (options.only is None or options.only(cell))]
        to_make = making.share(share) - made if options.only is None else set[str]()  # who asks for some attacks
        if not due and not to_make and store.read_only:
            return read(folder)
        record["calibration"] = _calibration(folder, cells, due, phases)
        told.calibrated(record["calibration"])
        store.write_run(record | {"seconds": phases.seconds})
        if options.fresh:
            store.forget(cell.id for cell in due)
            making.forget()
        with closing(executor.reports(due, setup)) as reports:
            for report in reports:
                told.finished(keep(report, store) if share == WHOLE else kept_together(report, store, keep))
        with closing(making.reports(to_make, told, options.jobs)) as made_reports:
            for one in made_reports:
                told.made(one)
        store.forget(store.sharded() - {cell.id for cell in cells})  # of what is in the suite no longer
        making.forget(but={cell.id for cell in making.cells})
        whole = share == WHOLE or (all(store.has(cell.id) for cell in cells) and making.whole())
        store.write_run(record | {"seconds": phases.seconds, "finished": _now() if whole else None})
    return read(folder)


def _makeable(suite: Suite, options: Options) -> None:
    """Raises UsageError where cells that attack nothing are to be made by processes that cannot make them."""
    way = "run --shard 1/2 and --shard 2/2 on the same --results beside each other"
    if suite.generators and options.executor != "local":
        raise UsageError(f"--executor {options.executor}: a training goes on from files of this machine; use --jobs")
    if suite.sparse_coding and (options.jobs > 1 or options.executor != "local"):
        raise UsageError(f"--jobs: sparse coding is measured by one process; leave it out, or {way}")


def _share(options: Options) -> Share:
    """The part of the suite that is run. Raises UsageError."""
    share = WHOLE if options.shard is None else Share.parse(options.shard)
    if share != WHOLE and options.fresh:
        raise UsageError("--fresh: would take out what the other shards have stored; use another --results folder")
    return share


def _executor(options: Options) -> Executor:
    """Raises UsageError where options contradict each other."""
    if options.executor == "ray":
        return Ray(options.jobs, options.address, options.cpus, options.gpus)
    if options.executor != "local":
        raise UsageError(f"--executor: expected local or ray, got {options.executor!r}")
    if (options.address, options.cpus, options.gpus) != (None, 1, None):
        raise UsageError("--address, --cpus and --gpus are for --executor ray")
    return Pool(options.jobs) if options.jobs > 1 else Local()


def keep(report: CellReport, store: Store) -> CellReport:
    """The report as it is in the store: the cell has failed where its rows cannot be written.

    Raises StoreError where nothing can be written, as on a disk that is full.
    """
    start = time.perf_counter()
    try:
        _write(report, store)
    except (ValueError, TypeError, ArithmeticError, pa.ArrowException) as error:  # rows that the schema does not hold
        report = report.failure(error, "store")
        _write(report, store)
    if not report.failed:
        store.shards(report.cell.id).drop()
    report.seconds["store"] = time.perf_counter() - start
    return report


def _write(report: CellReport, store: Store) -> None:
    samples = [] if report.samples is None else report.samples
    store.write(report.cell.id, samples, report.row, report.images, report.artifacts)


def record_of(suite: Suite, options: Options, assets: Assets, cells: Iterable[Cell]) -> dict[str, Any]:
    """run.json: what tables need beyond the rows, and where the numbers come from."""
    objects = {"objects": list(suite.objects)} if suite.objects else {}
    return objects | {
        "name": suite.name,
        "title": suite.title,
        "reference": suite.reference,
        "seed": suite.seed,
        "tables": list(suite.tables),
        "gate": suite.gate.plain(),
        "data": [entry.name for entry in suite.data],
        "models": [model.title for model in suite.models],
        "attacks": [entry.variant for entry in suite.attacks],
        "published": assets.published(),
        **_defended(suite),
        "classes": assets.class_names(),
        "data_notes": assets.data_notes(),
        "cells": [cell.id for cell in cells],
        "planned": [_planned(cell) for cell in cells],
        "suite": suite.resolved(),
        "root": str(suite.root.resolve()),
        "file": None if suite.file is None else str(suite.file.resolve()),
        "text": suite.text,
        "limit": options.limit,
        "command": options.command,
        "versions": provenance.versions(),
        "machine": provenance.machine(assets.device),
        "started": _now(),
        "finished": None,
    }


def _defended(suite: Suite) -> dict[str, Any]:
    """Which classifiers stand behind which defence; nothing where none does."""
    found = {model.title: model.defense for model in suite.models if model.defense}
    return {"defenses": found} if found else {}


def _planned(cell: Cell) -> dict[str, Any]:
    """What a table must know of a cell that has not run yet."""
    attack = cell.attack
    facts = {"cell": cell.id, "dataset": cell.dataset, "source": cell.source, "sources": list(cell.sources)}
    described = {"variant": cell.variant, "attack": attack.title, "params": canonical(attack.params())}
    budget = {"norm": attack.threat, "eps": attack.budget, "goal": attack.goal}
    return facts | described | budget | {"models": list(cell.targets)}


def _calibration(folder: Path, cells: Iterable[Cell], due: list[Cell], phases: Phases) -> dict[str, Any]:
    """What the bracket says of each attack of the plan, by its name there; those that are `due` are calibrated.

    What an earlier run of this folder says of the others stays.
    """
    variants = {cell.variant for cell in cells}
    known = _known(folder)
    entries = {name: entry for name, entry in known.items() if name in variants or "params" not in entry}
    wanted = {cell.variant: cell.attack for cell in due}
    if not wanted:
        return dict(sorted(entries.items()))
    with phases("calibrating"):
        for i, (variant, attack) in enumerate(wanted.items(), 1):
            phases.told.entered(f"calibrating {variant} ({i} of {len(wanted)})")
            entry = known.get(variant, {})
            same = entry.get("key") == key_of(attack) and not entry["failed"]
            entries[variant] = entry if same else calibrated(attack)
    return dict(sorted(entries.items()))


def _known(folder: Path) -> dict[str, dict[str, Any]]:
    """What run.json says of the bracket; nothing where it cannot be read."""
    try:
        found = parsed(folder / "run.json")["calibration"]
        return {str(name): dict(entry) for name, entry in found.items() if "checks" in entry and "failed" in entry}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
