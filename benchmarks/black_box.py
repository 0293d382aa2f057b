"""Square and HopSkipJump beside the official one and foolbox's, on LeNet digits, with as many queries of each image.

`python benchmarks/black_box.py square 100 1000` or `hop_skip_jump 40 2000`: samples, queries. Needs `autoattack` or
`foolbox`.
"""

from __future__ import annotations

import sys
import time

import torch

import robustbench_lite as rbl
from robustbench_lite.attacks import HopSkipJump, Square
from robustbench_lite.threat.norms import size

BUDGETS = {"linf": 0.15, "l2": 2.0, "l1": 15.0}


class Spent(Exception):  # noqa: N818  (no error: the peer has asked as often as it may)
    pass


class Watched(torch.nn.Module):
    """Counts queries, and remembers how near an adversarial image each row has seen; stops when they are spent."""

    def __init__(self, net, x, label, norm, most):
        super().__init__()
        self.net, self.x, self.label, self.norm, self.left = net, x, label, norm, most
        self.queries, self.nearest = 0, torch.full((len(x),), float("inf"))

    def forward(self, images):
        logits = self.net(images)
        self.queries += len(images)
        if len(images) == len(self.x):
            near = torch.where(logits.argmax(1) != self.label, size(images - self.x, self.norm), float("inf"))
            self.nearest = self.nearest.minimum(near)
            self.left -= 1
            if self.left == 0:
                raise Spent
        return logits


def square(net, x, label, queries):
    from autoattack.square import SquareAttack

    for norm, epsilon in BUDGETS.items():
        start = time.perf_counter()
        ours = Square(norm=norm, epsilon=epsilon, n_queries=queries)(net, x, label)
        seconds = time.perf_counter() - start
        watched = Watched(net, x, label, norm, -1)
        options = {"n_queries": queries, "p_init": 0.8, "resc_schedule": True, "seed": 0, "device": "cpu"}
        start = time.perf_counter()
        with torch.no_grad():
            theirs = SquareAttack(watched, norm=norm.replace("l", "L"), eps=epsilon, **options).perturb(x, label)
            left = int((net(theirs).argmax(1) == label).sum())
        asked = int(ours.forwards.sum())
        print(f"{norm} {epsilon}: {int(ours.robust.sum())} left after {asked} queries, {seconds:.0f} s;")
        print(f"  official: {left} left after {watched.queries}, {time.perf_counter() - start:.0f} s", flush=True)


def hop_skip_jump(net, x, label, queries):
    import foolbox

    for norm in ("l2", "linf"):
        start = time.perf_counter()
        ours = HopSkipJump(norm=norm, n_queries=queries)(net, x, label, batch_size=128)
        seconds = time.perf_counter() - start
        watched = Watched(net, x, label, norm, queries).eval()
        start = time.perf_counter()
        try:
            box = foolbox.PyTorchModel(watched, bounds=(0, 1), device="cpu")
            foolbox.attacks.HopSkipJumpAttack(steps=10**6, constraint=norm)(box, x, label, epsilons=None)
        except Spent:
            pass
        for name, sizes, took in (
            ("ours", ours.size(norm), seconds),
            ("foolbox", watched.nearest.double(), time.perf_counter() - start),
        ):
            print(f"{norm}, {name}: median {sizes.median():.4f}, mean {sizes.mean():.4f}, ", end="")
            print(f"largest {sizes.max():.3f}, {took:.0f} s", flush=True)


if __name__ == "__main__":
    which, samples, asked = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    digits, labels = rbl.datasets.load("mnist", samples=samples)
    {"square": square, "hop_skip_jump": hop_skip_jump}[which](rbl.models.load("lenet_mnist"), digits, labels, asked)
