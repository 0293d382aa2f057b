"""One cell becomes rows: inspect, attack, judge. The one broad except: a failed cell is a row with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import median

from robustbench_lite.engine.columns import Written
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.inspection import Asked
from robustbench_lite.engine.job import PERTURBATION, Fitting, Job
from robustbench_lite.engine.judge import finite, look
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.engine.trial import TARGETS, Trial
from robustbench_lite.errors import AttackError, RobustbenchError
from robustbench_lite.guards.foreign import is_interrupt, told, trace, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results import provenance
from robustbench_lite.results.schema import Caveat, Row
from robustbench_lite.runner.assets import Bench, Victim, images
from robustbench_lite.runner.plan import Cell, labels
from robustbench_lite.runner.rows import artifact_rows, image_rows
from robustbench_lite.runner.stages import ATTACKING, INSPECTING, JUDGING, TIMING, Stages
from robustbench_lite.text import listed, shortened, storable
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.norms import Goal
from robustbench_lite.threat.rows import rows
from robustbench_lite.threat.setting import Setting

__all__ = ["Done", "Ready", "attacked", "execute", "prepare", "rejudged"]

_ALONE = 5  # samples that are also timed at batch size 1
_ALONE_SECONDS = 5.0  # but no longer than this


@dataclass
class Done:
    """What a cell left behind: a row per sample, the images, what was made for all of them, and the cell's own row."""

    samples: list[Row] = field(default_factory=list)
    images: list[Row] = field(default_factory=list)
    artifacts: list[Row] = field(default_factory=list)
    cell: Row = field(default_factory=dict)


def execute(
    cell: Cell,
    bench: Bench,
    progress: Callable[[int], None] = lambda _: None,
    stages: Stages | None = None,
    *,
    timing: bool = True,
) -> Done:
    """Run one cell. Never raises for what a classifier or an attack does wrong; only for interrupts.

    `timing`: also time a few samples at batch size 1.
    """
    started = datetime.now(UTC)
    row, at = _describe(cell, bench), stages or Stages()
    try:
        with undisturbed(), limited(bench.timeout):
            done = _steadily(cell, bench, lambda: _run(cell, bench, progress, at, timing=timing))
        row |= done.cell
    except RobustbenchError as error:
        done, row = Done(), row | _failed(storable(shortened(str(error))), error.stage or at.now, error.traceback)
    except BaseException as error:  # the one broad except: a cell must not stop the others
        if is_interrupt(error):
            raise
        done, row = Done(), row | _failed(f"{cell.source}: {told(error)}", at.now, trace(error))
    done.cell = row | {"provenance": canonical(provenance.of_cell(bench.device, started))}
    return done


def _steadily(cell: Cell, bench: Bench, work: Callable[[], Done]) -> Done:
    """What the work leaves behind, where it leaves the classifiers as they were. Raises AttackError otherwise."""
    involved = tuple(dict.fromkeys((*cell.sources, *cell.targets)))
    bench.changed(involved)  # by a cell that failed
    done = work()
    if changed := bench.changed(involved):
        raise AttackError(f"{listed(changed)}: parameters, buffers or answers changed during the cell")
    return done


def _failed(text: str, stage: str, traceback: str) -> Row:
    """The columns of a cell that has no numbers."""
    return {"status": "failed", "error": text, "stage": stage, "traceback": traceback or None}


def _describe(cell: Cell, bench: Bench) -> Row:
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
        "goal": attack.aim,
        "seed": cell.seed,
        "status": "ok",
        "error": None,
        "warnings": [],
        "warning_kinds": [],
        "notes": [],
        "device": str(bench.device),
        "probes": canonical({cell.weights[name]: probe for name, probe in cell.probes.items()})
        if cell.probes
        else None,
    }


def _run(cell: Cell, bench: Bench, progress: Callable[[int], None], stages: Stages, *, timing: bool) -> Done:
    """Attack the sources once, score every target."""
    with stages(INSPECTING):
        ready = prepare(cell, bench)
        for name in cell.targets:
            bench.inspect(cell.dataset, name)
    victim, job, keep, clean = ready.victim, ready.job, ready.keep, ready.clean
    samples = bench.samples(cell.dataset)
    labels, ids = torch.from_numpy(samples.labels)[keep], [samples.ids[i] for i in keep.tolist()]
    with stages(ATTACKING):
        outcome, oracle = attacked(cell, bench, ready, progress)
    alone = None
    if timing and len(cell.sources) == 1 and cell.attack.needs is None:
        with stages(TIMING):
            alone = _time_alone(cell, bench, victim, job)
    with stages(JUDGING):
        done, near_ties = _judged(cell, bench, ready, outcome, labels, ids)
        fit = _on_fitting_set(cell, bench, ready, outcome)
    done.cell = (
        _summary(cell, bench, done.samples, outcome, clean)
        | fit
        | {
            "near_ties": near_ties,
            "classes": clean.shape[1],
            "seconds_forward": oracle.clock.forward,
            "seconds_backward": oracle.clock.backward,
            "seconds_judge": stages.seconds[JUDGING[1]],
            "seconds_inspect": stages.seconds[INSPECTING[1]],
            "seconds_timing": stages.seconds.get(TIMING[1]),
            "seconds_alone": alone,
            "batch_size": oracle.batch_size,
        }
    )
    return done


