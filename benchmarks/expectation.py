"""What the mean over ten draws of a random classifier costs, beside ten plain passes of the same batch.

`python benchmarks/expectation.py`: in batches, and one by one. Ratios of the best of three; one core.
"""

from __future__ import annotations

import time

import torch
from torch import nn

import robustbench_lite as rbl
from robustbench_lite.engine.expectation import Expectation

DRAWS = 10
NETS = {"lenet_mnist": (128, 1, 28, 28), "resnet20_fashion": (64, 1, 28, 28), "resnet20_cifar10": (64, 3, 32, 32)}
LAYERS = {
    "noise": lambda x: x + 0.05 * torch.randn_like(x),
    "dropout": lambda x: nn.functional.dropout2d(x, 0.1, training=True),
}


class Behind(nn.Module):
    """net(layer(x))."""

    def __init__(self, net, layer):
        super().__init__()
        self.net, self.layer = net, layer

    def forward(self, x):
        return self.net(self.layer(x))


def seconds(module, x, *, back):
    best = float("inf")
    for _ in range(3):
        start, leaf = time.perf_counter(), x.clone().requires_grad_(back)
        with torch.set_grad_enabled(back):
            total = module(leaf).sum()
        if back:
            torch.autograd.grad(total, leaf)
        best = min(best, time.perf_counter() - start)
    return best


def main():
    torch.set_num_threads(1)
    for name, shape in NETS.items():
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        for layer, how in LAYERS.items():
            net = Behind(rbl.models.load(name), how).eval()
            batched, alone = Expectation(net, DRAWS).eval(), Expectation(net, DRAWS).eval()
            assert not batched.try_batches(x[:2])
            for back in (False, True):
                plain = DRAWS * seconds(net, x, back=back)
                ratios = [seconds(mean, x, back=back) / plain for mean in (batched, alone)]
                passes = "forward, backward" if back else "forward"
                print(f"{name}, {layer}, {passes}: batched {ratios[0]:.2f}, one by one {ratios[1]:.1f}", flush=True)


if __name__ == "__main__":
    main()
