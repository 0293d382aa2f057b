"""Arithmetic with latents, as figure 7 of https://arxiv.org/abs/1511.06434: thick 7s less thin 7s plus thin 1s.

Three images stand for each term, as there; the attribute is ink, which every image has and nobody has to label. The
paper shows some; here every pair of classes is tried twenty times, beside a control whose three and three are any of
their class: what a sum does to the class is one thing, whether ink is carried over another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

from robustbench_lite.generators.metrics.jackknife import GROUPS, group_of, share_ends
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from robustbench_lite.generators.scores import Judge
    from robustbench_lite.generators.zoo import Generator

__all__ = ["EXEMPLARS", "Arithmetic", "arithmetic"]

EXEMPLARS = 3  # images that stand for a term
_POOL = 4000  # images among which they are found
_FIRST = (7, 1)  # the pair of classes that is shown first, where there is one


@dataclass(frozen=True)
class Arithmetic:
    """How often a sum is what it should be, and `shown` (k, 3 * 4 + 1, C, H, W): terms, each with its mean, and sums.

    `arithmetic`: the judge sees the other class, and more ink than in each of its three thin exemplars.
    """

    scores: dict[str, float]
    shown: torch.Tensor


@dataclass(frozen=True)
class _Sum:
    """Places in the pool, three of each: thick less thin ones of a class, plus thin ones of another."""

    group: int
    classes: tuple[int, int]
    terms: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    control: tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def arithmetic(generator: Generator, judge: Judge, seed: int, shown: int = 4) -> Arithmetic | None:
    """Over latents of a seed; sums of a group of images are independent of those of other groups. None: too few."""
    z, images = generator.latents(_POOL, seed), generator.sample(_POOL, seed)
    classes, ink = _seen(judge, images)
    sums = list(_sums(classes, ink))
    if len({one.group for one in sums}) < GROUPS:
        return None
    bounds = torch.stack([ink[one.terms[2]].max() for one in sums])
    wanted, groups = torch.tensor([one.classes[1] for one in sums]), torch.tensor([one.group for one in sums])
    tried = {"arithmetic": [one.terms for one in sums], "arithmetic_control": [one.control for one in sums]}
    scores = {"arithmetic_sums": float(len(sums))}
    for key, parts in tried.items():
        made, more = _seen(judge, _at(generator, torch.stack([_added(z, part) for part in parts])))
        right, inked = (made == wanted).double(), (more > bounds).double()
        for end, one in (("", right * inked), ("_class", right), ("_ink", inked)):
            scores |= _share(key + end, one, groups)
    return Arithmetic(scores, torch.stack([_row(generator, z, images, one) for one in _chosen(sums, shown)]))


def _seen(judge: Judge, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The judge's class (n,) and the ink (n,), the mean of pixels."""
    return judge.look(images).probabilities.argmax(1), judge.inner(images).mean((1, 2, 3))


def _sums(classes: torch.Tensor, ink: torch.Tensor) -> Iterator[_Sum]:
    """One for each group of images and each pair of classes of which it has enough."""
    known = sorted(set(classes.tolist()))
    thin, thick = torch.zeros_like(classes, dtype=torch.bool), torch.zeros_like(classes, dtype=torch.bool)
    for k in known:
        own = ink[classes == k]
        thin |= (classes == k) & (ink <= own.quantile(1 / 3))
        thick |= (classes == k) & (ink >= own.quantile(2 / 3))
    mark = group_of(len(classes))
    for group in range(GROUPS):
        some = [{k: torch.where(which & (classes == k) & (mark == group))[0] for k in known}
                for which in (thick, thin, torch.ones_like(thin))]  # fmt: skip
        for a, b in permutations(known, 2):
            terms = some[0][a][:EXEMPLARS], some[1][a][:EXEMPLARS], some[1][b][:EXEMPLARS]
            control = some[2][a][:EXEMPLARS], some[2][a][EXEMPLARS : 2 * EXEMPLARS], terms[2]
            if all(len(part) == EXEMPLARS for part in (*terms, *control)):
                yield _Sum(group, (a, b), terms, control)


def _added(z: torch.Tensor, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    more, less, plus = (z[part].mean(0) for part in parts)
    return more - less + plus


def _at(generator: Generator, latents: torch.Tensor) -> torch.Tensor:
    return torch.cat([generator.at(part) for part in torch.split(latents, 64)])


def _share(key: str, hits: torch.Tensor, groups: torch.Tensor) -> dict[str, float]:
    """A share of sums with its interval, over groups of images."""
    values = [float(hits.mean()), *(float(hits[groups != g].mean()) for g in range(GROUPS))]
    low, high = share_ends(values, len(hits))
    return {end: float(f"{one:.4g}") for end, one in ((key, values[0]), (f"{key}_low", low), (f"{key}_high", high))}


def _chosen(sums: Sequence[_Sum], n: int) -> list[_Sum]:
    """Those that are shown, of the first group: the pair of `_FIRST`, then every so many."""
    first = [one for one in sums if one.group == sums[0].group]
    begin = [one for one in first if one.classes == _FIRST][:1]
    rest = [one for one in first if one.classes != _FIRST]
    return [*begin, *rest[:: max(1, len(rest) // n)]][:n]


def _row(generator: Generator, z: torch.Tensor, images: torch.Tensor, one: _Sum) -> torch.Tensor:
    """Images (3 * 4 + 1, C, H, W): three exemplars and the image of their mean, for each term; then the sum."""
    means = _at(generator, torch.stack([*(z[part].mean(0) for part in one.terms), _added(z, one.terms)]))
    terms = [torch.cat([images[part], mean[None]]) for part, mean in zip(one.terms, means[:-1], strict=True)]
    return torch.cat([*terms, means[-1:]])
