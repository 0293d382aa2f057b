"""The bracket: whether every attack finds what it must where the answer is known exactly.

On classifiers that are linear in the image the distance to the nearest boundary is known in closed form in every norm.
An attack with a budget must fail at 0.98 of it and succeed at 1.05; a minimal attack must find a perturbation between
it and the factor on its card; one without either must succeed, and cannot do so below it. Binary classifiers, and ten
classes of which two matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import radians, tan
from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.attack import Attack, FittedAttack, SceneAttack, StickerAttack, attacks
from robustbench_lite.batch import rows
from robustbench_lite.engine import Job, run
from robustbench_lite.judge import Verdicts, judge, look
from robustbench_lite.lazy import torch
from robustbench_lite.oracle import Oracle
from robustbench_lite.rng import Draw, keys
from robustbench_lite.threat import Goal, Norm, dual_size
from robustbench_lite.transforms.camera import OVER, Placement, to_corners
from robustbench_lite.transforms.mesh import Mesh
from robustbench_lite.transforms.scene import Pose, Scene
from robustbench_lite.transforms.shots import Poses, Shots

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Finding", "Linear", "bracket", "calibrate", "problems", "summary"]

BATCH_SIZES = (1, 7, 64)
_N = 24


@dataclass(frozen=True)
class Linear:
    """Images x (N, C, H, W), a classifier linear in them, and the exact radius (N,) of its nearest boundary."""

    name: str
    module: nn.Module
    x: torch.Tensor
    classes: int
    weight: torch.Tensor  # (K, D)

    def logits(self) -> torch.Tensor:
        return look(self.module, self.x, torch.device("cpu"), 64)

    def radius(self, goal: Goal, norm: Norm) -> torch.Tensor:
        """The exact distance (N,) to where the goal is reached, in the norm."""
        z, label = self.logits(), goal.label
        w = self.weight[None] - self.weight[label][:, None]  # (N, K, D)
        length = dual_size(w.flatten(0, 1), norm).view(len(z), -1)
        if goal.targeted:
            return ((z - z.gather(1, label[:, None])).clamp_min(0) / length.clamp_min(1e-12)).amax(1)
        gap = z.gather(1, label[:, None]) - z
        gap = gap.scatter(1, label[:, None], float("inf"))
        return (gap.clamp_min(0) / length.clamp_min(1e-12)).amin(1)


class Planted:
    """Two classes: the second only where an image is one of the prototypes (N, C, H, W)."""

    def __init__(self, prototypes: torch.Tensor) -> None:
        self.flat = prototypes.flatten(1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        away = torch.cdist(x.flatten(1).double(), self.flat.double()).amin(1)
        return torch.stack([torch.zeros_like(away), 1e-4 - away], 1).float()


@dataclass(frozen=True)
class Finding:
    """One check of the bracket."""

    attack: str
    case: str
    expected: str
    found: str
    passed: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'} {self.attack:10} {self.case:50} {self.expected}: {self.found}"


def problems() -> list[Linear]:
    """The classifiers of the bracket; images lie around mid-grey, so the box never binds."""
    generator = torch.Generator().manual_seed(0)
    out = []
    for name, classes, scale, shape in (
        ("binary", 2, 1.0, (1, 4, 4)),
        ("binary, tiny logits", 2, 1e-3, (3, 3, 5)),
        ("binary, saturated", 2, 1e3, (1, 4, 4)),
        ("ten classes", 10, 30.0, (3, 4, 4)),
    ):
        weight = torch.randn((classes, shape[0] * shape[1] * shape[2]), generator=generator) * scale
        x = 0.5 + 0.05 * (torch.rand((_N, *shape), generator=generator) - 0.5)
        bias = torch.full((classes,), -3.0 * scale)
        bias[[0, classes - 1]] = 0.0  # two classes matter, the last one among them
        out.append(Linear(name, _linear(weight, bias), x, classes, weight))
    return out


def bracket() -> list[Finding]:
    """Every registered attack on every problem, in each of its norms and goals, at several batch sizes."""
    return [finding for name in attacks for finding in calibrate(name)]


def summary(name: str) -> dict[str, Any]:
    """What a run stores of the bracket for one attack: ten classes, all samples in one batch."""
    findings = list(calibrate(name, problems()[-1:], (_N,)))
    wrong = [f"{f.case}: expected {f.expected}, found {f.found}" for f in findings if not f.passed]
    return {"version": attacks[name].version, "checks": len(findings), "failed": wrong}


def calibrate(
    name: str, on: Sequence[Linear] | None = None, batch_sizes: Sequence[int] | None = None
) -> Iterator[Finding]:
    """The bracket for one attack, on all problems and batch sizes unless told otherwise."""
    record = attacks[name]
    if record.found:
        yield from _planted(record, BATCH_SIZES if batch_sizes is None else batch_sizes)
        return
    if issubclass(record, SceneAttack):
        yield from _walled(record, BATCH_SIZES if batch_sizes is None else batch_sizes)
        return
    if issubclass(record, StickerAttack):
        yield from _stuck(record, BATCH_SIZES if batch_sizes is None else batch_sizes)
        return
    if issubclass(record, FittedAttack):
        yield from _universal(record, BATCH_SIZES if batch_sizes is None else batch_sizes)
        return
    for problem in problems() if on is None else on:
        for norm in _norms(record):
            for targeted in (False, True) if _targetable(record) else (False,):
                for batch_size in BATCH_SIZES if batch_sizes is None else batch_sizes:
                    yield from _findings(record, problem, norm, batch_size, targeted=targeted)


def _findings(
    record: type[Attack], problem: Linear, norm: Norm | None, batch_size: int, *, targeted: bool
) -> Iterator[Finding]:
    z = problem.logits()
    label = z.argsort(1)[:, -2] if targeted else z.argmax(1)
    goal = Goal(label, problem.classes, targeted)
    exact = problem.radius(goal, norm or "l2")
    case = f"{problem.name}, {norm or 'no norm'}, {'targeted' if targeted else 'untargeted'}, batch {batch_size}"
    base: dict[str, Any] = {"norm": norm} if "norm" in record.model_fields else {}
    if targeted:
        base["target"] = 0
    if norm is None:
        verdicts = _verdicts(record(**base), problem, goal, batch_size)
        below = verdicts.success & (verdicts.sizes["l2"] < 0.98 * exact)
        found = f"{int(verdicts.success.sum())}/{_N} succeed, {int(below.sum())} impossible"
        yield Finding(record.registered, case, "all", found, bool(verdicts.success.all()) and not bool(below.any()))
        return
    if record.minimal:
        verdicts = _verdicts(record(**base), problem, goal, batch_size)
        ratio = verdicts.sizes[norm] / exact
        good = bool(verdicts.success.all()) and bool((ratio <= record.card.factor + 1e-4).all())
        found = f"{int(verdicts.success.sum())}/{_N} succeed, up to {float(ratio.max()):.4f} of the exact radius"
        yield Finding(record.registered, case, f"all, up to {record.card.factor:.2f}", found, good)
        return
    # one budget for all samples: those whose radius lies clearly on either side must fall on that side
    epsilon = float(exact.median())
    verdicts = _verdicts(record(**base | {"epsilon": epsilon}), problem, goal, batch_size)
    below, above = exact * 1.05 <= epsilon, exact * 0.98 > epsilon
    missed, impossible = int((below & ~verdicts.success).sum()), int((above & verdicts.success).sum())
    faults = sum(bool(fault) for fault in verdicts.fault)
    found = f"{missed} missed, {impossible} impossible, {faults} contract violations"
    yield Finding(record.registered, case, "none", found, not (missed or impossible or faults))


def _planted(record: type[Attack], batch_sizes: Sequence[int]) -> Iterator[Finding]:
    """Attacks on parameters: a classifier that fails at exactly one candidate of each image, which must be found."""
    x = torch.rand((_N, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    for stop in ("success", "never"):
        attack: Any = attacks.build(record.registered, {"search": "grid", "angles": 5, "shifts": 3, "stop": stop})
        grid = attack.limits.grid(attack.angles, attack.shifts)
        planted = grid[torch.arange(_N) * 7 % len(grid)]
        module: Any = Planted(attack.rebuild(x, planted))
        goal = Goal(torch.zeros(_N, dtype=torch.int64), 2)
        for batch_size in batch_sizes:
            oracle = Oracle(module, torch.device("cpu"), batch_size)
            draw = Draw(keys(0, attack.stream(), [str(i) for i in range(_N)]))
            outcome = run(attack, oracle, Job(x, goal, draw))
            classify = lambda part, module=module: look(module, part, torch.device("cpu"), 64)
            verdicts = judge(attack, classify, x, outcome.candidates, goal, outcome.found)
            right = int((verdicts.success & (outcome.found == planted).all(1)).sum())
            case = f"one candidate of {len(grid)} planted, stop: {stop}, batch {batch_size}"
            yield Finding(record.registered, case, "all found", f"{right}/{_N} found", right == _N)


def _walled(record: type[SceneAttack], batch_sizes: Sequence[int]) -> Iterator[Finding]:
    """Attacks on objects: a picture that just fills the screen, so that every view is the picture itself."""
    problem = problems()[-1]  # ten classes, square and in colour
    scene, label = _wall(problem.x.shape[-1]), problem.logits().argsort(1)
    for targeted, batch_size in product((False, True), batch_sizes):
        goal = Goal(label[:, -2] if targeted else label[:, -1], problem.classes, targeted)
        attack = attacks.build(
            record.registered, {"penalty": [0], "steps": 20, "step_size": 0.05, "draws": 1, "fresh": 1}
        )
        exact = problem.radius(goal, "l2")
        verdicts = _verdicts(attack, problem, goal, batch_size, scene)
        won, below = int(verdicts.success.sum()), int((verdicts.sizes["l2"] < 0.98 * exact)[verdicts.success].sum())
        case = f"picture on a wall, {'targeted' if targeted else 'untargeted'}, batch {batch_size}"
        found = f"{won}/{_N} succeed, {below} impossible"
        yield Finding(record.registered, case, "all", found, won == _N and below == 0)


class _Wall(Scene):
    def pose(self, draw: Draw, step: int) -> Pose:  # noqa: ARG002
        return Pose(distance=self.distance[0])


def _wall(side: int) -> Scene:
    """A square whose corners are the centres of the screen's corner pixels."""
    half = tan(radians(Scene.field / 2)) * (side - 1) / side
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * half
    faces, normals = np.array([[0, 1, 2], [0, 2, 3]]), np.tile([0.0, 0.0, 1.0], (4, 1))
    return _Wall(Mesh(corners, faces, (np.sign(corners[:, :2]) + 1) / 2, normals), (side, side), (1.0, 1.0))


