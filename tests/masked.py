"""Classifiers that hide what an attack needs, around any honest one: `MASKED[name](net)`; and some that only look so.

Each decides about as the net inside does, so that images made for the net break it: it is no more robust than the net.
"""

from __future__ import annotations

import torch
from torch import nn


class Around(nn.Module):
    """after(net(before(x)))."""

    def __init__(self, net, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = net, before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


class Backward(nn.Module):
    """The logits of the net, and `surrogate(net, x)` in its place as far as gradients are concerned."""

    def __init__(self, net, surrogate):
        super().__init__()
        self.net, self.surrogate = net, surrogate

    def forward(self, x):
        other = self.surrogate(self.net, x)
        return other + (self.net(x) - other).detach()


class GradientsOn(nn.Module):
    """Another classifier as soon as gradients are recorded."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.flip(-1)) if torch.is_grad_enabled() else self.net(x)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def _middle(x):
    """Most of the image in 16 grey values; the border, where digits and clothes are not, as it is."""
    edge = torch.ones_like(x)
    edge[..., 2:-2, 2:-2] = 0
    return torch.where(edge > 0, x, (x * 15).round() / 15)


def _noisy(z):
    """Logits under a noise that depends on them: 4 % of their size, and sixty times their slope."""
    return z + 0.4 * torch.sin(150 * z.roll(1, 1))


def _thermometer(x):
    """Seven levels, each on or off (Buckman et al. 2018), added up again."""
    return torch.stack([(x > (level + 0.5) / 7).float() for level in range(7)]).mean(0) + 0 * x


MASKED = {
    "shattered gradient": lambda net: Around(net, lambda x: x + 0.004 * torch.sin(2000 * x)),
    "zero gradient": lambda net: Around(net, lambda x: (255 * x).round() / 255),
    "thermometer": lambda net: Around(net, _thermometer),
    "partial rounding": lambda net: Around(net, _middle),
    "another function with gradients": GradientsOn,
    "gradient of another function": lambda net: Backward(net, lambda inner, x: inner(x.flip(-1))),
    "detached features": lambda net: Backward(net, lambda inner, x: 1e-3 * inner(x[..., :1].expand_as(x))),
    "reversed gradient": lambda net: Around(net, Reversed.apply),
    "clamped logarithm": lambda net: Around(net, after=lambda z: (50 * z).softmax(1).clamp(1e-12).log()),
    "saturated softmax": lambda net: Around(net, after=lambda z: 10 * (1000 * z).softmax(1)),
    "noise-dominated logits": lambda net: Around(net, after=_noisy),
}
HONEST = {  # the same gradient, however it is scaled, shifted, rounded or clamped
    "itself": lambda net: net,
    "temperature": lambda net: Around(net, after=lambda z: 1000 * z),
    "cold": lambda net: Around(net, after=lambda z: 1e-5 * z),
    "offset": lambda net: Around(net, after=lambda z: z + 1e5),
    "log-softmax": lambda net: Around(net, after=lambda z: z.log_softmax(1)),
    "bfloat16": lambda net: Around(net, after=torch.Tensor.bfloat16),
    "float16": lambda net: Around(net, after=torch.Tensor.half),
    "float64": lambda net: Around(net, after=torch.Tensor.double),
    "switched off": lambda net: Around(net, after=lambda z: torch.cat([z, z.new_full((len(z), 2), -1e9)], 1)),
    "clamped first": lambda net: Around(net, lambda x: x.clamp(0, 1)),
    "straight through": lambda net: Around(net, lambda x: x + ((255 * x).round() / 255 - x).detach()),
}