def _judged(
    cell: Cell, bench: Bench, ready: Ready, outcome: Outcome, labels: torch.Tensor, ids: list[str]
) -> tuple[Done, int]:
    """The rows of every target, and how many verdicts are near ties."""
    samples, job, keep = bench.samples(cell.dataset), ready.job, ready.keep
    origins = None if samples.scene is None else samples.scene.pick(keep).origins()
    trial, size = Trial(cell.attack, job, labels, ids, cell.seed), bench.batch_for(job.x, job.setting)
    named = {"cell": cell.id, "suite": cell.suite, "dataset": cell.dataset, "source": cell.source}
    named |= {"variant": cell.variant}
    done, near_ties = Done(), 0
    for name in cell.targets:
        target, clean = bench.classifier(name), bench.inspect(cell.dataset, name).logits[keep]
        asked = Asked(name, target.module, bench.device, size)
        scored = trial.score(outcome, asked, clean, target.weights)
        near_ties += int(scored.verdicts.near_tie.sum())
        done.samples += Written(cell.attack, named, scored, ids, labels, outcome, origins).rows()
    done.images = image_rows(cell, samples, keep.tolist(), outcome) if bench.suite.images == "all" else []
    done.artifacts = artifact_rows(cell, outcome)
    return done, near_ties


def rejudged(cell: Cell, bench: Bench, ready: Ready, outcome: Outcome) -> Done:
    """What a run stores of a cell whose attack proposed this, its costs and times aside; nothing is attacked."""
    samples, keep = bench.samples(cell.dataset), ready.keep
    labels, ids = torch.from_numpy(samples.labels)[keep], [samples.ids[i] for i in keep.tolist()]
    done, near_ties = _judged(cell, bench, ready, outcome, labels, ids)
    done.cell = _describe(cell, bench) | _summary(cell, bench, done.samples, outcome, ready.clean)
    done.cell |= _on_fitting_set(cell, bench, ready, outcome)
    done.cell |= {"near_ties": near_ties, "classes": ready.clean.shape[1]}
    return done


@dataclass(frozen=True)
class Ready:
    """All that an attack needs: `keep` (n,) are its samples' places in the pool, `clean` (N, K) the pool's logits."""

    victim: Victim
    job: Job
    keep: torch.Tensor
    clean: torch.Tensor


def prepare(cell: Cell, bench: Bench) -> Ready:
    """Load and inspect what the cell attacks. Raises RobustbenchError where that cannot be attacked."""
    if cell.error:
        problem = AttackError(cell.error)
        problem.stage, problem.traceback = cell.stage, cell.traceback
        raise problem
    samples, keep = bench.samples(cell.dataset), bench.kept(cell.dataset)
    if len(keep) == 0:
        raise AttackError("no sample is left to attack: keep: correct_by_all left none")
    if isinstance(target := cell.attack.target, int):
        keep = keep[torch.from_numpy(samples.labels)[keep] != target]
        if len(keep) == 0:
            raise AttackError(f"target: expected another class than {target}, which every sample is of itself")
    victim = bench.victim(cell.sources, cell.attack.shares)
    x, labels = images(samples)[keep], torch.from_numpy(samples.labels)[keep]
    ids = [samples.ids[i] for i in keep.tolist()]
    draw, targets = (Draw(keys(cell.seed, stream, ids)) for stream in (cell.attack.stream(), TARGETS))
    clean = bench.clean_logits(cell.dataset, cell.sources, cell.attack.shares)
    goal = replace(cell.attack.goals(labels, clean[keep], targets), members=len(cell.sources))
    return Ready(victim, Job(x, goal, draw, _setting(cell, bench, victim, keep)), keep, clean)


