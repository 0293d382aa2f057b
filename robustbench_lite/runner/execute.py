"""One cell becomes a report: load and inspect, attack, judge. What a classifier or an attack does wrong fails the cell.

Of the store it knows the shards of the cell, and nothing of who looks on: whoever calls it keeps the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from robustbench_lite.engine.attack import Attack, Composition
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.guards.foreign import is_interrupt, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.guards.memory import returned
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results import provenance
from robustbench_lite.results.schema import Row
from robustbench_lite.results.shards import Fit, Kept, Shard, gaps
from robustbench_lite.runner.cell_report import CellReport, Stages
from robustbench_lite.runner.cell_trial import CellTrial, Prepared
from robustbench_lite.runner.conclude import concluded, summed
from robustbench_lite.runner.fit import restored, storable_fit
from robustbench_lite.runner.plan import Cell, labels
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.sizes import WHOLE, Share, Sizes
from robustbench_lite.runner.verdict import artifacts, fitted, judged
from robustbench_lite.text import listed
from robustbench_lite.threat.rows import rows

__all__ = ["Watch", "attack", "described", "execute", "judge_again"]

_ALONE = 5  # samples that are also timed at batch size 1
_ALONE_SECONDS = 5.0  # but no longer than this


@dataclass(frozen=True)
class Watch:
    """Who is told how far the share is, in samples' worth of work, what the cell does, and when a shard is stored."""

    progressed: Callable[[int], None] = lambda _: None
    entered: Callable[[str], None] = lambda _: None
    kept: Callable[[], None] = lambda: None


def execute(
    cell: Cell,
    preflight: Preflight,
    watch: Watch | None = None,
    *,
    timing: bool = True,
    shards: Kept | None = None,
    shard_size: int | None = None,
    share: Share = WHOLE,
    concludes: bool = True,
) -> CellReport:
    """Run one cell. Never raises for what a classifier or an attack does wrong; only for interrupts.

    `timing`: also time a few samples at batch size 1. `shards`: where those that are done are found, and the others
    kept until the cell is finished; `shard_size`: samples in each, null: minutes of work. `share`: of its samples; what
    is left to others makes a report that is not `whole`; so do several shards where it `concludes` nothing.
    """
    watch = watch or Watch()
    started, assets, stages = datetime.now(UTC), preflight.assets, Stages(watch.entered)
    report = CellReport(cell, described(cell, assets.device), stages.seconds)
    try:
        with undisturbed(), limited(assets.timeout):
            assets.changed(_involved(cell))  # by a cell that failed
            _Work(report, preflight, watch, stages, shards, shard_size, share, timing, concludes, started).do()
    except BaseException as error:  # the one broad except: a cell must not stop the others
        if is_interrupt(error):
            raise
        report = report.failure(error, stages.now)
    report.described["provenance"] = canonical(provenance.of_cell(assets.device, started))
    return report


def _involved(cell: Cell) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*cell.sources, *cell.targets)))


def described(cell: Cell, device: torch.device | str) -> Row:
    """The columns of a cell that are known before it runs."""
    attack = cell.attack
    return {
        "cell": cell.id,
        **labels(cell),
        "n": cell.n,
        "attack": attack.title,
        "params": canonical(attack.params()),
        "version": attack.version,
        "norm": attack.threat,
        "eps": attack.budget,
        "spends": attack.spends,
        "goal": attack.aim,
        "seed": cell.seed,
        "certify": cell.certify and cell.certify.method,
        "status": "ok",
        "error": None,
        "stage": None,
        "traceback": None,
        "warnings": [],
        "warning_kinds": [],
        "notes": [],
        "device": str(device),
        "probes": canonical({cell.weights[name]: probe for name, probe in cell.probes.items()})
        if cell.probes
        else None,
    }


