"""What a suite needs on the table before it can run: every classifier and dataset loaded once, and inspected.

Inspection happens before any attack: outputs are logits, finite, the same for every batch size and every call; clean
accuracy agrees with the card. What fails here fails the cells of that classifier, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from robustbench_lite.dataset import DataSource, Samples, padded
from robustbench_lite.datasets.common import balanced
from robustbench_lite.errors import DataError, ModelError, RobustbenchError
from robustbench_lite.judge import look, pooled
from robustbench_lite.lazy import torch
from robustbench_lite.measure import clopper_pearson
from robustbench_lite.model import Classifier
from robustbench_lite.rng import Draw, keys
from robustbench_lite.threat import tie
from robustbench_lite.transforms.scene import Scene
from robustbench_lite.views import pairs

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.suite import Suite

__all__ = ["Bench", "Inspection", "Victim", "auto_batch_size", "images", "shown"]

T = TypeVar("T")
_POOL = 4  # times as many samples as wanted are looked through for those that every classifier gets right
_LOOKS = 100  # views that are looked at of each object: 60 MB of them at 224 x 224
_PROBE = 16  # images of which the predictions are compared across batch sizes


@dataclass(frozen=True)
class Inspection:
    """A classifier on a dataset's clean images: logits (N, K) on the CPU, and what a reader must know."""

    logits: torch.Tensor
    accuracy: float
    card_accuracy: float | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Victim:
    """What an attack runs against: a module that gives logits, and its members where it is a mean of several."""

    module: nn.Module
    members: tuple[nn.Module, ...]
    shares: tuple[float, ...] | None


