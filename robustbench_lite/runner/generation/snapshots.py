"""A generator on its way: the same latents every so often, and what a few images are worth. They outlive a kill."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_lite.generators import Card, Generator, Judge, Recipe, Training
from robustbench_lite.generators.metrics.classified import classifier_score
from robustbench_lite.generators.metrics.patches import swd
from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import Row
from robustbench_lite.results.sealed import atomically

__all__ = ["SHOWN", "Snapshots", "generator_of", "pictured"]

SHOWN = 16  # images that are kept
_POINTS = 400  # points that are kept
_LOOKED, _LOOKED_POINTS = 256, 1000  # that a score on the way is taken of
_TIMES = 12  # in a training


def generator_of(todo: Recipe, net: torch.nn.Module, latent: int) -> Generator:
    """A network as it samples."""
    card = Card(
        name=todo.name,
        architecture=todo.architecture,
        objective=todo.objective,
        size=todo.size,
        dataset=todo.dataset,
        steps=todo.steps,
        seconds=0,
    )
    return Generator(card, net.eval(), latent)


@dataclass(frozen=True)
class Snapshots:
    """Those of one training, a file each beside its checkpoint. `judge`: null where nobody scores images."""

    folder: Path
    judge: Judge | None
    seed: int

    def due(self, training: Training) -> bool:
        """Whether this logged step is the first one after another twelfth of the training."""
        todo, step = training.todo, training.step
        return step * _TIMES // todo.steps > max(0, step - todo.log_every) * _TIMES // todo.steps

    def take(self, training: Training) -> None:
        """Store what the generator makes now; nothing of the training changes. Raises OSError."""
        net = deepcopy(training.averaged if training.todo.average else training.generator)
        now = generator_of(training.todo, net, training.nets.latent)
        mixture = training.todo.mixture
        made = now.sample(_LOOKED if mixture is None else _LOOKED_POINTS, self.seed)
        facts: dict[str, Any] = {"side": made.shape[-1]} if mixture is None else {}
        if mixture is not None:
            found = mixture.coverage(made)
            facts |= {"score": found.high_quality, "covered": found.covered}
        else:
            made = _full(made, training.todo.size[-1])
            facts |= self._looked(made)
        shown = _kept(made)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"sample-{training.step:09d}.pt"
        atomically(
            path, lambda temporary: torch.save({"step": training.step, "made": shown, "facts": facts}, temporary)
        )

    def _looked(self, images: torch.Tensor) -> dict[str, float]:
        """The score of a few images and their distance from as many real ones, both rough."""
        if self.judge is None or not bool(images.isfinite().all()):
            return {}
        real, n = self.judge.test, min(len(images), len(self.judge.test))
        distances = swd(real[:n], images[:n], per_image=16, directions=64).values()
        score = classifier_score(self.judge.look(images).probabilities)
        return {"score": score, "swd": sum(distances) / len(distances)}

    def stored(self) -> list[dict[str, Any]]:
        """All of them in order; one that cannot be read is left out."""
        return list(self._read())

    def _read(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self.folder.glob("sample-*.pt")):
            try:
                yield torch.load(path, weights_only=True)
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                continue


def pictured(cell: str, step: int, made: torch.Tensor, kind: str = "generated", most: int = SHOWN) -> list[Row]:
    """A row for each of the first images (n, C, H, W) in [0, 1] or uint8, or points (n, d)."""
    rows: list[Row] = []
    for number, one in enumerate(_kept(made, most)):
        row: Row = {"cell": cell, "kind": kind, "step": step, "number": number, "shape": list(one.shape)}
        image = one.ndim == 3
        rows.append(row | ({"pixels": one.numpy().tobytes()} if image else {"point": one.double().tolist()}))
    return rows


def _kept(made: torch.Tensor, most: int = SHOWN) -> torch.Tensor:
    """The first few, images as bytes."""
    if made.ndim == 2:
        return made[:_POINTS].clone()
    shown = made[:most].clone()
    return shown if shown.dtype == torch.uint8 else (shown.nan_to_num() * 255).round().to(torch.uint8)


def _full(images: torch.Tensor, side: int) -> torch.Tensor:
    """Images of a generator that has not grown up, every pixel as often as it takes."""
    times = side // images.shape[-1]
    return images.repeat_interleave(times, 2).repeat_interleave(times, 3) if times > 1 else images