@dataclass
class _Work:
    """A cell at work: its sources are attacked and every target scored, shard by shard; all goes into the report."""

    report: CellReport
    preflight: Preflight
    watch: Watch
    stages: Stages
    shards: Kept | None
    shard_size: int | None
    share: Share
    timing: bool
    concludes: bool
    started: datetime
    fit: Fit | None = field(init=False, default=None)  # of a universal attack, made with its first shard
    told: dict[str, float] = field(init=False, default_factory=dict)  # seconds of each stage that shards know of

    def do(self) -> None:
        cell, stages = self.report.cell, self.stages
        with stages("inspect", "inspecting"):
            whole = Prepared.of(cell, self.preflight)
        done = self._stored(whole)
        try:
            for start, stop in Sizes.of(whole, self.shard_size).parts(done, self.share):
                trial = self._part(whole, start, stop)
                whole.ahead(stop, min(2 * stop - start, self.share.of(len(whole))[1]))
                behind = self._done(done, len(whole))
                shard = self._attacked(trial, start, behind, timing=self.timing and not _timed(done))
                self._keep(shard, whole, done)
        finally:
            whole.close()
        if gaps(done, len(whole)) or (len(done) > 1 and not self.concludes):
            self.report.whole = False
        else:
            self.report.finish(concluded(done, self.shards, self.fit))

    def _part(self, whole: Prepared, start: int, stop: int) -> CellTrial:
        """The samples from `start` to `stop`, with what is proven of them where that is asked for."""
        fit = None if self.fit is None else restored(self.fit)
        if self.report.cell.certify is None:
            return whole.part(start, stop, fit)
        with self.stages("inspect", "certifying"):
            return whole.part(start, stop, fit)

    def _stored(self, whole: Prepared) -> list[Shard]:
        """Shards of an earlier run that was stopped."""
        if self.shards is None or not whole.separable:
            return []
        if whole.universal:
            self.fit = _current_fit(self.shards, self.report.cell)
        done = [shard for shard in current(self.shards, self.report.cell) if shard.stop <= len(whole)]
        self.watch.progressed(self._done(done, len(whole)))
        return done

    def _done(self, done: Sequence[Shard], n: int) -> int:
        """How many samples of the share, of n in the cell."""
        first, last = self.share.of(n)
        return sum(max(0, min(shard.stop, last) - max(shard.start, first)) for shard in done)

    def _attacked(self, trial: CellTrial, start: int, behind: int, *, timing: bool) -> Shard:
        stages, cell = self.stages, self.report.cell
        with stages("attack", "attacking"):
            outcome, oracle = attack(trial, lambda n: self.watch.progressed(behind + n))
        alone, spent = None, stages.seconds["attack"]
        if timing and not trial.victim.members and _worth_timing(cell.attack):
            with stages("attack", "timing at batch size 1"):
                alone = _time_alone(trial)
        before = stages.seconds.get("judge", 0.0)
        with stages("judge", "judging"):
            shard = judged(trial, outcome, start)
            self.fit = self.fit or storable_fit(trial, outcome, _labels(cell))
            own = {} if self.fit is not None else fitted(trial, outcome)
            if self.fit is None:
                self.report.artifacts = list(artifacts(trial, outcome))
        shard.facts.update(
            labels=_labels(cell),
            cell=self.report.described | trial.facts,
            seconds=outcome.wall,
            seconds_forward=oracle.clock.forward,
            seconds_backward=oracle.clock.backward,
            seconds_judge=stages.seconds["judge"] - before,
            seconds_inspect=stages.seconds["inspect"],
            seconds_timing=None if alone is None else stages.seconds["attack"] - spent,
            seconds_alone=alone,
            seconds_certify=None if trial.proof is None else trial.proof.seconds,
            batch_size=oracle.batch_size,
            fitted=self.fit is not None,
            columns=own,
            stages={stage: seconds - self.told.get(stage, 0.0) for stage, seconds in stages.seconds.items()},
            provenance=canonical(provenance.of_cell(self.preflight.assets.device, self.started)),
        )
        self.told = dict(stages.seconds)
        return shard

    def _keep(self, shard: Shard, whole: Prepared, done: list[Shard]) -> None:
        """One that is the whole cell need not be stored apart. Raises AttackError where classifiers have changed."""
        if changed := self.preflight.assets.changed(_involved(self.report.cell)):
            raise AttackError(f"{listed(changed)}: parameters, buffers or answers changed during the cell")
        if self.shards is not None and len(shard) < len(whole):
            with self.stages("store"):
                if self.fit is not None and not done:
                    self.shards.add_fit(self.fit)
                self.shards.add(shard)
            self.watch.kept()
            shard = shard.without_images()
            returned()
        done.append(shard)
        done.sort(key=lambda one: one.start)


def current(shards: Kept, cell: Cell) -> list[Shard]:
    """The stored shards of a cell that were made under the names of now; others are removed."""
    done = []
    for shard in shards.stored():
        if shard.facts.get("labels") == _labels(cell):
            done.append(shard)
        else:
            shards.remove(shard)
    return done


def _current_fit(shards: Kept, cell: Cell) -> Fit | None:
    """What was fitted under the names of now; without it no shard is of use."""
    fit = shards.fit()
    if fit is None or fit.facts.get("labels") != _labels(cell):
        shards.drop()
        return None
    return fit


def _labels(cell: Cell) -> list[Any]:
    """Names and answers in the light of which a shard was made; a list, as JSON gives it back."""
    return [canonical(labels(cell)), described(cell, "")["probes"]]


def _timed(done: Sequence[Shard]) -> bool:
    return any(shard.facts["seconds_alone"] is not None for shard in done)


def judge_again(trial: CellTrial, outcome: Outcome) -> CellReport:
    """What a run stores of a cell whose attack proposed this, its costs and times aside; nothing is attacked."""
    report, shard = CellReport(trial.cell, described(trial.cell, trial.victim.scorer.device)), judged(trial, outcome)
    report.summary |= trial.facts | fitted(trial, outcome) | summed([shard])
    report.samples, report.images, report.artifacts = shard.samples, [shard.images], list(artifacts(trial, outcome))
    return report


def attack(trial: CellTrial, progress: Callable[[int], None] = lambda _: None) -> tuple[Outcome, Oracle]:
    """Run the attack on the device; everything comes back to the CPU. What is proven may be left out."""
    if trial.proof is not None and trial.proof.skips:
        return trial.proof.propose(trial.trial, trial.victim.scorer, trial.victim.members, progress)
    return trial.trial.propose(trial.victim.scorer, trial.victim.members, progress)


def _worth_timing(attack: Attack) -> bool:
    """Several attacks in turn take minutes for a sample, and no paper has their time."""
    return attack.timed_alone and attack.needs is None and not isinstance(attack, Composition)


def _time_alone(trial: CellTrial) -> float:
    """Seconds per sample at batch size 1, as the papers report it: the median over the first few samples."""
    times: list[float] = []
    job, scorer = trial.job, trial.victim.scorer
    others = job.setting if trial.cell.attack.images_to_fit else None
    for i in range(min(_ALONE, len(job.x))):
        index = torch.tensor([i])
        one = Job(job.x[index], rows(job.goal, index), rows(job.draw, index), others).to(scorer.device)
        times.append(run(trial.cell.attack, Oracle(scorer.module, scorer.device, 1), one).wall)
        if sum(times) > _ALONE_SECONDS:
            break
    return median(times)