def _universal(record: type[FittedAttack], batch_sizes: Sequence[int]) -> Iterator[Finding]:
    """One perturbation for images on one side of a hyperplane: it fools all once it reaches the farthest, else not.

    Of the farthest itself the original algorithm may stop short: projection takes a part of every step towards it.
    """
    for problem in (problem for problem in problems() if problem.classes == 2):
        label = problem.logits().argmax(1)
        side = (label == label.mode().values).nonzero()[:, 0]
        x, goal = problem.x[side], Goal(label[side], 2)
        for norm in _norms(record):
            exact = problem.radius(Goal(label, 2), norm or "l2")[side]
            near = exact * 1.03 < exact.max()
            for share, batch_size in product((1.05, 0.9), batch_sizes):
                epsilon = share * float(exact.max())
                patient = {"delta": 0, "passes": 50} if "delta" in record.model_fields else {}
                attack = attacks.build(record.registered, {"norm": norm, "epsilon": epsilon, "fit": len(x), **patient})
                draw = Draw(keys(0, attack.stream(), [str(i) for i in range(len(x))]))
                job = Job(x, goal, draw, Job(x, goal, draw))
                outcome = run(attack, Oracle(problem.module, torch.device("cpu"), batch_size), job)
                classify = lambda part, module=problem.module: look(module, part, torch.device("cpu"), 64)
                won = judge(attack, classify, x, outcome.candidates, goal)
                case = f"{problem.name}, {norm}, {share:g} of the farthest, batch {batch_size}"
                missed = int((~won.success & near).sum()) if share > 1 else 0
                impossible, faults = int((won.success & (exact * 0.98 > epsilon)).sum()), sum(map(bool, won.fault))
                found = f"{missed} missed, {impossible} impossible, {faults} contract violations"
                yield Finding(record.registered, case, "none", found, not (missed or impossible or faults))