@dataclass
class Bench:
    """Loads on demand, remembers results and failures alike."""

    suite: Suite
    device: torch.device
    batch_size: int | None = None  # null: chosen by image size and device
    limit: int | None = None
    _classifiers: dict[str, Classifier | RobustbenchError] = field(default_factory=dict)
    _samples: dict[str, Samples] = field(default_factory=dict)
    _fitting: dict[tuple[str, int], Samples] = field(default_factory=dict)
    _inspections: dict[tuple[str, str], Inspection | RobustbenchError] = field(default_factory=dict)

    def classifier(self, name: str) -> Classifier:
        """The classifier called `name`, on the bench's device. Raises ModelError, the same one every time."""
        if name not in self._classifiers:
            self._classifiers[name] = self._load(name)
        return _unwrap(self._classifiers[name])

    def samples(self, name: str) -> Samples:
        """The selected samples of dataset `name`; with `keep: correct_by_all` the pool they are kept from.

        Raises DataError.
        """
        if name not in self._samples:
            self._samples[name] = padded(self._pool(name), self._source(name).pad)
        return self._samples[name]

    def fitting(self, name: str, n: int) -> Samples:
        """N samples to fit on, none of which is tested: of `fit_from`, or those next in rank. Raises DataError."""
        if (name, n) not in self._fitting:  # every cell asks for them, and a folder takes minutes to read
            self._fitting[name, n] = self._next(name, n)
        return self._fitting[name, n]

    def _next(self, name: str, n: int) -> Samples:
        source, tested = self._source(name), self.samples(name)
        origin = source.fit_source or source.model_copy(update={"samples": None, "stratified": False})
        try:  # tested ones may be among the first, but not more than there are
            found = origin.model_copy(update={"samples": len(tested) + n}).load(self.suite.root)
        except DataError:  # fewer than that: all there are
            found = origin.load(self.suite.root)
        found, taken = padded(found, source.pad), set(tested.ids)
        free = [i for i, sample in enumerate(found.ids) if sample not in taken]
        if len(free) < n:
            raise DataError(
                f"fit: {n} images are wanted beside the {len(tested)} tested ones, dataset '{found.dataset}' has "
                f"{len(free)}; fit on fewer, test fewer, or name another source with fit_from"
            )
        sizes = [_shape(tuple(some.images.shape[1:])) for some in (found, tested)]
        if sizes[0] != sizes[1]:
            raise DataError(f"fit_from: its images are {sizes[0]}, those tested {sizes[1]}; set size on one of them")
        ids = tuple(found.ids[i] for i in free[:n])
        return Samples(found.dataset, ids, found.images[free[:n]], found.labels[free[:n]], found.classes)

    def wanted(self, name: str) -> int | None:
        """How many samples of dataset `name` the suite asks for; None: all there are."""
        asked = [number for number in (self._source(name).samples, self.limit) if number is not None]
        return min(asked) if asked else None

    def _source(self, name: str) -> DataSource:
        return next(entry.source for entry in self.suite.data if entry.name == name)

    def _pool(self, name: str) -> Samples:
        source, wanted = self._source(name), self.wanted(name)
        if source.keep == "all" or wanted is None:
            samples = source.load(self.suite.root)
            return samples if wanted is None else head(samples, wanted)
        most = _POOL * wanted
        try:
            return source.model_copy(update={"samples": most}).load(self.suite.root)
        except DataError:  # not that many, or a class has too few: everything, then
            everything = source.model_copy(update={"samples": None, "stratified": False}).load(self.suite.root)
            return head(everything, most)

    def inspect(self, data: str, model: str) -> Inspection:
        """Clean logits and warnings. Raises ModelError or DataError where the contract is broken."""
        key = (data, model)
        if key not in self._inspections:
            try:
                canvas = self._source(data).pad > 0
                self._inspections[key] = _inspect(self.classifier(model), self.samples(data), self, canvas=canvas)
            except RobustbenchError as error:
                self._inspections[key] = error
        return _unwrap(self._inspections[key])

    def kept(self, data: str) -> torch.Tensor:
        """Indices of the samples that take part: all, or the first that every classifier gets right."""
        source, labels = self._source(data), self.samples(data).labels
        if source.keep == "all":
            return torch.arange(len(labels))
        right = torch.ones(len(labels), dtype=torch.bool)
        for model in self.suite.models:
            right &= self.inspect(data, model.title).logits.argmax(1) == torch.from_numpy(labels)
        index, wanted = right.nonzero()[:, 0].tolist(), self.wanted(data)
        if source.stratified and wanted is not None:
            return torch.tensor(balanced(labels[index], wanted, index))
        return torch.tensor(index[:wanted], dtype=torch.int64)

    def victim(self, names: tuple[str, ...], shares: tuple[float, ...] | None) -> Victim:
        """What an attacker sees of the classifiers `names`: the one, or the mean of their probabilities."""
        found = [self.classifier(name) for name in names]
        if len(found) == 1:
            return Victim(found[0].module, (), None)
        if len({classifier.card.classes for classifier in found}) > 1:
            raise ModelError(f"{', '.join(names)}: expected the same classes in all of them to take the mean of")
        if shares is not None and len(shares) != len(found):
            raise ModelError(f"weights: expected {len(found)}, one for each of {', '.join(names)}, got {len(shares)}")
        from robustbench_lite.models.archs.mixture import Mixture  # its class statement needs torch

        members = tuple(classifier.module for classifier in found)
        return Victim(Mixture(members, shares).eval(), members, shares)

    def clean_logits(self, data: str, names: tuple[str, ...], shares: tuple[float, ...] | None) -> torch.Tensor:
        """Logits (N, K) on the pool of what `victim` gives, from those of its members."""
        logits = [self.inspect(data, name).logits for name in names]
        if len(logits) == 1:
            return logits[0]
        from robustbench_lite.models.archs.mixture import mix

        return mix(logits, shares)

    def published(self) -> dict[str, dict[str, str]]:
        """What the papers call the classifiers that could be loaded."""
        loaded = {name: entry for name, entry in self._classifiers.items() if isinstance(entry, Classifier)}
        return {name: dict(entry.card.published) for name, entry in loaded.items() if entry.card.published}

    def class_names(self) -> dict[str, list[str]]:
        """The names of the classes of every dataset that could be loaded."""
        return {name: list(samples.classes) for name, samples in self._samples.items()}

    def batch_for(self, x: torch.Tensor, scene: object | None = None) -> int:
        """How many images like x (N, C, H, W), or views of a scene, a classifier looks at together."""
        like = torch.empty((1, 3, *scene.size), device="meta") if isinstance(scene, Scene) else x
        return self.batch_size or auto_batch_size(like, self.device)

    def _load(self, name: str) -> Classifier | RobustbenchError:
        source = next(model for model in self.suite.models if model.title == name)
        try:
            classifier = source.load(self.suite.root)
            classifier.module.to(self.device)
        except RobustbenchError as error:
            return error
        return classifier


