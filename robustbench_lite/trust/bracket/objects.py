"""The bracket of attacks on objects: so placed that what classifiers are shown is the texture itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import radians, tan

import numpy as np

from robustbench_lite.engine.attack import Attack
from robustbench_lite.lazy import torch
from robustbench_lite.physical.camera import OVER, Placement, to_corners
from robustbench_lite.physical.mesh import Mesh
from robustbench_lite.physical.scene import Pose, Scene
from robustbench_lite.physical.shots import Poses, Shots
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.rows import rows
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job
from robustbench_lite.trust.bracket.problems import Problem, build
from robustbench_lite.trust.bracket.recipes import PICTURES, Task

__all__ = ["on_stickers", "on_textures"]

_MANY = 4  # objects
_PASSES = 6000  # that may be spent on them, unless there is time for all


def on_textures(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:
    """The attack as it is configured, on a picture that fills the screen; it must succeed."""
    return _on_pictures(attack, batch_sizes, _on_the_wall, whole=whole)


def on_stickers(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:
    """The attack, on a photograph in which nothing but the object is seen; it must succeed."""
    return _on_pictures(attack, batch_sizes, _photographed, whole=whole)


def _on_pictures(
    attack: Attack, batch_sizes: Sequence[int], check: Callable[..., Iterator[Finding]], *, whole: bool
) -> Iterator[Finding]:
    attack = attack.tried(_MANY)
    problem = build(PICTURES, _task(attack))
    assert problem is not None
    reach = (problem.promised * attack.promise.factor <= attack.promise.reach) & (problem.promised > 0)
    hardest = problem.promised.masked_fill(~reach, 0).argsort(descending=True)
    for batch_size in batch_sizes:
        some = hardest[: _MANY if whole and batch_size == batch_sizes[-1] else _few(attack)]
        case = f"pictures, {problem.name}{', targeted' * problem.goal.targeted}, batch {batch_size}"
        yield from guarded(attack, case, partial(check, attack, problem, some, batch_size, case))


def _few(attack: Attack) -> int:
    """One object at least, three at most, as many as there is time for."""
    return max(1, min(3, int(_PASSES / attack.typical_passes)))


def _task(attack: Attack) -> Task:
    return Task(
        norm="linf",
        size=attack.promise.reach,
        factor=attack.promise.factor,
        boxed=True,
        straight=False,
        rivals=None,
        targeted=attack.target is not None,
        several=False,
        wrong=False,
        colour=True,
    )


def _on_the_wall(attack: Attack, problem: Problem, at: torch.Tensor, batch_size: int, case: str) -> Iterator[Finding]:
    x, goal = problem.x[at], rows(problem.goal, at)
    work = job(attack, x, goal, setting=_wall(x.shape[-1]))
    verdicts, _ = attempt(attack, problem.module, work, batch_size)
    yield _finding(attack, case, verdicts.success, verdicts.sizes["linf"], problem.exact[at])


def _photographed(attack: Attack, problem: Problem, at: torch.Tensor, batch_size: int, case: str) -> Iterator[Finding]:
    """A sticker for each."""
    success, size = torch.zeros(len(at), dtype=torch.bool), torch.zeros(len(at), dtype=torch.float64)
    for place, i in enumerate(at[:, None]):
        goal: Goal = rows(problem.goal, i)
        work = job(attack, problem.x[i], goal, setting=_picture(problem.x[i]))
        verdicts, _ = attempt(attack, problem.module, work, batch_size)
        success[place], size[place] = bool(verdicts.success), float(verdicts.sizes["linf"])
    yield _finding(attack, case, success, size, problem.exact[at])


def _finding(attack: Attack, case: str, success: torch.Tensor, size: torch.Tensor, exact: torch.Tensor) -> Finding:
    won, below = int(success.sum()), int((success & (size < 0.98 * exact)).sum())
    found = f"{won}/{len(success)} succeed, {below} impossible"
    return Finding(attack.registered, case, "all", found, won == len(success) and not below)


class _Wall(Scene):
    def pose(self, draw: Draw, step: int) -> Pose:  # noqa: ARG002
        return Pose(distance=self.distance[0])


def _wall(side: int) -> Scene:
    """A square whose corners are the centres of the screen's corner pixels: every view is the picture itself."""
    half = tan(radians(Scene.field / 2)) * (side - 1) / side
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * half
    faces, normals = np.array([[0, 1, 2], [0, 2, 3]]), np.tile([0.0, 0.0, 1.0], (4, 1))
    return _Wall(Mesh(corners, faces, (np.sign(corners[:, :2]) + 1) / 2, normals), (side, side), (1.0, 1.0))


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