def _stuck(record: type[StickerAttack], batch_sizes: Sequence[int]) -> Iterator[Finding]:
    """Attacks on objects: pictures that fill the photograph, a sticker for each; it must succeed, as anything may."""
    problem = problems()[-1]  # square and in colour
    ordered, n = problem.logits().argsort(1), 6
    options = {"mask": "poster", "steps": 30, "step_size": 0.05, "draws": 2, "gain": [1, 1]}
    for targeted in (False, True):
        attack = attacks.build(record.registered, options | ({"target": 0} if targeted else {}))
        goal = Goal(ordered[:, -2] if targeted else ordered[:, -1], problem.classes, targeted)
        exact = problem.radius(goal, "l2")
        for batch_size in batch_sizes:
            won = below = 0
            for i in torch.arange(n)[:, None]:
                one = Linear(problem.name, problem.module, problem.x[i], problem.classes, problem.weight)
                verdicts = _verdicts(attack, one, rows(goal, i), batch_size, _picture(one.x))
                won += int(verdicts.success)
                below += int(verdicts.success & (verdicts.sizes["l2"] < 0.98 * exact[i]))
            case = f"a picture, {'targeted' if targeted else 'untargeted'}, batch {batch_size}"
            found = f"{won}/{n} succeed, {below} impossible"
            yield Finding(record.registered, case, "all", found, won == n and below == 0)