def auto_batch_size(x: torch.Tensor, device: torch.device) -> int:
    """A window that fills the device without thrashing its caches; the engine halves it when memory runs out."""
    elements = x[0].numel()
    if device.type == "cpu":
        return max(8, min(512, 2**19 // elements))
    return max(16, min(1024, 2**23 // elements))


def images(samples: Samples) -> torch.Tensor:
    """The samples as float32 (N, C, H, W) in [0, 1], on the CPU."""
    return torch.from_numpy(samples.images).float() / 255


def shown(samples: Samples, looks: int = _LOOKS) -> torch.Tensor:
    """What classifiers are shown of the samples: the images, or `looks` views of each where there is a scene."""
    x = images(samples)
    if not isinstance(samples.scene, Scene):
        return x
    row, number = next(pairs(len(x), looks, len(x) * looks))
    return samples.scene.see(x[row], Draw(keys(0, "inspect", samples.ids)[row]), number)


def _unwrap(value: T | RobustbenchError) -> T:
    if isinstance(value, RobustbenchError):
        raise value
    return value


def head(samples: Samples, n: int) -> Samples:
    """The first n by hash rank (the order in which sources deliver)."""
    return replace(samples, ids=samples.ids[:n], images=samples.images[:n], labels=samples.labels[:n])


def _inspect(classifier: Classifier, samples: Samples, bench: Bench, *, canvas: bool) -> Inspection:
    x, name = shown(samples), classifier.name
    _check_size(classifier, samples.dataset, x, bench.device, canvas=canvas)
    training = [path or "the model" for path, part in classifier.module.named_modules() if part.training]
    if training:
        raise ModelError(f"{name}: {training[0]} is in training mode although eval() was called; it overrides train()")
    size = bench.batch_for(x)
    logits = look(classifier.module, x, bench.device, size)
    _check_outputs(name, logits, classifier.card.classes)
    _check_batches(classifier, x, logits, bench)
    labels = torch.from_numpy(samples.labels).repeat_interleave(len(x) // len(samples))
    correct = int((logits.argmax(1) == labels).sum())
    card, doubt = _against_card(classifier, samples, correct)
    return Inspection(
        logits if samples.scene is None else pooled(logits, len(samples)),
        correct / len(x),
        card,
        (*classifier.warnings, *doubt),
    )


def _check_size(classifier: Classifier, dataset: str, x: torch.Tensor, device: torch.device, *, canvas: bool) -> None:
    """The card's size, or on a canvas any that the classifier can look at."""
    name, expected, size = classifier.name, tuple(classifier.card.size), tuple(x.shape[1:])
    if canvas and size[0] == expected[0]:
        try:
            look(classifier.module, x[:1], device, 1)
        except RuntimeError:
            raise DataError(
                f"{name} takes images of {_shape(expected)} only, dataset '{dataset}' has {_shape(size)}; "
                "leave out pad, or this classifier"
            ) from None
    elif size != expected:
        raise DataError(
            f"{name} takes images of {_shape(expected)}, dataset '{dataset}' has {_shape(size)}; "
            "set size (and channels) on the dataset"
        )


def _check_outputs(name: str, logits: torch.Tensor, classes: int) -> None:
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise ModelError(f"{name}: expected logits (N, {classes}), got {tuple(logits.shape)}")
    broken = int((~logits.isfinite().all(1)).sum())
    if broken:
        raise ModelError(f"{name}: logits are not finite on {broken} of {len(logits)} clean images")
    sums = logits.double().sum(1)
    if bool((logits >= 0).all() & ((sums - 1).abs() < 1e-4).all()):
        raise ModelError(f"{name}: outputs are probabilities (rows sum to 1), expected logits; remove the softmax")


def _check_batches(classifier: Classifier, x: torch.Tensor, logits: torch.Tensor, bench: Bench) -> None:
    """Predictions must agree between calls, and across batch sizes 1, 7 and B, except at near ties."""
    probe, reference = x[:_PROBE], logits[:_PROBE]
    ordered = reference.topk(2, dim=1).values
    clear = (ordered[:, 0] - ordered[:, 1]) > tie(ordered[:, 0], ordered[:, 1])
    size = bench.batch_for(x)
    again = look(classifier.module, x[: max(size, _PROBE)], bench.device, size)[:_PROBE]
    if not torch.allclose(again, reference, rtol=1e-3, atol=1e-4):
        raise ModelError(
            f"{classifier.name}: two calls on the same images give different logits; a random layer (dropout, noise) "
            "is active, and such a classifier needs expectation over its randomness"
        )
    for small in (1, 7):
        other = look(classifier.module, probe, bench.device, small)
        differ = (other.argmax(1) != reference.argmax(1)) & clear
        if bool(differ.any()):
            raise ModelError(
                f"{classifier.name}: {int(differ.sum())} of {len(probe)} predictions change with the batch size "
                f"({small} instead of {size}); a layer mixes the samples of a batch"
            )


def _against_card(classifier: Classifier, samples: Samples, correct: int) -> tuple[float | None, tuple[str, ...]]:
    """The card's accuracy on this dataset, and a warning where the two are further apart than chance explains."""
    promised = classifier.card.accuracy.get(samples.dataset)
    if promised is None:
        return None, ()
    accuracy, n = promised[0] / promised[1], len(samples)
    low, high = clopper_pearson(correct, n, confidence=0.999)
    if low <= accuracy <= high:
        return accuracy, ()
    return accuracy, (
        f"clean accuracy {correct / n:.1%} (n={n}) is far from the card's {accuracy:.1%}: "
        "wrong normalisation, weights or data?",
    )


def _shape(size: tuple[int, ...]) -> str:
    return "x".join(str(part) for part in size)