def _setting(cell: Cell, bench: Bench, victim: Victim, keep: torch.Tensor) -> Setting | None:
    """Where the samples `keep` (n,) are attacked. Raises AttackError where the data are not what the attack needs."""
    attack, scene = cell.attack, bench.samples(cell.dataset).scene
    if scene is not None and scene.views is not None and not isinstance(scene, attack.needs or ()):
        raise AttackError(f"{attack.registered}: '{cell.dataset}' is an object that is seen in views; use eot3d")
    if attack.images_to_fit:
        return _fitting(cell, bench, victim)
    scene = None if scene is None else scene.pick(keep)
    return scene if attack.needs is None else attack.needs.of(scene, attack.registered)


def _fitting(cell: Cell, bench: Bench, victim: Victim) -> Fitting:
    """Other images than those tested, with the victim's predictions on them."""
    samples = bench.fitting(cell.dataset, cell.attack.images_to_fit)
    x = images(samples)
    clean = finite(look(victim.module, x, bench.device, bench.batch_for(x)), "images to fit on")
    draw = Draw(keys(cell.seed, cell.attack.stream(), samples.ids))
    return Fitting(x, replace(Goal(clean.argmax(1), clean.shape[1]), members=len(cell.sources)), draw)


def _on_fitting_set(cell: Cell, bench: Bench, ready: Ready, outcome: Outcome) -> Row:
    """How many images a perturbation was fitted on, and how many of them it fools: here too the judge looks."""
    fitting = ready.job.setting
    if not isinstance(fitting, Fitting):
        return {}
    x = cell.attack.apply(fitting.x, outcome.artifacts[PERTURBATION])
    seen = look(ready.victim.module, x, bench.device, bench.batch_for(x))
    after = finite(seen, "perturbed images that it was fitted on").argmax(1)
    return {"fit_n": len(x), "fit_rate": float((after != fitting.goal.label).double().mean())}


def attacked(
    cell: Cell, bench: Bench, ready: Ready, progress: Callable[[int], None] = lambda _: None
) -> tuple[Outcome, Oracle]:
    """Run the attack on the device; everything comes back to the CPU."""
    victim, job = ready.victim, ready.job
    oracle = Oracle(victim.module, bench.device, bench.batch_for(job.x, job.setting), victim.members)
    outcome = run(cell.attack, oracle, job.to(bench.device), progress)
    return outcome.cpu(), oracle


def _time_alone(cell: Cell, bench: Bench, victim: Victim, job: Job) -> float:
    """Seconds per sample at batch size 1, as the papers report it: the median over the first few samples."""
    times: list[float] = []
    for i in range(min(_ALONE, len(job.x))):
        index = torch.tensor([i])
        one = Job(job.x[index], rows(job.goal, index), rows(job.draw, index)).to(bench.device)
        times.append(run(cell.attack, Oracle(victim.module, bench.device, 1, victim.members), one).wall)
        if sum(times) > _ALONE_SECONDS:
            break
    return median(times)


def _summary(cell: Cell, bench: Bench, table: list[Row], outcome: Outcome, clean: torch.Tensor) -> Row:
    failed = [row["status"] for row in table if row["status"] != "ok"]
    error = f"{len(failed)} of {len(table)} rows: {failed[0]}" if failed else None
    inspections = {name: bench.inspect(cell.dataset, name) for name in dict.fromkeys((*cell.sources, *cell.targets))}
    several = len(inspections) > 1
    caveats = [
        Caveat(kind, f"{name}: {text}" if several else text)
        for name, inspection in inspections.items()
        for kind, text in inspection.warnings
    ]
    others = list(bench.samples(cell.dataset).warnings)
    understood = [f"{name}: {note}" for name in inspections for note in bench.classifier(name).notes]
    n, kept = len(outcome.status), len(bench.kept(cell.dataset))
    if kept < cell.n:
        others.append(f"{cell.n} samples are wanted, every classifier gets only {kept} of those looked at right")
    if n < kept:
        others.append(f"{kept - n} of {kept} samples are left out: the target is their own class")
    caveats += [Caveat("other", text) for text in others]
    alone = inspections[cell.sources[0]] if len(cell.sources) == 1 else None
    labels = torch.from_numpy(bench.samples(cell.dataset).labels)
    return {
        "n": n,
        "status": "failed" if failed else "ok",
        "error": error,
        "warnings": [text for _, text in caveats],
        "warning_kinds": [kind for kind, _ in caveats],
        "notes": [*outcome.notes, *understood],
        "clean_accuracy": float((clean.argmax(1) == labels).double().mean()),
        "card_accuracy": alone.card_accuracy if alone else None,
        "card_test_error": bench.classifier(cell.source).card.test_error if alone else None,
        "forwards": int(outcome.forwards.sum()),
        "backwards": int(outcome.backwards.sum()),
        "seconds": outcome.wall,
    }
