"""One cell becomes a report: load, train (from where it stopped), sample, score. What goes wrong fails the cell."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import perf_counter

from robustbench_lite.datasets.base import images
from robustbench_lite.generators import Generator, Judge, Training, data_of, loaded, scores_of, zoo
from robustbench_lite.generators.arithmetic import arithmetic
from robustbench_lite.generators.collapse import verdict
from robustbench_lite.generators.metrics.jackknife import FEWEST
from robustbench_lite.generators.metrics.neighbours import nearest
from robustbench_lite.guards.determinism import one_thread
from robustbench_lite.guards.foreign import is_interrupt, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results import provenance
from robustbench_lite.results.made import BETWEEN, GENERATORS, TRAINING
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.generation.cell import POINTS, GeneratorCell
from robustbench_lite.runner.generation.report import GeneratorReport, GeneratorStage, described
from robustbench_lite.runner.generation.snapshots import SHOWN, Snapshots, generator_of, pictured
from robustbench_lite.runner.observer import Observer, Silent
from robustbench_lite.suite.generators import Judged

__all__ = ["CHECKPOINT", "made"]

CHECKPOINT = "checkpoint.pt"  # in the folder of a training

_PAIRS = 2  # of latents, between which images are kept


def made(
    cell: GeneratorCell,
    folder: Path,
    root: Path,
    device: torch.device,
    told: Observer | None = None,
    timeout: float | None = None,
) -> GeneratorReport:
    """Train and judge one generator; `folder` is where a training goes on and leaves off.

    On a CPU by one thread: sums over threads differ in the last bit, and a training makes much of it.
    Never raises for what a training does wrong; only for interrupts.
    """
    started = datetime.now(UTC)
    work = _Work(GeneratorReport(cell, described(cell, str(device))), folder, root, device, told or Silent())
    report = work.report
    try:
        with undisturbed(), limited(timeout), torch.random.fork_rng(), _threads(device):
            work.do()
    except BaseException as error:  # the one broad except: a cell must not stop the others
        if is_interrupt(error):
            raise
        work.tell()
        report = report.failure(error, work.stage)
    report.described["provenance"] = canonical(provenance.of_cell(device, started))
    return report


def _threads(device: torch.device) -> AbstractContextManager[None]:
    return one_thread() if device.type == "cpu" else nullcontext()


@dataclass
class _Work:
    """A generator at work; all goes into the report."""

    report: GeneratorReport
    folder: Path
    root: Path
    device: torch.device
    told: Observer
    stage: GeneratorStage = "load"
    training: Training | None = field(init=False, default=None)
    snapshots: Snapshots | None = field(init=False, default=None)

    def do(self) -> None:
        cell = self.report.cell
        if cell.recipe is not None:  # a mistake in the networks is told before data are loaded
            cell.recipe.nets.generator(cell.recipe.size)
        with self.at("load", "loading"):
            judge = self.judge()
        generator = self.trained(judge) if cell.recipe is not None else zoo.load(cell.bundled)
        with self.at("sample", "sampling"):
            shown = self.sampled(generator, judge)
        with self.at("score", "scoring"):
            self.scored(shown, judge)
            self.added(generator, judge)
        self.report.generated += list(self.beside(shown, generator, judge))

    @contextmanager
    def at(self, stage: GeneratorStage, doing: Callable[[], str] | str) -> Iterator[None]:
        """While this is open the cell is at this stage; what fails fails there."""
        self.stage = stage
        self.told.entered(doing if isinstance(doing, str) else doing())
        start = perf_counter()
        try:
            yield
        finally:
            seconds = self.report.seconds
            seconds[stage] = seconds.get(stage, 0.0) + perf_counter() - start

    def judge(self) -> Judge | None:
        """Who looks at the images, and real ones beside them. Raises DataError, ModelError."""
        cell, how = self.report.cell, self.report.cell.judged
        if how.test is None or not how.judge or len(cell.size) != 3:
            return None
        return _judge(canonical(how.model_dump(mode="json")), self.root, cell.data)

    def trained(self, judge: Judge | None) -> Generator:
        """The generator at the end of its recipe. Raises ModelError where a loss is no number."""
        cell, todo = self.report.cell, self.report.cell.recipe
        assert todo is not None
        todo = todo.model_copy(update={"name": "this generator", "dataset": ""})  # names do not spoil a checkpoint
        with self.at("train", "training"):
            self.folder.mkdir(parents=True, exist_ok=True)
            data = data_of(todo, self.root)
            training = self.training = Training(todo, data, self.folder / CHECKPOINT, self.device)
            snapshots = self.snapshots = Snapshots(self.folder, judge, cell.seed)
            if not training.checkpoint.exists():
                snapshots.take(training)
            training.run(lambda _: self.logged(training, snapshots))
        self.tell()
        return generator_of(todo, training.kept.cpu(), training.nets.latent)

    def logged(self, training: Training, snapshots: Snapshots) -> None:
        self.told.trained(self.report.cell, training.step)
        if snapshots.due(training):
            snapshots.take(training)

    def tell(self) -> None:
        """Into the report: how far the training is, its losses, its samples on the way. Told more than once: once."""
        training, cell = self.training, self.report.cell.id
        if training is None or self.snapshots is None or self.report.training:
            return
        on_the_way = self.snapshots.stored()
        facts = {one["step"]: one["facts"] for one in on_the_way}
        known = set(TRAINING.names)
        begin: list[Row] = [{"step": 0, "images": 0, "seconds": 0.0}] if 0 in facts else []
        for row in [*begin, *training.rows]:
            said = {key: value for key, value in row.items() if key in known}
            self.report.training.append({"cell": cell} | said | facts.get(row["step"], {}))
        for one in on_the_way:
            if one["step"] < training.todo.steps:
                self.report.generated += pictured(cell, one["step"], one["made"])
        seen = training.rows[-1]["images"] if training.rows else 0
        self.report.summary |= {"steps": training.step, "images_seen": int(seen), "seconds": training.seconds}
        if training.rows and not all(map(math.isfinite, training.rows[-1].values())):
            reason = f"a loss is no number at step {training.step}"
            self.report.summary |= {"outcome": "diverged", "collapsed": True, "reason": reason}

    def sampled(self, generator: Generator, judge: Judge | None) -> torch.Tensor:
        """The images, or points, that are judged."""
        cell, todo = self.report.cell, self.report.cell.recipe
        n = cell.n if judge is None else min(cell.n, len(judge.test) // 2)
        return generator.sample(min(n, POINTS) if todo is not None and todo.points else n, cell.seed)

    def scored(self, shown: torch.Tensor, judge: Judge | None) -> None:
        """The scores, and what they say of a collapse; nothing where nobody judges."""
        todo = self.report.cell.recipe
        summary: Row = {"n": len(shown)}
        if todo is not None and (mixture := todo.mixture) is not None:
            found = mixture.coverage(shown)
            scores = {"modes": found.modes, "covered": found.covered, "high_quality": found.high_quality}
        else:
            scores = {} if judge is None else scores_of(shown, judge)
            scores = {key: value for key, value in scores.items() if key != "images"}
        summary |= {key: value for key, value in scores.items() if key in GENERATORS.names}
        if scores:
            outcome, reason = verdict(scores)
            summary |= {"outcome": outcome, "collapsed": outcome == "collapsed", "reason": reason or None}
        summary |= {"scores": canonical(scores), "seconds_sample": self.report.seconds["sample"]}
        self.report.summary |= summary

    def added(self, generator: Generator, judge: Judge | None) -> None:
        """Sums of latents, and what becomes of them; not where few images are asked for."""
        cell = self.report.cell
        if judge is None or self.report.summary["n"] < FEWEST:
            return
        if (found := arithmetic(generator, judge, cell.seed)) is not None:
            self.report.summary["scores"] = canonical(json.loads(self.report.summary["scores"]) | found.scores)
            rows = found.shown.flatten(0, 1)
            self.report.generated += pictured(cell.id, cell.steps, rows, "arithmetic", most=len(rows))

    def beside(self, shown: torch.Tensor, generator: Generator, judge: Judge | None) -> Iterator[Row]:
        """Rows of what is shown: its images, real ones, training images nearest to its own, ways between latents."""
        cell, todo = self.report.cell, self.report.cell.recipe
        step = cell.steps
        yield from pictured(cell.id, step, shown)
        if todo is not None and (mixture := todo.mixture) is not None:
            yield from pictured(cell.id, step, mixture.draw(len(shown), torch.Generator().manual_seed(0)), "real")
            return
        yield from pictured(cell.id, step, _between(generator, cell.seed), "between")
        if judge is None:
            return
        yield from pictured(cell.id, step, judge.test, "real")
        if judge.train is not None:
            distances, places = nearest(judge.inner(shown[:SHOWN]), judge.inner(judge.train))
            rows = pictured(cell.id, step, judge.train[places], "neighbour")
            yield from (row | {"distance": float(far)} for row, far in zip(rows, distances, strict=True))


@lru_cache(maxsize=1)  # what real images get is looked at once for all generators of the same images
def _judge(how: str, root: Path, data: str) -> Judge:  # noqa: ARG001  (the images' hashes: a file that changes is read)
    said = Judged.model_validate_json(how)
    assert said.test is not None
    test = images(loaded(said.test, root, said.pad))
    train = [images(loaded(source, root, said.pad)) for source in said.train]
    return Judge(said.judge, test, torch.cat(train) if train else None, said.pad)


def _between(generator: Generator, seed: int) -> torch.Tensor:
    """Images on the straight lines between a few pairs of latents, pair by pair."""
    ends = generator.latents(2 * _PAIRS, seed)
    shares = torch.linspace(0, 1, BETWEEN)[:, None]
    lines = [ends[2 * i] * (1 - shares) + ends[2 * i + 1] * shares for i in range(_PAIRS)]
    return generator.at(torch.cat(lines))
