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
from typing import Literal

from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.lazy import torch
from robustbench_lite.threat.norms import Goal, Norm, dual_size
from robustbench_lite.trust.bracket.exact import Slope

__all__ = ["PICTURES", "RECIPES", "Linear", "N", "Problem", "Recipe", "Task", "build", "distances"]

N = 24  # images of a problem
_ROUNDS = 12  # in which the classifier is fitted: how far an image may grow depends on the classifier
# how far the nearest boundaries are: as a share of what the attack promises to reach, and of what nobody can
_WITHIN = (0.02, 0.2, 0.4, 0.55, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.99)
_BEYOND = (1.03, 1.05, 1.08, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8)
_NATS = 4.0  # the smallest logit gap where there are many classes
_ROUNDING = {"float64": 2.0**-24, "float32": 2.0**-24, "float16": 2.0**-12, "bfloat16": 2.0**-9}  # of an image


@dataclass(frozen=True)
class Recipe:
    """A kind of problem. `gap`: the median logit gap; `spread`: how much longer some gradients are than others."""

    images: Literal["grey", "corners", "digits"]
    classes: int
    gap: float
    spread: float = 1.0
    off: bool = False  # one class is switched off at -1e9
    dtype: str = "float32"
    plain: bool = False  # for attacks that take their time: the few that say most

    def __str__(self) -> str:
        count = "two centred classes" if self.classes == 2 else f"{self.classes} classes"
        logits = {1e-3: "tiny logits", 1e3: "saturated"}.get(self.gap, "")
        parts = (self.images, count, logits, "one off" * self.off, f"gradients x{self.spread:g}" * (self.spread > 1))
        return ", ".join([part for part in parts if part] + [self.dtype] * (self.dtype != "float32"))


RECIPES = (
    Recipe("grey", 2, 1e-3),
    Recipe("corners", 2, 3.0, plain=True),
    Recipe("digits", 2, 1e3),
    Recipe("corners", 10, 100.0, off=True),
    Recipe("digits", 10, 100.0, spread=100.0, plain=True),
    Recipe("corners", 10, 100.0, dtype="float64"),
    Recipe("corners", 2, 3.0, dtype="float16"),
    Recipe("corners", 2, 3.0, dtype="bfloat16"),
)
PICTURES = Recipe("corners", 10, 10.0)  # textures of objects


@dataclass(frozen=True)
class Task:
    """What an attack wants to be tried on: a change of `size` in the norm must be enough, up to `factor`.

    `several`: many boundaries are about as near, else only one matters. `wrong`: some images are misclassified.
    """

    norm: Norm
    size: float | None  # null: of no particular size
    factor: float
    boxed: bool
    straight: bool
    rivals: int | None
    targeted: bool
    several: bool
    wrong: bool
    colour: bool


