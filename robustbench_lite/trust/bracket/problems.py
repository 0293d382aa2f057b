"""The classifiers of the bracket: linear in the image, and made so that the exact radii lie where an attack is tested.

Images are given: corners of the box, real digits, grey. The classifier is fitted through them: of many linear ones
that which puts the nearest boundary of every image at the distance that is wanted, so that half of the radii lie just
below the budget of the attack, half just above, and the box binds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from robustbench_lite.datasets.base import images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.lazy import torch
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm
from robustbench_lite.trust.bracket.exact import Slope
from robustbench_lite.trust.bracket.linear import Linear, Radii, distances, fitted
from robustbench_lite.trust.bracket.recipes import PICTURES, RECIPES, N, Recipe, Task

__all__ = ["Problem", "build"]

_ROUNDING = {"float64": 2.0**-24, "float32": 2.0**-24, "float16": 2.0**-12, "bfloat16": 2.0**-9}  # of an image


@dataclass(frozen=True)
class Problem:
    """Images x (N, C, H, W), what is wanted of them, and the exact radii (N,): `exact` nobody can do without.

    An attack must do with `promised`; inf: it need not find the nearest. `blur`: the size that rounding of the image
    may add to either, or hide.
    """

    name: str
    module: Linear
    x: torch.Tensor
    goal: Goal
    exact: torch.Tensor
    promised: torch.Tensor
    blur: float


@lru_cache(maxsize=64)
def build(recipe: Recipe, task: Task) -> Problem | None:
    """The problem for the task; None where the recipe's arithmetic is too coarse for it."""
    generator = torch.Generator().manual_seed((*RECIPES, PICTURES).index(recipe))
    own, rival = _classes(recipe, task, generator)
    base = _gradients(recipe, task, generator)
    x = _images(recipe, task, base, own, rival, generator)
    size = task.size or _usual(task.norm, x[0].numel())
    blur = _blur(recipe.dtype, task.norm, size, x[0].numel())
    if blur > 0.3 * size and recipe.dtype in {"float16", "bfloat16"}:
        return None
    module = fitted(recipe, task, base, x.flatten(1).double(), own, rival, Radii.wanted(size, task.factor, blur))
    label = rival.clone() if task.targeted else own.clone()
    if task.targeted:
        label[-1] = own[-1]  # the target is predicted already
    elif task.wrong:
        label[-2:] = rival[-2:]  # misclassified to begin with
    goal = Goal(label, recipe.classes, task.targeted)
    exact, promised = (distances(module, x, goal, task, promised=which) for which in (False, True))
    if task.rivals is not None:
        promised = promised.masked_fill(promised > exact * (1 + 1e-9), float("inf"))  # the nearest is not looked at
    return Problem(str(recipe), module, x, goal, exact, promised, blur)


