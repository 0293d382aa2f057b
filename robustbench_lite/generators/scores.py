"""Every score of a generator of images at once, beside what other real images get."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from robustbench_lite.generators.metrics.classified import Looked, classifier_score, frechet, look, unevenness
from robustbench_lite.generators.metrics.jackknife import ends, jackknifed, share_ends
from robustbench_lite.generators.metrics.manifolds import within
from robustbench_lite.generators.metrics.neighbours import copying, nearest
from robustbench_lite.generators.metrics.parzen import parzen
from robustbench_lite.generators.metrics.patches import swd_without
from robustbench_lite.generators.metrics.similarity import alike_without
from robustbench_lite.lazy import torch
from robustbench_lite.models import load

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Judge", "scores_of"]


@dataclass(frozen=True)
class Judge:
    """A classifier of the zoo, real images that nobody trained on, and those that the generator learnt from."""

    classifier: str
    test: torch.Tensor  # (N, C, H, W) float32 in [0, 1], canvas included
    train: torch.Tensor | None  # null: nobody looks for copies
    pad: int = 0  # pixels of canvas, which the classifier does not see
    _usual: dict[int, dict[str, float]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def look(self, images: torch.Tensor) -> Looked:
        """What the classifier makes of images."""
        net: nn.Module = load(self.classifier)
        return look(net, self.inner(images))

    def inner(self, images: torch.Tensor) -> torch.Tensor:
        """Images without their canvas."""
        inner = slice(self.pad, -self.pad or None)
        return images[:, :, inner, inner].contiguous()

    @cached_property
    def apart(self) -> torch.Tensor:
        """How far (N,) each test image is from the nearest training image: what a generator has to do with."""
        assert self.train is not None
        return nearest(self.inner(self.test), self.inner(self.train))[0]

    @cached_property
    def learnt(self) -> torch.Tensor:
        """The classifier's features (N, d) of the training images."""
        assert self.train is not None
        return self.look(self.train).features

    @cached_property
    def apart_features(self) -> torch.Tensor:
        """As `apart`, in the classifier's features: there a copy that was moved or brightened is still near."""
        return nearest(self.look(self.test).features, self.learnt)[0]

    def usual(self, n: int) -> dict[str, float]:
        """What n test images get in the place of generated ones: looked at once for all generators."""
        if n not in self._usual:
            self._usual[n] = _compared(self.test[n : 2 * n], self.test[:n], self)
        return self._usual[n]


def scores_of(images: torch.Tensor, judge: Judge) -> dict[str, float]:
    """Of generated images (n, C, H, W) in [0, 1], by name; at most half as many as test images.

    `_real` is what as many test images get in their place, compared with as many others; `_low` and `_high` end a 95 %
    interval, where there are images enough for one.
    """
    n = len(images)
    if 2 * n > len(judge.test):
        raise ValueError(f"scores: expected at most {len(judge.test) // 2} images, half of the test images, got {n}")
    real, others = judge.test[:n], judge.test[n : 2 * n]
    ours = _compared(images, real, judge) | _alone(images, judge)
    found = parzen(judge.inner(images), judge.inner(others), judge.inner(real))  # the others say which bandwidth
    scores = ours | {_of_real(key): value for key, value in judge.usual(n).items()}
    scores |= {"parzen": found.mean, "parzen_standard_error": found.standard_error, "parzen_sigma": found.sigma}
    return {"images": float(n)} | {key: float(f"{value:.4g}") for key, value in sorted(scores.items())}


def _of_real(key: str) -> str:
    """frechet_real of frechet, frechet_real_low of frechet_low."""
    end = next((end for end in ("_low", "_high") if key.endswith(end)), "")
    return f"{key.removesuffix(end)}_real{end}"


def _compared(images: torch.Tensor, real: torch.Tensor, judge: Judge) -> dict[str, float]:
    """What test images get as well, with intervals over both kinds of images."""
    seen, known, n = judge.look(images), judge.look(real), len(images)
    distances = swd_without(real, images, per_image=16, directions=128)  # of the paper's 128 and 512
    over = {f"swd_{side}": values for side, values in distances.items()}
    over["swd"] = [sum(values) / len(values) for values in zip(*distances.values(), strict=True)]
    over |= {"frechet": jackknifed(frechet, known.features, seen.features), "ms_ssim": alike_without(images, 2000)}
    over["unevenness"] = jackknifed(unevenness, seen.probabilities)
    score = jackknifed(classifier_score, seen.probabilities)
    precision, recall = within(seen.features, known.features), within(known.features, seen.features)
    told = [_told(key, values[0], ends(values)) for key, values in over.items()]
    told += [_told("classifier_score", score[0], ends(score, 1.0))]
    told += [_told(key, one[0], share_ends(one, n)) for key, one in (("precision", precision), ("recall", recall))]
    return {key: value for one in told for key, value in one.items()}


def _told(key: str, value: float, interval: tuple[float, float]) -> dict[str, float]:
    """A score and its interval, where it has one."""
    told = {f"{key}{end}": one for end, one in zip(("_low", "_high"), interval, strict=True) if not math.isnan(one)}
    return {key: value} | told


def _alone(images: torch.Tensor, judge: Judge) -> dict[str, float]:
    if judge.train is None:
        return {}
    found = copying(judge.inner(images), judge.inner(judge.train), judge.apart)
    alike = copying(judge.look(images).features, judge.learnt, judge.apart_features)
    told: dict[str, float] = {}
    for end, one in (("", found), ("_features", alike)):
        told |= {f"copies{end}": one.copies} | _told(f"nearer{end}", one.nearer, (one.low, one.high))
    return told
