"""Who perturbs the images of a training: a recipe's `adversary`, one key and its parameters.

`fgsm_rs`, `pgd` and `trades` take their steps on the training batch directly; any other name is a registered attack.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.evaluate import evaluate
from robustbench_lite.errors import SuiteError, did_you_mean
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Number
from robustbench_lite.threat.box import climb
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.norms import sample

if TYPE_CHECKING:
    from torch import Tensor, nn

    Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (n, K) and labels (n,)

__all__ = ["Adversary", "Ball", "FastSign", "Madry", "Registered", "Trades", "adversary"]


class Adversary(Config, ABC):
    """Makes the loss of a batch out of what it does to the images."""

    @abstractmethod
    def loss(self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator) -> Tensor:
        """What the training minimises on images x (n, C, H, W) in [0, 1] with labels y (n,), with its gradient."""


class Ball(Adversary):
    """Steepest ascent inside a ball and the box, on the network in eval mode: the function that will be attacked."""

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(gt=0, description="Radius of the ball, for images in [0, 1].")

    def within(self, share: float) -> Ball:
        """The same with `share` of the radius, and of the step where one is given."""
        size = getattr(self, "step_size", None)
        steps = {} if size is None else {"step_size": size * share}
        return self.model_copy(update={"epsilon": self.epsilon * share, **steps})

    def ascend(
        self, net: nn.Module, x: Tensor, start: Tensor, rise: Loss, y: Tensor, steps: int, size: float
    ) -> Tensor:
        """The images (n, C, H, W) after `steps` steps of `size` from `start` (n, C, H, W) that raise `rise`."""
        training, adv = net.training, start.clamp(0, 1)
        net.eval()
        for step in range(steps):
            adv.requires_grad_()
            (gradient,) = torch.autograd.grad(rise(net(adv), y), adv)
            share = torch.full((len(x),), step / steps, device=x.device)
            adv = climb(x, adv.detach(), gradient, self.norm, size, self.epsilon, share)
        net.train(training)
        return adv

    def anywhere(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A uniform point of the ball around every image (n, C, H, W); it may lie outside the box."""
        bits = torch.iinfo(torch.int64)
        keys = torch.randint(bits.min, bits.max, (len(x),), generator=generator).to(x.device)
        return x + sample(Draw(keys), x, self.norm, self.epsilon)


class FastSign(Ball):
    """Fast adversarial training: one step from a random start (Wong et al., https://arxiv.org/abs/2001.03994)."""

    step_size: Number | None = Field(None, gt=0, description="Size of the step in the norm; null: 1.25 epsilon.")

    def perturb(self, net: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Images (n, C, H, W) in the ball and the box."""
        size = self.step_size or 1.25 * self.epsilon
        return self.ascend(net, x, self.anywhere(x, generator), torch.nn.functional.cross_entropy, y, 1, size)

    def loss(self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator) -> Tensor:
        return loss(net(self.perturb(net, x, y, generator)), y)


class Madry(Ball):
    """Projected gradient descent from a random start (Madry et al., https://arxiv.org/abs/1706.06083)."""

    steps: PositiveInt = Field(10, description="Gradient steps.")
    step_size: Number | None = Field(None, gt=0, description="Size of a step in the norm; null: 2.5 epsilon / steps.")

    def perturb(self, net: nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """Images (n, C, H, W) in the ball and the box."""
        size, rise = self.step_size or 2.5 * self.epsilon / self.steps, torch.nn.functional.cross_entropy
        return self.ascend(net, x, self.anywhere(x, generator), rise, y, self.steps, size)

    def loss(self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator) -> Tensor:
        return loss(net(self.perturb(net, x, y, generator)), y)


class Trades(Ball):
    """Clean loss plus beta times how far the probabilities can be moved (Zhang et al., arXiv 1901.08573)."""

    beta: Number = Field(6.0, ge=0, description="Weight of the divergence, 1/lambda in the paper.")
    steps: PositiveInt = Field(10, description="Gradient steps on the divergence.")
    step_size: Number | None = Field(None, gt=0, description="Size of a step in the norm; null: 2.5 epsilon / steps.")
    spread: Number = Field(0.001, gt=0, description="Standard deviation of the Gaussian noise at the start.")

    def loss(self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator) -> Tensor:
        size = self.step_size or 2.5 * self.epsilon / self.steps
        noise = torch.randn(x.shape, generator=generator).to(x.device) * self.spread
        training = net.training
        net.eval()  # the divergence that is made larger is that between two answers of one function
        clean = net(x).detach().softmax(1)
        net.train(training)
        adv = self.ascend(net, x, x + noise, lambda logits, _: _divergence(logits, clean), y, self.steps, size)
        logits = net(x)
        return loss(logits, y) + self.beta * _divergence(net(adv), logits.softmax(1)) / len(x)


def _divergence(logits: Tensor, probabilities: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of softmax(logits) (n, K) from probabilities (n, K), summed over the rows."""
    return torch.nn.functional.kl_div(logits.log_softmax(1), probabilities, reduction="sum")


class Registered(Adversary):
    """What a registered attack proposes for the batch: the engine's loop and judge, on the network in eval mode."""

    attack: str
    options: dict[str, Any] = {}

    def loss(self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator) -> Tensor:
        seed = int(torch.randint(2**31, (1,), generator=generator))
        built = attacks.build(self.attack, self.options)
        result = evaluate(built, net, x, y, seed=seed, batch_size=len(x), inspect=False)
        return loss(net(result.images), y)


TIGHT: dict[str, type[Ball]] = {"fgsm_rs": FastSign, "pgd": Madry, "trades": Trades}


def adversary(entry: dict[str, dict[str, Any]]) -> Adversary:
    """The adversary of a recipe's entry, {pgd: {epsilon: 0.3}}. Raises ValueError with a did-you-mean."""
    if len(entry) != 1:
        raise ValueError(f"adversary: expected one name with its parameters, got {', '.join(entry) or 'none'}")
    ((name, params),) = entry.items()
    if name in TIGHT:
        return TIGHT[name](**params)
    if name not in attacks:
        raise ValueError(f"unknown adversary '{name}'{did_you_mean(name, [*TIGHT, *attacks])}")
    try:
        attacks.build(name, params)
    except SuiteError as error:
        raise ValueError(str(error)) from None
    return Registered(attack=name, options=params)
