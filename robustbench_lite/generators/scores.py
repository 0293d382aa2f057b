"""Every score of a generator of images at once, beside what other real images get."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from robustbench_lite.generators.metrics.classified import Looked, classifier_score, frechet, look, unevenness
from robustbench_lite.generators.metrics.manifolds import precision_recall
from robustbench_lite.generators.metrics.neighbours import copying, nearest
from robustbench_lite.generators.metrics.parzen import parzen
from robustbench_lite.generators.metrics.patches import swd
from robustbench_lite.generators.metrics.similarity import alikeness
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


def scores_of(images: torch.Tensor, judge: Judge) -> dict[str, float]:
    """Of generated images (n, C, H, W) in [0, 1], by name; at most half as many as test images.

    `_real` is what as many test images get in their place, compared with as many others.
    """
    n = len(images)
    if 2 * n > len(judge.test):
        raise ValueError(f"scores: expected at most {len(judge.test) // 2} images, half of the test images, got {n}")
    real, others = judge.test[:n], judge.test[n : 2 * n]
    ours = _compared(images, real, judge) | _alone(images, judge)
    theirs = _compared(others, real, judge)
    found = parzen(judge.inner(images), judge.inner(others), judge.inner(real))  # the others say which bandwidth
    scores = ours | {f"{key}_real": value for key, value in theirs.items()}
    scores |= {"parzen": found.mean, "parzen_standard_error": found.standard_error, "parzen_sigma": found.sigma}
    return {"images": float(n)} | {key: float(f"{value:.4g}") for key, value in sorted(scores.items())}


def _compared(images: torch.Tensor, real: torch.Tensor, judge: Judge) -> dict[str, float]:
    """What test images get as well."""
    seen, known = judge.look(images), judge.look(real)
    among = precision_recall(known.features, seen.features)
    distances = swd(real, images, per_image=16, directions=128)  # of the paper's 128 and 512
    return {
        "classifier_score": classifier_score(seen.probabilities),
        "frechet": frechet(known.features, seen.features),
        "unevenness": unevenness(seen.probabilities),
        "precision": among.precision,
        "recall": among.recall,
        "ms_ssim": alikeness(images, 2000),
        **{f"swd_{side}": value for side, value in distances.items()},
    }


def _alone(images: torch.Tensor, judge: Judge) -> dict[str, float]:
    if judge.train is None:
        return {}
    found = copying(judge.inner(images), judge.inner(judge.train), judge.apart)
    alike = copying(judge.look(images).features, judge.learnt, judge.apart_features)
    return {
        "copies": found.copies,
        "nearer": found.nearer,
        "copies_features": alike.copies,
        "nearer_features": alike.nearer,
    }
