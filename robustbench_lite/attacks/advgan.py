"""AdvGAN: a generator of bounded perturbations (Xiao et al., https://arxiv.org/abs/1801.02610)."""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, pi
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt

from robustbench_lite.attacks._one_for_all import Fitter, aimed, control
from robustbench_lite.attacks._translator import Translator
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import CONTROL, Crafted, Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.guards.determinism import one_thread
from robustbench_lite.guards.memory import chunked
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import project, size
from robustbench_lite.threat.rows import rows

__all__ = ["AdvGAN", "adversarial", "fooling", "hinge", "telling", "within"]

GENERATOR = "generator"  # the artifact: its weights (P,)
_BLOCK = 64  # images that are translated together: always so many, so that no shard changes a bit
_BETAS = (0.5, 0.999)  # of Adam, as GANs are trained


def adversarial(goal: Goal, logits: torch.Tensor, kappa: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The paper's L_adv (n,), the loss of Carlini and Wagner max(-margin, -kappa), and its slope in logits (n, K)."""
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        loss = (-goal.margin(leaf)).clamp_min(-kappa)
        (slope,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach(), slope


def telling(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """The critic's loss from its scores (n,): least squares, 1 for images and 0 for perturbed ones."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def fooling(fake: torch.Tensor) -> torch.Tensor:
    """The generator's L_GAN: perturbed images are to be told for images."""
    return (fake - 1).square().mean()


def hinge(perturbation: torch.Tensor, c: float) -> torch.Tensor:
    """L_hinge: by how much the l2 size of perturbations (n, ...) exceeds c, on average."""
    return (size(perturbation, "l2") - c).clamp_min(0).mean()


def within(x: torch.Tensor, adv: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The images adv (n, ...), moved to the nearest floats in [0, 1] that differ from x by epsilon at most, exactly."""
    low, high = x.double() - epsilon, x.double() + epsilon
    least, most = low.float(), high.float()
    least = torch.where(least.double() < low, least.nextafter(torch.ones_like(x) * 2), least)
    most = torch.where(most.double() > high, most.nextafter(-torch.ones_like(x)), most)
    return adv.clamp(0, 1).maximum(least).minimum(most)


@attacks.register("advgan")
class AdvGAN(Fitter):
    """A generator is trained once on other images; then one forward pass of it perturbs an image."""

    card: ClassVar[Card] = Card(
        title="AdvGAN",
        paper="Xiao et al., Generating Adversarial Examples with Adversarial Networks, IJCAI 2018",
        arxiv="1801.02610",
        protocol=(
            "Generator and critic from image translation; L = L_adv + alpha L_GAN + beta L_hinge with the loss of "
            "Carlini and Wagner (kappa 0), least squares for the GAN, and max(0, ||G(x)||_2 - c). Adam, batches of "
            "128, rate 0.001. Perturbations are bounded: MNIST linf 0.3, CIFAR-10 linf 8 of 255. Semi-whitebox: the "
            "classifier is needed to train the generator, and not afterwards."
        ),
        deviations=(
            "The generator ends in epsilon tanh, or in the l2 ball, instead of being clipped when it is tested.",
            "Its weights are a norm of an instance apart from its kernels: no norm of a batch, which would make an "
            "image's perturbation depend on the others.",
            "kappa 100 instead of 0, the rate 0.01 instead of 0.001 and falling to 0 along a cosine: with few images "
            "to fit on a generator that stops where the classifier barely errs does not carry over to others.",
            "Untargeted it leaves what the classifier predicts on the images to fit on, whose labels it is not told.",
        ),
    )

    norm: Literal["linf", "l2"] = Field("linf", description="Norm of the perturbations.")
    epsilon: Number = Field(0.3, gt=0, description="Their largest size, for images in [0, 1].")
    target: NonNegativeInt | None = Field(None, description="A class that every image shall be taken for; null: none.")
    steps: PositiveInt = Field(200, description="Steps of generator and critic, one each.")
    batch: PositiveInt = Field(64, description="Images in a step.")
    alpha: Number = Field(0.1, ge=0, description="Weight of L_GAN beside L_adv; 0: no critic.")
    beta: Number = Field(0.1, ge=0, description="Weight of L_hinge.")
    c: Number = Field(0.0, ge=0, description="The l2 size of a perturbation below which L_hinge is 0.")
    kappa: Number = Field(100.0, ge=0, description="Margin in logits where L_adv ends; the paper: 0.")
    lr: Number = Field(0.01, gt=0, description="Adam's rate in the first step, of both networks.")
    filters: PositiveInt = Field(8, description="Of the first convolution; twice as many at each halving.")

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.steps * self.batch / self.fit

    @property
    def spends(self) -> bool:
        return False

    @property
    def promise(self) -> Promise:
        return Promise(factor=float("inf"))  # convolutions do not make every pattern

    def tried(self, images: int) -> Self:
        """Only looked at for what is impossible: a few steps do."""
        return super().tried(images).model_copy(update={"steps": min(self.steps, 2), "target": None})

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        some = Fitting.of(job.setting, self.registered)
        with one_thread():
            weights = self._trained(oracle, some)
        made = {GENERATOR: weights, CONTROL: control(self, some.x[:1], self.epsilon)}
        return Crafted(self.perturbed(job.x, made), (), made)

    def perturbed(self, x: torch.Tensor, made: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """One forward pass of the generator an image."""
        net, weights = self._net(x), made[GENERATOR].to(x.device)
        out = torch.empty_like(x)
        with torch.no_grad(), one_thread():
            for at in range(0, len(x), _BLOCK):
                part = x[at : at + _BLOCK]
                whole = torch.cat([part, part[:1].expand(_BLOCK - len(part), -1, -1, -1)])
                out[at : at + _BLOCK] = self._moved(x=whole, raw=net.translated(weights, whole))[1][: len(part)]
        return out

    def _net(self, x: torch.Tensor) -> Translator:
        return Translator(x.shape[1], self.filters)

    def _moved(self, x: torch.Tensor, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the generator says (n, C, H, W) as perturbations, before the l2 ball, and the images with them."""
        r = raw.tanh() * (self.epsilon if self.norm == "linf" else 1)
        adv = (x + (r if self.norm == "linf" else project(r, "l2", self.epsilon))).clamp(0, 1)
        return r, adv if raw.requires_grad or self.norm != "linf" else within(x, adv, self.epsilon)

    def _trained(self, oracle: Oracle, some: Fitting) -> torch.Tensor:
        """The generator's weights (P,)."""
        net, goal = self._net(some.x), aimed(some.goal, self.target)
        generator, critic = (part.requires_grad_() for part in net.fresh(Draw(some.draw.key[:1])))
        optimizers = [torch.optim.Adam([part], lr=self.lr, betas=_BETAS) for part in (generator, critic)]
        for step in range(self.steps):
            for one in optimizers:
                one.param_groups[0]["lr"] = self.lr * (1 + cos(pi * step / self.steps)) / 2
            part = self._part(some, step)
            with torch.enable_grad():
                r, adv = self._moved(some.x[part], net.translated(generator, some.x[part]))
                if self.alpha:
                    scores = [net.criticised(critic, each) for each in (some.x[part], adv.detach())]
                    (critic.grad,) = torch.autograd.grad(telling(*scores), critic)
                    optimizers[1].step()
                extra = self.beta * hinge(r, self.c)
                extra = extra + self.alpha * fooling(net.criticised(critic, adv)) if self.alpha else extra
            pull = self._pull(oracle, adv.detach(), rows(goal, part), part) / len(part)
            (generator.grad,) = torch.autograd.grad([adv, extra], generator, [pull, torch.ones_like(extra)])
            optimizers[0].step()
        return generator.detach()

    def _part(self, some: Fitting, step: int) -> torch.Tensor:
        """The places (m,) of the images of a step: all have had their turn before any has its next."""
        n, m = len(some.x), min(self.batch, len(some.x))
        turn, at = divmod(step, n // m)
        return some.draw.uniform("order", (1,), turn)[:, 0].argsort()[at * m : (at + 1) * m]

    def _pull(self, oracle: Oracle, adv: torch.Tensor, goal: Goal, part: torch.Tensor) -> torch.Tensor:
        """The gradient (m, C, H, W) of each image's L_adv; all in one batch unless memory runs out."""
        before = oracle.ledger.snapshot()

        def some(piece: slice) -> torch.Tensor:
            index = torch.arange(len(part), device=part.device)[piece]
            view = oracle.differentiate(adv[piece], part[piece])
            return view.gradient(adversarial(rows(goal, index), view.logits, self.kappa)[1])[0]

        return torch.cat(chunked(some, len(part), len(part), lambda: oracle.ledger.restore(before))[0])