def _classes(recipe: Recipe, task: Task, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What every image is taken for (N,), and the class whose boundary is nearest; the last class among both.

    Where gradients differ and one boundary matters alone it is that of the shortest: the likeliest is the nearest. Of
    several it is that of a longer one than the own, where there is any: the nearest is far from the likeliest.
    """
    matter = [k for k in range(recipe.classes) if not (recipe.off and k == recipe.classes // 2)]
    own = torch.tensor(matter).flip(0).repeat(N)[:N]
    if recipe.images == "digits":
        own = _digits(recipe.classes)[1]
    others = torch.tensor([[k for k in matter if k != int(a)] for a in own])
    at = torch.randint(others.shape[1], (N,), generator=generator)
    if recipe.spread > 1:
        longer = (own + at % (recipe.classes - own).clamp_min(1)).clamp_max(others.shape[1] - 1)
        at = longer if task.several else torch.zeros_like(at)
    return own, others.gather(1, at[:, None])[:, 0]


def _shape(recipe: Recipe, task: Task) -> tuple[int, int, int]:
    """C, H, W: large enough for a budget that is meant for larger images than ours."""
    need = {"linf": 0.0, "l2": 14 * (task.size or 0) ** 2, "l1": 50 * (task.size or 0), "l0": 0.0}[task.norm]
    if recipe.images == "digits":
        side = 28 * min(6, math.ceil(math.sqrt(max(1.0, need / 784))))
        return 3 if task.colour else 1, side, side
    side = min(160, max(8, math.ceil(math.sqrt(need / 3))))
    return 3, side, side


def _gradients(recipe: Recipe, task: Task, generator: torch.Generator) -> torch.Tensor:
    """Gradients of the logits (K, D) to begin with: random ones, on digits with the classes' mean images in them."""
    shape = _shape(recipe, task)
    base = torch.randn((recipe.classes, *shape), generator=generator).double()
    if recipe.images == "digits":
        base = 0.3 * base + _tiled(_digits(recipe.classes)[2], shape).double()
    base = base.flatten(1)
    if recipe.classes == 2:
        base = torch.stack([base[0] - base[1], base[1] - base[0]]) / 2
    return base * recipe.spread ** torch.linspace(0, 1, recipe.classes).double()[:, None]


def _images(
    recipe: Recipe,
    task: Task,
    base: torch.Tensor,
    own: torch.Tensor,
    rival: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """(N, C, H, W), as far on their own side of the boundary as the size of perturbations asks for."""
    shape = _shape(recipe, task)
    if recipe.images == "digits":
        return _tiled(_digits(recipe.classes)[0], shape)
    away = base[own] - (base.mean(0) if task.several else base[rival])
    u = torch.rand((N, away.shape[1]), generator=generator).double()
    size = torch.full((N,), task.size or _usual(task.norm, away.shape[1])).double()
    corners = recipe.images == "corners"
    x = u.round() if corners else 0.5 + 0.5 * (u - 0.5)
    share = Slope(x, -away, task.norm, task.boxed).gain(size) / away.abs().sum(1)
    lean = (share / (1 - 2 * share).clamp_min(0.1) if corners else share).clamp_max(0.4)[:, None] * away.sign()
    return ((u + lean).round() if corners else x + lean).clamp(0, 1).float().view(-1, *shape)


@lru_cache(maxsize=2)
def _digits(classes: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bundled digits (N, 1, 28, 28) of the first `classes` classes, their classes (N,), the mean image of each."""
    samples = Bundled(bundled="mnist").load(Path())
    x, label = images(samples), torch.from_numpy(samples.labels)
    means = torch.stack([x[label == k].mean(0) for k in range(classes)])
    turn = torch.stack([(label == k).nonzero()[: N // 2, 0] for k in range(classes)], 1)  # the i-th of each class
    index = turn.flip(1).flatten()[:N]
    return x[index], label[index], means


def _tiled(images: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Grey images (n, 1, h, w), repeated to (n, *shape)."""
    return images.repeat(1, shape[0], shape[1] // images.shape[2], shape[2] // images.shape[3])


def _usual(norm: Norm, numbers: int) -> float:
    """A size for attacks that have no budget: a few per cent of the box."""
    sizes: dict[Norm, float] = {
        "linf": 0.05,
        "l2": 0.05 * math.sqrt(numbers),
        "l1": 0.02 * numbers,
        "l0": 0.05 * numbers,
    }
    return sizes[norm]


def _blur(dtype: str, norm: Norm, size: float, numbers: int) -> float:
    """The size of what rounding may do to every number that a perturbation changes.

    l1, coarse: half a level counts as a whole one, so that many such changes are worth twice as much.
    """
    step = 2 * _ROUNDING[dtype]
    many = min(numbers, size / step) if dtype in {"float16", "bfloat16"} else 2 * size
    unit: dict[Norm, float] = {"linf": 1.0, "l2": math.sqrt(numbers), "l1": many, "l0": 0.0}
    return step * unit[norm]
