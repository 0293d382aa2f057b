"""A classifier of your own: any function without arguments that returns an nn.Module which maps images to logits.

`python digits.py` trained it: on 500 of the bundled digits, those that `suite.yaml` does not attack.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("digits.pt")


def network() -> nn.Module:
    """Logits (N, 10) from grey images (N, 1, 28, 28) in [0, 1]; 5,386 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(400, 10),
    )


def classifier() -> nn.Module:
    """What suite.yaml names: the network with its weights."""
    net = network()
    net.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    return net


def train(steps: int = 1500) -> None:
    """Noise on the images makes it a little robust."""
    from robustbench_lite.datasets.bundled import Bundled

    torch.manual_seed(0)
    samples = Bundled(bundled="mnist").load(Path())
    x = torch.from_numpy(samples.images[500:]).float() / 255
    y = torch.from_numpy(samples.labels[500:])
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), weight_decay=1e-4)
    for _ in range(steps):
        index = torch.randint(len(x), (64,))
        noisy = (x[index] + 0.3 * torch.randn(64, 1, 28, 28)).clamp(0, 1)
        loss = nn.functional.cross_entropy(net(noisy), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(net.state_dict(), WEIGHTS)


if __name__ == "__main__":
    train()
