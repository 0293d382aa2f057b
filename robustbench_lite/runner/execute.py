"""One cell becomes a report: load and inspect, attack, judge. What a classifier or an attack does wrong fails the cell.

It knows neither the store nor who looks on: whoever calls it keeps the report, and prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from robustbench_lite.engine.attack import Attack, Composition
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.guards.foreign import is_interrupt, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results import provenance
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_report import CellReport, Stages
from robustbench_lite.runner.cell_trial import CellTrial, prepare
from robustbench_lite.runner.plan import Cell, labels
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.verdict import add_verdicts
from robustbench_lite.text import listed
from robustbench_lite.threat.rows import rows

__all__ = ["attack", "execute", "judge_again"]

_ALONE = 5  # samples that are also timed at batch size 1
_ALONE_SECONDS = 5.0  # but no longer than this


def execute(
    cell: Cell,
    preflight: Preflight,
    progress: Callable[[int], None] = lambda _: None,
    said: Callable[[str], None] = lambda _: None,
    *,
    timing: bool = True,
) -> CellReport:
    """Run one cell. Never raises for what a classifier or an attack does wrong; only for interrupts.

    `said` is told what the cell is doing; `timing`: also time a few samples at batch size 1.
    """
    started, assets, stages = datetime.now(UTC), preflight.assets, Stages(said)
    report = CellReport(cell, _described(cell, assets.device), stages.seconds)
    try:
        with undisturbed(), limited(assets.timeout):
            _steadily(cell, assets, lambda: _run(report, preflight, progress, stages, timing=timing))
    except BaseException as error:  # the one broad except: a cell must not stop the others
        if is_interrupt(error):
            raise
        report = report.failure(error, stages.now)
    report.described["provenance"] = canonical(provenance.of_cell(assets.device, started))
    return report


def _steadily(cell: Cell, assets: Assets, work: Callable[[], None]) -> None:
    """Do the work. Raises AttackError where it does not leave the classifiers as they were."""
    involved = tuple(dict.fromkeys((*cell.sources, *cell.targets)))
    assets.changed(involved)  # by a cell that failed
    work()
    if changed := assets.changed(involved):
        raise AttackError(f"{listed(changed)}: parameters, buffers or answers changed during the cell")


def _described(cell: Cell, device: torch.device) -> Row:
    """The columns of a cell that are known before it runs."""
    attack = cell.attack
    return {
        "cell": cell.id,
        **labels(cell),
        "n": cell.n,
        "attack": attack.registered,
        "params": canonical(attack.params()),
        "version": attack.version,
        "norm": attack.threat,
        "eps": attack.budget,
        "spends": attack.spends,
        "goal": attack.aim,
        "seed": cell.seed,
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


def _run(
    report: CellReport, preflight: Preflight, progress: Callable[[int], None], stages: Stages, *, timing: bool
) -> None:
    """Attack the sources once, score every target; all of it goes into the report."""
    with stages("inspect", "inspecting"):
        trial = prepare(report.cell, preflight)
    with stages("attack", "attacking"):
        outcome, oracle = attack(trial, progress)
    spent, alone = stages.seconds["attack"], None
    if timing and not trial.victim.members and _timed_alone(report.cell.attack):
        with stages("attack", "timing at batch size 1"):
            alone = _time_alone(trial)
    with stages("judge", "judging"):
        add_verdicts(report, trial, outcome)
    report.summary |= {
        "seconds": outcome.wall,
        "seconds_forward": oracle.clock.forward,
        "seconds_backward": oracle.clock.backward,
        "seconds_judge": stages.seconds["judge"],
        "seconds_inspect": stages.seconds["inspect"],
        "seconds_timing": None if alone is None else stages.seconds["attack"] - spent,
        "seconds_alone": alone,
        "batch_size": oracle.batch_size,
    }


def judge_again(trial: CellTrial, outcome: Outcome) -> CellReport:
    """What a run stores of a cell whose attack proposed this, its costs and times aside; nothing is attacked."""
    report = CellReport(trial.cell, _described(trial.cell, trial.victim.scorer.device))
    add_verdicts(report, trial, outcome)
    return report


def attack(trial: CellTrial, progress: Callable[[int], None] = lambda _: None) -> tuple[Outcome, Oracle]:
    """Run the attack on the device; everything comes back to the CPU."""
    return trial.trial.propose(trial.victim.scorer, trial.victim.members, progress)


def _timed_alone(attack: Attack) -> bool:
    """Several attacks in turn take minutes for a sample, and no paper has their time."""
    return attack.needs is None and not isinstance(attack, Composition)


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
