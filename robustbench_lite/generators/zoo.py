"""Generators that come with the package, each trained by a committed recipe and described by its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from ruamel.yaml import YAML

from robustbench_lite.errors import ModelError, did_you_mean
from robustbench_lite.generators.architecture import Architecture
from robustbench_lite.generators.card import Card
from robustbench_lite.generators.recipe import built_architecture
from robustbench_lite.lazy import torch
from robustbench_lite.models.finish import sha256_of
from robustbench_lite.threat.draws import Draw, keys

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FOLDER", "Generator", "available", "card", "load"]

FOLDER = Path(__file__).parent / "cards"
_BLOCK = 64  # images that are made together: always those of the same numbers, so that every bit is the same


@dataclass(frozen=True)
class Generator:
    """A trained generator: eval mode, frozen parameters."""

    card: Card
    net: nn.Module
    latent: int

    def latents(self, n: int, seed: int = 0, first: int = 0) -> torch.Tensor:
        """Standard normal (n, latent): number k depends on the seed and k alone."""
        numbers = [str(k) for k in range(first, first + n)]
        return Draw(keys(seed, "generator", numbers)).normal("latent", (self.latent,))

    def sample(self, n: int, seed: int = 0, first: int = 0) -> torch.Tensor:
        """Images number `first`, ... of a seed, (n, C, H, W) float32 in [0, 1]; points are (n, d).

        Number k is the same, bit for bit, whatever others it is asked for with.
        """
        if n < 1 or first < 0:
            raise ValueError(f"sample: expected n of at least 1 and first of at least 0, got {n} and {first}")
        start = first - first % _BLOCK
        blocks = range(start, first + n, _BLOCK)
        images = torch.cat([self.at(self.latents(_BLOCK, seed, block)) for block in blocks])
        return images[first - start :][:n]

    def at(self, z: torch.Tensor) -> torch.Tensor:
        """The images (n, C, H, W) of latents (n, latent), all in one batch."""
        device = next(self.net.parameters()).device
        with torch.no_grad():
            return self.images(z.to(device)).cpu()

    def images(self, z: torch.Tensor) -> torch.Tensor:
        """The same where the network is, differentiable in z."""
        out: torch.Tensor = self.net(z).float()
        return ((out + 1) / 2).clamp(0, 1) if out.ndim == 4 else out


def available() -> list[str]:
    """Names of the generators that are shipped with their weights."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def card(name: str) -> Card:
    """The card of a shipped generator, or of a card file's path. Raises ModelError."""
    path = _path(name)
    try:
        return Card(**YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")))
    except (OSError, ValidationError, TypeError) as error:
        raise ModelError(f"card of {name}: {error}") from None


def load(name: str) -> Generator:
    """A shipped generator by name, or the one that a card describes (`folder/NAME.yaml`, weights beside it).

    Raises ModelError where there is none, or the weights are not those of the card.
    """
    from safetensors.torch import load_file

    facts, path = card(name), _path(name).with_suffix(".safetensors")
    if not path.is_file() or sha256_of(path) != facts.sha256:
        raise ModelError(f"{name}: the weights file is missing or not the one its card describes")
    nets = built_architecture(facts.architecture)
    net = nets.generator(facts.size)
    net.load_state_dict(load_file(path))
    return finished(facts, nets, net)


def finished(facts: Card, nets: Architecture, net: nn.Module) -> Generator:
    """A network as it is used."""
    nets.grow(net, 1.0)
    return Generator(facts, net.eval().requires_grad_(requires_grad=False), nets.latent)


def _path(name: str) -> Path:
    if Path(name).suffix == ".yaml":
        return Path(name)
    if name not in available():
        raise ModelError(f"unknown generator '{name}'{did_you_mean(name, available())}")
    return FOLDER / f"{name}.yaml"
