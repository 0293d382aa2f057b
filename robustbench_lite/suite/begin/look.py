"""What a classifier and a folder of images are: architecture, classes, size, and the normalisation that fits best.

Weights do not say how images were normalised for them. All customary ways are tried on some images, and the best one is
written down with what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_lite.datasets.base import datasets, images
from robustbench_lite.datasets.classes import Classes, aligned
from robustbench_lite.errors import DataError, ModelError, RobustbenchError
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import models
from robustbench_lite.models.recognised import Recognised, recognised
from robustbench_lite.suite.begin.factory import outputs
from robustbench_lite.suite.begin.folder import Found, found, shipped

__all__ = ["Start", "look"]

Values = tuple[float, ...]
NONE = "none"
_WAYS: dict[int, dict[str, tuple[Values, Values]]] = {
    1: {NONE: ((0.0,), (1.0,)), "to [-1, 1]": ((0.5,), (0.5,)), "MNIST's": ((0.1307,), (0.3081,)),
        "Fashion-MNIST's": ((0.2860,), (0.3530,))},
    3: {NONE: ((0.0,), (1.0,)), "to [-1, 1]": ((0.5,), (0.5,)),
        "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))},
}  # fmt: skip
_CHANCE = 2.0  # times chance: below, it is another task
_BATCH = 50


@dataclass(frozen=True)
class Start:
    """What a first suite is about: entries of `models:` and `data:`, and what was measured to choose them."""

    name: str
    model: Mapping[str, Any] | str
    data: Mapping[str, Any]
    size: tuple[int, int, int] | None = None
    right: Mapping[str, float] = field(default_factory=dict)  # share of the images by normalisation, best first
    images: int = 0
    arch: str = ""
    doubt: str = ""


def look(model: Path | None, python: str | None, arch: str | None, data: Path | None, home: Path) -> Start:
    """What to write. `home`: the suite's folder, to which paths are relative. Raises ModelError, DataError."""
    if model is None and python is None:
        return Start("lenet_mnist", "lenet_mnist", {"mnist": {"samples": 200, "stratified": True}})
    seen = None if model is None else recognised(home / model, arch)
    tried, problems = list[Start](), list[RobustbenchError]()
    for candidate in _candidates(seen, data, home):
        try:
            tried.append(_tried(candidate, seen, model, python, home))
        except (DataError, ModelError) as problem:
            problems.append(problem)
    if not tried and (data is not None or len(problems) == 1):
        raise problems[0]
    if not tried:
        why = f": {problems[0]}" if problems else ""
        raise DataError(f"no images of the package fit this classifier; name yours with `--data FOLDER`{why}")
    best = max(tried, key=lambda start: next(iter(start.right.values())))
    if best.doubt and data is None:
        raise DataError(f"{best.doubt}; name the images that it was trained for with `--data FOLDER`")
    return best


def _candidates(seen: Recognised | None, data: Path | None, home: Path) -> Iterator[Found]:
    if data is not None or (home / "data").is_dir():
        yield found(data or Path("data"), home)
    else:
        yield from shipped(seen.channels if seen else None)


def _tried(candidate: Found, seen: Recognised | None, model: Path | None, python: str | None, home: Path) -> Start:
    """One classifier on one set of images."""
    entry, samples = dict(candidate.entry), candidate.samples
    if seen is not None and samples.images.shape[1] != seen.channels and _plain(entry):
        entry["channels"] = seen.channels
        samples = datasets.build(next(iter(entry)), entry).load(home)
    _, channels, height, width = samples.images.shape
    size = (channels, height, width)
    plain = {"mean": [0.0], "std": [1.0], "size": list(size)}
    if seen is not None and model is not None:
        name, kind = _printed(model.stem), "file"
        record = {"file": str(model), "arch": seen.arch, **plain, "classes": seen.classes}
    else:
        assert python is not None
        name, kind = _printed(python.rpartition(":")[2]), "python"
        record = {"python": python, **plain, "classes": outputs(python, home, size), "trust": True}
    classifier = models.build(kind, record).load(home)
    samples = aligned(samples, Classes(name, classifier.card.classes, classifier.card.labels))
    right = _measured(classifier.module, images(samples), torch.from_numpy(samples.labels), channels)
    way, share = next(iter(right.items()))
    mean, std = _WAYS[channels][way]
    record |= {"mean": list(mean), "std": list(std)}
    doubt = ""
    if share * classifier.card.classes < _CHANCE:
        doubt = f"{name} gets {share:.0%} of the images of {samples.dataset} right, which is chance"
    if _plain(entry):
        entry = {_printed(Path(str(next(iter(entry.values())))).resolve().name): entry}
    return Start(name, record, entry, size, right, len(samples), seen.arch if seen else python or "", doubt)


def _printed(text: str) -> str:
    """A name for a suite, which is that of a folder too."""
    return re.sub(r"[^\w.-]+", "_", text).strip("._-") or "mine"


def _plain(entry: Mapping[str, Any]) -> bool:
    """Whether it is a source of files, which can convert colours."""
    return not isinstance(next(iter(entry.values())), dict)


def _measured(net: Any, x: torch.Tensor, y: torch.Tensor, channels: int) -> dict[str, float]:
    """The share of images (N, C, H, W) that the classifier gets right under each normalisation, best first."""
    if channels not in _WAYS:
        raise ModelError(f"expected images of 1 or 3 channels, got {channels}")
    right = {}
    for way, (mean, std) in _WAYS[channels].items():
        shift, scale = (torch.tensor(values)[None, :, None, None] for values in (mean, std))
        with torch.no_grad():
            hits = [net((part - shift) / scale).argmax(1) for part in torch.split(x, _BATCH)]
        right[way] = float((torch.cat(hits) == y).float().mean())
    return dict(sorted(right.items(), key=lambda item: -item[1]))