@dataclass(frozen=True)
class Linear:
    """Logits (n, K) of images (n, C, H, W), computed in the weights' own dtype: W x + b."""

    weight: torch.Tensor  # (K, D)
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1).to(self.weight.dtype)
        return torch.nn.functional.linear(flat, self.weight, self.bias)

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        """The same without rounding."""
        return x.flatten(1).double() @ self.weight.double().T + self.bias.double()


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
    module = _fitted(recipe, task, base, x.flatten(1).double(), own, rival, Radii.wanted(size, task.factor, blur))
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
    need = {"linf": 0.0, "l2": 14 * (task.size or 0) ** 2, "l1": 10 * (task.size or 0)}[task.norm]
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
    x, label = torch.from_numpy(samples.images).float() / 255, torch.from_numpy(samples.labels)
    means = torch.stack([x[label == k].mean(0) for k in range(classes)])
    turn = torch.stack([(label == k).nonzero()[: N // 2, 0] for k in range(classes)], 1)  # the i-th of each class
    index = turn.flip(1).flatten()[:N]
    return x[index], label[index], means


def _tiled(images: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Grey images (n, 1, h, w), repeated to (n, *shape)."""
    return images.repeat(1, shape[0], shape[1] // images.shape[2], shape[2] // images.shape[3])


def _usual(norm: Norm, numbers: int) -> float:
    """A size for attacks that have no budget: a few per cent of the box."""
    sizes: dict[Norm, float] = {"linf": 0.05, "l2": 0.05 * math.sqrt(numbers), "l1": 0.02 * numbers}
    return sizes[norm]


def _blur(dtype: str, norm: Norm, size: float, numbers: int) -> float:
    """The size of what rounding may do to every number that a perturbation changes."""
    unit: dict[Norm, float] = {"linf": 1.0, "l2": math.sqrt(numbers), "l1": 2 * size}
    return 2 * _ROUNDING[dtype] * unit[norm]


@dataclass(frozen=True)
class Radii:
    """Where the nearest boundaries are to lie (N,), and which of them within what an attack promises."""

    at: torch.Tensor
    within: torch.Tensor

    @classmethod
    def wanted(cls, size: float, factor: float, blur: float) -> Radii:
        """Half of them within and half beyond, in no order that has to do with classes."""
        within = torch.tensor(_WITHIN).double() * (size - blur) / (factor if math.isfinite(factor) else 2.0)
        both = torch.cat([within, torch.tensor(_BEYOND).double() * (size + blur)])
        order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
        return cls(both[order], order < len(within))


def _fitted(
    recipe: Recipe,
    task: Task,
    base: torch.Tensor,
    x: torch.Tensor,
    own: torch.Tensor,
    rival: torch.Tensor,
    radii: Radii,
) -> Linear:
    """The classifier nearest to `base` (K, D) whose boundaries lie at the radii (N,), about."""
    lengths = recipe.spread ** torch.linspace(0, 1, recipe.classes).double()
    plus = torch.cat([x, torch.ones(N, 1, dtype=torch.float64)], 1)
    through = torch.linalg.solve(plus @ plus.T + 1e-9 * torch.eye(N), plus)  # (N, D + 1): the least change
    both = torch.cat([base, torch.zeros(recipe.classes, 1)], 1)
    for _ in range(_ROUNDS):
        gaps = _gaps(both[:, :-1], x, own, rival, radii, task)
        wanted = -gaps - (-gaps / lengths**2).sum(1, keepdim=True) / (1 / lengths**2).sum()
        both = both + (wanted - plus @ both.T).T @ through
    nearest = gaps.gather(1, rival[:, None])
    scale = recipe.gap / nearest.median()
    if recipe.classes > 2:  # else a loss with a softmax in it leads away from all at once, not to the nearest
        scale = scale.maximum(_NATS / nearest.min())
    both = both * scale
    if recipe.off:
        both[recipe.classes // 2, -1] -= 1e9
    dtype: torch.dtype = getattr(torch, recipe.dtype)
    return Linear(both[:, :-1].to(dtype), both[:, -1].to(dtype))


def _gaps(
    w: torch.Tensor,
    x: torch.Tensor,
    own: torch.Tensor,
    rival: torch.Tensor,
    radii: Radii,
    task: Task,
) -> torch.Tensor:
    """The logit gaps (N, K) below the own class that put the rival's boundary at its radius, others beyond."""
    n, classes, radius = len(x), len(w), radii.at

    def slope(k: torch.Tensor, *, straight: bool = False) -> Slope:
        return Slope(x, w[k] - w[own], task.norm, task.boxed, straight)

    if task.several:
        generator = torch.Generator().manual_seed(1)
        times = 1.05 + torch.rand((n, classes), generator=generator).double()
        length = torch.linalg.vector_norm(w, dim=1)
        times = times.masked_fill(length[None] < length[own][:, None] / 1.2, 1.5)  # or the short ones would grow long
        away = radius[:, None] * times + 0.3 * radius.median()  # only one is near to a very near one
        away.scatter_(1, rival[:, None], radius[:, None])
        every = [slope(torch.full_like(own, k)).gain(away[:, k]) for k in range(classes)]
        return torch.stack(every, 1).scatter(1, own[:, None], 0.0)
    gap = slope(rival).gain(radius)
    if task.straight:
        gap = torch.where(radii.within, slope(rival, straight=True).gain(radius), gap)
    length = _lengths(w, own, task.norm)
    far = (1.3 * gap + 0.3 * gap.median())[:, None] * (length / length.gather(1, rival[:, None])).clamp_min(1)
    return far.scatter(1, rival[:, None], gap[:, None]).scatter(1, own[:, None], 0.0)


def distances(module: Linear, x: torch.Tensor, goal: Goal, task: Task, *, promised: bool) -> torch.Tensor:
    """The exact radii (N,): to the nearest boundary, or that to the target; promised: as far as the attack looks."""
    z, label = module.exact(x), goal.label[:, None]
    gap = (z - z.gather(1, label)) if goal.targeted else (z.gather(1, label) - z)
    looked_at = torch.ones_like(gap, dtype=torch.bool).scatter(1, label, value=False)
    if promised and task.rivals is not None and not goal.targeted:
        others = z.masked_fill(~looked_at, float("-inf"))
        likely = others.topk(min(task.rivals, z.shape[1] - 1), dim=1).indices
        looked_at = torch.zeros_like(looked_at).scatter(1, likely, value=True)
    flat, w = x.flatten(1).double(), module.weight.double()
    sign = -1 if goal.targeted else 1

    def radius(row: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """To where class k (m,) and the label's are equal, of the images in these rows (m,)."""
        toward = sign * (w[k] - w[goal.label[row]])
        return Slope(flat[row], toward, task.norm, task.boxed, promised and task.straight).radius(gap[row, k])

    bound = gap.clamp_min(0) / _lengths(w, goal.label, task.norm).clamp_min(1e-300)  # without a box; never farther
    if goal.targeted:  # every other class must fall behind
        row, k = ((bound > 0) & looked_at).nonzero(as_tuple=True)
        return torch.zeros_like(gap).index_put((row, k), radius(row, k)).amax(1)
    bound = bound.masked_fill(~looked_at, float("inf"))
    nearest = radius(torch.arange(len(x)), bound.argmin(1))
    row, k = (bound < nearest[:, None]).nonzero(as_tuple=True)  # only these can be nearer still
    return nearest.scatter_reduce(0, row, radius(row, k), "amin") if len(row) else nearest


def _lengths(w: torch.Tensor, own: torch.Tensor, norm: Norm) -> torch.Tensor:
    """How steeply (N, K) each logit with gradients w (K, D) grows relative to the own class (N,)."""
    return torch.stack([dual_size(w[torch.full_like(own, k)] - w[own], norm) for k in range(len(w))], 1)
