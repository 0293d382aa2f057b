"""How many images a defended classifier still gets right under attack: what its card says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from robustbench_lite.datasets.base import Samples, images
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.evaluate import evaluate
from robustbench_lite.lazy import torch
from robustbench_lite.models.adversary import Ball
from robustbench_lite.models.base import Classifier, Withstood

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JUDGES", "judged", "withstood"]

JUDGES: dict[str, dict[str, Any]] = {"pgd": {"steps": 50, "restarts": 5}, "autoattack": {}}
AT_MOST = {"pgd": 500, "autoattack": 100}  # images: the first ones


def judged(classifier: Classifier, samples: Samples, ball: Ball) -> Iterator[Withstood]:
    """A row for each attack of JUDGES in the ball that the classifier was trained against."""
    for name in JUDGES:
        threat = Withstood(dataset=samples.dataset, norm=ball.norm, epsilon=ball.epsilon, attack=name, correct=0, n=0)
        right = withstood(classifier, samples, threat, AT_MOST[name])
        yield threat.model_copy(update={"correct": int(right.sum()), "n": len(right)})


def withstood(classifier: Classifier, samples: Samples, threat: Withstood, at_most: int) -> np.ndarray:
    """Which of the first `at_most` samples are right before the attack of `threat` and after it (n,)."""
    ball = {"norm": threat.norm, "epsilon": threat.epsilon}
    attack = attacks.build(threat.attack, ball | JUDGES[threat.attack])
    x, y = images(samples)[:at_most], torch.from_numpy(samples.labels)[:at_most]
    return evaluate(attack, classifier.module, x, y, inspect=False).robust.numpy()
