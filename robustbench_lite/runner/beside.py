"""What attacks ask for by name beside the classifiers of a suite: a generator, and who says what its images show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.errors import AttackError
from robustbench_lite.generators import Generator, load
from robustbench_lite.lazy import torch
from robustbench_lite.models.attackable import attackable
from robustbench_lite.models.base import Classifier
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.threat.latents import Latents, Named

if TYPE_CHECKING:
    from robustbench_lite.runner.assets import Assets

__all__ = ["identity_of", "latents_of"]


def identity_of(named: Named, assets: Assets, attacked: Classifier) -> list[Any]:
    """What of it changes an outcome, for a cell's id. Raises AttackError where it does not fit who is attacked."""
    generator, two = _generator(named, assets), [_classifier(name, assets) for name in named[1:]]
    for option, one in zip(named._fields[1:], two, strict=True):
        if one.weights == attacked.weights:
            raise AttackError(
                f"{option}: {one.name} is attacked itself, and would have to err and be right; name another"
            )
        if one.card.classes != attacked.card.classes or one.card.size != attacked.card.size:
            raise AttackError(
                f"{option}: {one.name} sees {one.card.classes} classes and images of {list(one.card.size)}, "
                f"{attacked.name} {attacked.card.classes} and {list(attacked.card.size)}; name one that sees the same"
            )
    if two[0].weights == two[1].weights:
        raise AttackError(f"second: {two[1].name} steers the search already (auxiliary); name another")
    return [generator.card.sha256, *(one.weights for one in two)]


def latents_of(named: Named, assets: Assets, shape: tuple[int, int, int]) -> Latents:
    """The generator's images cut to `shape`, and the two classifiers; on the device. Raises AttackError."""
    generator, (steer, other) = _generator(named, assets), (_classifier(name, assets) for name in named[1:])
    made = generator.card.size
    if len(made) != 3 or made[0] != shape[0] or made[1] < shape[1] or made[2] < shape[2]:
        raise AttackError(f"generator: expected images of at least {list(shape)}, {named.generator} makes {list(made)}")
    top, left = ((made[i] - shape[i]) // 2 for i in (1, 2))

    def cut(z: torch.Tensor) -> torch.Tensor:
        return generator.images(z.to(assets.device))[:, :, top : top + shape[1], left : left + shape[2]]

    size = assets.batch_for(torch.empty((1, *shape), device="meta"))
    second = Scorer(other.name, other.module, assets.device, size)
    return Latents(cut, generator.latent, lambda x: logits_of(steer.module, x), second.logits)


def _generator(named: Named, assets: Assets) -> Generator:
    def read() -> Generator:
        found = load(named.generator)
        found.net.to(assets.device)
        return found

    return assets.kept(f"generator {named.generator}", read)


def _classifier(name: str, assets: Assets) -> Classifier:
    """One of the suite by the name it has there, else one of the zoo."""
    if name in assets.models:
        return assets.classifier(name)

    def read() -> Classifier:
        found = attackable(Zoo(zoo=name), Path())
        found.module.to(assets.device)
        return found

    return assets.kept(f"classifier {name}", read)
