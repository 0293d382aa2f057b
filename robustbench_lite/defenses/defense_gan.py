"""Defense-GAN: the nearest image that a generator can make, https://arxiv.org/abs/1805.06605."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import ModelError
from robustbench_lite.generators import Generator, available, load
from robustbench_lite.lazy import torch
from robustbench_lite.models.defense import Defense, defenses
from robustbench_lite.registry import Number, one_of
from robustbench_lite.threat.draws import Draw, keys

__all__ = ["DefenseGAN"]

_MOMENTUM = 0.7  # of the authors' code, https://github.com/kabkabm/defensegan


@defenses.register("defense_gan")
class DefenseGAN(Defense):
    """Show the classifier G(z) of the z that comes nearest to the image, found by descent from several starts."""

    card: ClassVar[Card] = Card(
        title="Defense-GAN",
        paper="Defense-GAN: Protecting Classifiers Against Adversarial Attacks Using Generative Models, Samangouei, "
        "Kabkab, Chellappa 2018",
        arxiv="1805.06605",
        protocol="Gradient descent with momentum 0.7 on the mean square of G(z) - x from standard normal starts; the "
        "nearest of them. The paper: L = 200 steps, R = 10 restarts, step 10.",
        deviations=(
            "the starts are the same for every image, so that an answer can be had again",
            "computed in float64: two hundred steps make much of what float32 rounds",
        ),
    )
    generator: Annotated[str, one_of("generator", available)] = Field(description="Name of the bundled generator.")
    steps: PositiveInt = Field(200, description="Steps of the descent, L.")
    restarts: PositiveInt = Field(10, description="Starts, R.")
    step_size: Number = Field(10.0, gt=0, description="Of the descent, for images in [0, 1].")

    @property
    def through(self) -> str:
        return "gradients go straight through the projection"

    @cached_property
    def made_by(self) -> Generator:
        """The generator with its weights. Raises ModelError."""
        return load(self.generator)

    def content(self) -> str:
        return self.made_by.card.sha256

    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:  # noqa: ARG002
        goal, net = self._padded(x.double()), self.made_by.net.to(x.device, torch.float64)
        best, nearest = goal.new_full((len(x),), float("inf")), torch.zeros_like(goal)
        for start in self._starts(x.device):
            made, error = self._projected(net, goal, start)
            better = error < best
            best, nearest = torch.where(better, error, best), torch.where(better.view(-1, 1, 1, 1), made, nearest)
        return self._cropped(nearest, x).to(x.dtype)

    def _projected(
        self, net: torch.nn.Module, goal: torch.Tensor, start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each image (n, C, H, W) what the generator comes to from one start, and the mean square (n,) between."""
        z, speed = start.expand(len(goal), -1).clone(), torch.zeros((len(goal), start.shape[-1])).to(start)
        for _ in range(self.steps):
            with torch.enable_grad():
                leaf = z.detach().requires_grad_()
                error = ((_images(net, leaf) - goal) ** 2).flatten(1).mean(1)
                (slope,) = torch.autograd.grad(error.sum(), leaf)
            speed = _MOMENTUM * speed - self.step_size * slope
            z = z + speed
        with torch.no_grad():
            made = _images(net, z)
        return made, ((made - goal) ** 2).flatten(1).mean(1)

    def _starts(self, device: torch.device) -> torch.Tensor:
        """Standard normal (R, 1, latent)."""
        draw = Draw(keys(0, self.registered, [str(number) for number in range(self.restarts)]))
        return draw.normal("latent", (1, self.made_by.latent)).double().to(device)

    def _margins(self, x: torch.Tensor) -> tuple[int, int]:
        """Black rows and columns to either side that the generator's images have more than these."""
        size = self.made_by.card.size
        margins = [own - given for own, given in zip(size[1:], x.shape[2:], strict=True)] if len(size) == 3 else [-1]
        if x.shape[1] != size[0] or any(margin < 0 or margin % 2 for margin in margins):
            raise ModelError(
                f"defense_gan: {self.generator} makes images of {' x '.join(map(str, size))}; the classifier's, of "
                f"{' x '.join(map(str, x.shape[1:]))}, must have as many channels and be no larger, and as much "
                "smaller on either side"
            )
        return margins[0] // 2, margins[1] // 2

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = self._margins(x)
        return torch.nn.functional.pad(x, (columns, columns, rows, rows))

    def _cropped(self, made: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        rows, columns = self._margins(x)
        return made[:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]]


def _images(net: torch.nn.Module, z: torch.Tensor) -> torch.Tensor:
    """In [0, 1], (n, C, H, W), of latents (n, latent)."""
    made: torch.Tensor = net(z)
    return (made + 1) / 2