class _Picture(Shots):
    def training(self, poses: Poses, draw: Draw, number: torch.Tensor) -> tuple[torch.Tensor, Placement]:  # noqa: ARG002
        index = number * 0
        return self.texture[None][index], rows(self.placed, index)


def _picture(x: torch.Tensor) -> Shots:
    """A texture (1, 3, S, S) photographed from the front, its corner pixels in the corners."""
    end = float(x.shape[-1] * OVER - 1)
    corners = torch.tensor([[[0.0, 0.0], [end, 0.0], [end, end], [0.0, end]]])
    placed = Placement(to_corners(corners, x.shape[-1]), torch.zeros(1), torch.ones(1))
    return _Picture("picture", x[0], placed, ({},))


def _verdicts(attack: Attack, problem: Linear, goal: Goal, batch_size: int, scene: object | None = None) -> Verdicts:
    draw = Draw(keys(0, attack.stream(), [str(i) for i in range(len(problem.x))]))
    oracle = Oracle(problem.module, torch.device("cpu"), batch_size)
    outcome = run(attack, oracle, Job(problem.x, goal, draw, scene=scene))
    return judge(
        attack, lambda part: look(problem.module, part, torch.device("cpu"), 64), problem.x, outcome.candidates, goal
    )


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
    """Logits W (x - 1/2) + b: centred, so that the bias alone decides the margins."""
    layer = torch.nn.Linear(weight.shape[1], len(weight))
    layer.weight.data, layer.bias.data = weight, bias - weight.sum(1) / 2
    return torch.nn.Sequential(torch.nn.Flatten(), layer).eval().requires_grad_(requires_grad=False)


def _norms(record: type[Attack]) -> tuple[Norm | None, ...]:
    field = record.model_fields.get("norm")
    if field is None:
        fixed: Norm | None = getattr(record, "threat", None)
        return (fixed if isinstance(fixed, str) else None,)
    return tuple(field.annotation.__args__)  # type: ignore[union-attr]


def _targetable(record: type[Attack]) -> bool:
    return record.model_fields["target"].annotation is not type(None)
