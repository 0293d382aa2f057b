"""Published robust classifiers: what is left of them lies between what is proven and what others' attacks leave.

Wong and Kolter, Provable defenses via the convex outer adversarial polytope, ICML 2018, table 1; linf 0.1.
"""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import nn

from robustbench_lite.datasets import load
from robustbench_lite.datasets.idx import read_idx
from robustbench_lite.engine.attack import attacks
from robustbench_lite.results.statistics import clopper_pearson
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from tests.helpers import attack

EPSILON = 0.1
LIST = (("apgd", {}), ("pgd", {"loss": "margin", "targets": 3, "steps": 50, "step_size": 2 * EPSILON, "smoothing": 8}))


def published(shared, name: str) -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    net.load_state_dict(load_file(shared / "weights" / f"{name}.safetensors"))
    return net.eval().requires_grad_(requires_grad=False)


def robust(net: nn.Module, x: torch.Tensor, label: torch.Tensor, *records) -> int:
    """How many are right before and after all of the attacks."""
    kept = net(x).argmax(1) == label
    for record in records:
        at = kept.nonzero()[:, 0]
        candidates = attack(record, net, x[at], 128, Goal(label[at], 10)).candidates
        assert (size(candidates - x[at], "linf") <= EPSILON * (1 + 1e-5)).all()
        kept[at] = net(candidates).argmax(1) == label[at]
    return int(kept.sum())


def test_no_more_is_left_of_the_digits_than_by_the_official_autoattack(shared):
    """It leaves 95.60 % of the first 500 test digits (our measurement)."""
    folder = shared / "data" / "MNIST" / "raw"
    x, label = (read_idx(folder / f"t10k-{what}-ubyte.gz")[:500] for what in ("images-idx3", "labels-idx1"))
    x, label = torch.tensor(x)[:, None].float() / 255, torch.tensor(label).long()
    net = published(shared, "kw_mnist_01")
    assert (net(x).argmax(1) == label).sum() == 491
    left = robust(net, x, label, *(attacks.build(name, {"epsilon": EPSILON, **more}) for name, more in LIST))
    assert left <= 478 and clopper_pearson(left, 500, confidence=0.99)[1] >= 0.9418  # proven of the whole test set


def test_what_is_left_of_the_clothes_lies_between_proof_and_pgd(shared):
    """At least 65.47 % are proven, PGD leaves 68.37 %, of the whole test set; these are 1,000 of it."""
    x, label = load("fashion_mnist")
    net = published(shared, "kw_fashion_01")
    left = robust(net, x, label, attacks.build("apgd", {"epsilon": EPSILON}))
    low, high = clopper_pearson(left, len(x))
    assert low <= 0.684 and high >= 0.6547
