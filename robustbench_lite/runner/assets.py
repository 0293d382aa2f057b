"""What a suite needs on the table before it can run: every classifier and dataset loaded once, and inspected.

Inspection happens before any attack: outputs are logits, finite, the same for every batch size and every call; clean
accuracy agrees with the card. What fails here fails the cells of that classifier, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from robustbench_lite.datasets.base import DataSource, Samples, images, padded
from robustbench_lite.datasets.classes import Classes, aligned
from robustbench_lite.datasets.common import balanced
from robustbench_lite.engine.inspection import Asked, doubts_about, looked
from robustbench_lite.engine.judge import look, pooled
from robustbench_lite.engine.views import pairs
from robustbench_lite.errors import DataError, ModelError, RobustbenchError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.guards.memory import auto_batch_size
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Classifier
from robustbench_lite.results.schema import Caveat
from robustbench_lite.results.statistics import clopper_pearson
from robustbench_lite.runner.probing import Probe, answers, close, state_of
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.setting import Setting

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.suite.builder import Suite

__all__ = ["Bench", "Inspection", "Victim", "images", "shown"]

T = TypeVar("T")
_POOL = 4  # times as many samples as wanted are looked through for those that every classifier gets right
_LOOKS = 100  # views that are looked at of each object: 60 MB of them at 224 x 224
_PROBED = 8  # images of which a few logits are kept


@dataclass(frozen=True)
class Inspection:
    """A classifier on a dataset's clean images: logits (N, K) on the CPU, and what a reader must know."""

    logits: torch.Tensor
    accuracy: float
    card_accuracy: float | None
    warnings: tuple[Caveat, ...]


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
    timeout: float | None = None  # seconds that loading, inspecting or probing a classifier may take
    _classifiers: dict[str, Classifier | RobustbenchError] = field(default_factory=dict)
    _raw: dict[str, Samples | RobustbenchError] = field(default_factory=dict)  # labels as the data have them
    _samples: dict[str, Samples | RobustbenchError] = field(default_factory=dict)
    _numbering: dict[str, str] = field(default_factory=dict)  # whose class numbers the labels are
    _fitting: dict[tuple[str, int], Samples] = field(default_factory=dict)
    _inspections: dict[tuple[str, str], Inspection | RobustbenchError] = field(default_factory=dict)
    _probes: dict[tuple[str, str], Probe] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)  # of classifiers, when they were loaded first

    def classifier(self, name: str) -> Classifier:
        """The classifier called `name`, on the bench's device. Raises ModelError, the same one every time."""
        if name not in self._classifiers:
            self._classifiers[name] = self._load(name)
        return _unwrap(self._classifiers[name])

    def samples(self, name: str) -> Samples:
        """The selected samples of dataset `name`; with `keep: correct_by_all` the pool they are kept from.

        Labels are class numbers of the first classifier that they fit. Raises DataError.
        """
        if name not in self._samples:
            try:
                self._samples[name] = self._labelled(name)
            except RobustbenchError as error:  # every cell asks for them, and a folder takes minutes to read
                self._samples[name] = error
        return _unwrap(self._samples[name])

    def _loaded(self, name: str) -> Samples:
        """The same with labels as the data have them."""
        if name not in self._raw:
            try:
                with blamed(name, DataError, "load"):
                    self._raw[name] = padded(self._pool(name), self._source(name).pad)
            except RobustbenchError as error:
                self._raw[name] = error
        return _unwrap(self._raw[name])

    def _labelled(self, name: str) -> Samples:
        raw, refused = self._loaded(name), list[DataError]()
        for model in self.suite.models:
            try:
                samples = aligned(raw, _classes(self.classifier(model.title)))
            except DataError as error:
                refused.append(error)
            except RobustbenchError:  # it cannot be loaded, which its own cells say
                continue
            else:
                self._numbering[name] = model.title
                return samples
        if refused:
            raise refused[0]
        return raw

    def fitting(self, name: str, n: int) -> Samples:
        """N samples to fit on, none of which is tested: of `fit_from`, or those next in rank. Raises DataError."""
        if (name, n) not in self._fitting:
            with blamed(name, DataError, "load"):
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
                classifier, samples, canvas = self.classifier(model), self.samples(data), self._source(data).pad > 0
                self._check_labels(data, model)
                with blamed(model, ModelError, "inspect"), undisturbed(), limited(self.timeout):
                    self._inspections[key] = _inspect(classifier, samples, self, canvas=canvas)
            except RobustbenchError as error:
                self._inspections[key] = error
        return _unwrap(self._inspections[key])

    def _check_labels(self, data: str, model: str) -> None:
        """The samples have one label each, so all classifiers must number the classes alike. Raises DataError."""
        raw, samples = self._loaded(data), self.samples(data)
        own = aligned(raw, _classes(self.classifier(model)))
        if not (own.labels == samples.labels).all():
            raise DataError(
                f"{model} numbers the classes of dataset '{samples.dataset}' otherwise than {self._numbering[data]}, "
                "by their names; put it into a suite of its own"
            )

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
        from robustbench_lite.engine.mixture import Mixture  # its class statement needs torch

        members = tuple(classifier.module for classifier in found)
        return Victim(Mixture(members, shares).eval(), members, shares)

    def clean_logits(self, data: str, names: tuple[str, ...], shares: tuple[float, ...] | None) -> torch.Tensor:
        """Logits (N, K) on the pool of what `victim` gives, from those of its members."""
        logits = [self.inspect(data, name).logits for name in names]
        if len(logits) == 1:
            return logits[0]
        from robustbench_lite.engine.mixture import mix

        return mix(logits, shares)

    def published(self) -> dict[str, dict[str, str]]:
        """What the papers call the classifiers that could be loaded."""
        loaded = {name: entry for name, entry in self._classifiers.items() if isinstance(entry, Classifier)}
        return {name: dict(entry.card.published) for name, entry in loaded.items() if entry.card.published}

    def class_names(self) -> dict[str, list[str]]:
        """The names of the classes of every dataset that could be loaded."""
        loaded = {name: entry for name, entry in self._samples.items() if isinstance(entry, Samples)}
        return {name: list(samples.classes) for name, samples in loaded.items()}

    def batch_for(self, x: torch.Tensor, setting: Setting | None = None) -> int:
        """How many images like x (N, C, H, W), or views in the setting, a classifier looks at together."""
        screen = None if setting is None else setting.screen
        like = x if screen is None else torch.empty((1, *screen), device="meta")
        return self.batch_size or auto_batch_size(like, self.device)

    def _load(self, name: str) -> Classifier | RobustbenchError:
        source = next(model for model in self.suite.models if model.title == name)
        try:
            with blamed(name, ModelError, "load"), undisturbed(), limited(self.timeout):
                classifier = source.load(self.suite.root)
                classifier.module.to(self.device)
                state = state_of(classifier.module)
        except RobustbenchError as error:
            return error
        if self._states.setdefault(name, state) != state:
            return ModelError(
                f"{name}: a cell has changed its parameters or buffers, and loading it again gives others than at first"
            )
        return classifier

    def changed(self, names: Iterable[str]) -> list[str]:
        """Which classifiers are no longer what was loaded; they are loaded anew when somebody asks for them."""
        found = [name for name in names if self._has_changed(name)]
        for name in found:
            del self._classifiers[name]
            self._inspections = {key: value for key, value in self._inspections.items() if key[1] != name}
        return found

    def _has_changed(self, name: str) -> bool:
        loaded = self._classifiers.get(name)
        if not isinstance(loaded, Classifier):
            return False
        before = [(data, probe) for (data, model), probe in self._probes.items() if model == name and probe]
        return state_of(loaded.module) != self._states[name] or any(
            not close(probe, answers(loaded, self._probed(data), self.device, self.timeout)) for data, probe in before
        )

    def probe(self, data: str, name: str) -> Probe:
        """What a classifier says of the first images, a few numbers each: has it changed? Empty where it fails.

        Only of classifiers whose code is the user's: what others compute is all in `weights` and `code`.
        """
        if not self.classifier(name).opaque:
            return ()
        key = (data, name)
        if key not in self._probes:
            self._probes[key] = answers(self.classifier(name), self._probed(data), self.device, self.timeout)
        return self._probes[key]

    def _probed(self, data: str) -> torch.Tensor:
        """The first images, or views of the first object."""
        return shown(head(self.samples(data), _PROBED), looks=_PROBED)[:_PROBED]


def shown(samples: Samples, looks: int = _LOOKS) -> torch.Tensor:
    """What classifiers are shown of the samples: the images, or `looks` views of each where there is a scene."""
    x = images(samples)
    views = None if samples.scene is None else samples.scene.views
    if views is None:
        return x
    row, number = next(pairs(len(x), looks, len(x) * looks))
    return views.see(x[row], Draw(keys(0, "inspect", samples.ids)[row]), number)


def _classes(classifier: Classifier) -> Classes:
    card = classifier.card
    return Classes(classifier.name, card.classes, card.labels if len(card.labels) == card.classes else ())


def _unwrap(value: T | RobustbenchError) -> T:
    if isinstance(value, RobustbenchError):
        raise value
    return value


def head(samples: Samples, n: int) -> Samples:
    """The first n by hash rank (the order in which sources deliver)."""
    return replace(samples, ids=samples.ids[:n], images=samples.images[:n], labels=samples.labels[:n])


def _inspect(classifier: Classifier, samples: Samples, bench: Bench, *, canvas: bool) -> Inspection:
    x = shown(samples)
    _check_size(classifier, samples, x, bench.device, canvas=canvas)
    asked = Asked(classifier.name, classifier.module, bench.device, bench.batch_for(x))
    logits = looked(asked, x, classifier.card.classes)
    labels = torch.from_numpy(samples.labels).repeat_interleave(len(x) // len(samples))
    correct = int((logits.argmax(1) == labels).sum())
    card, doubt = _against_card(classifier, samples, correct)
    return Inspection(
        logits if samples.scene is None else pooled(logits, len(samples)),
        correct / len(x),
        card,
        (
            *(Caveat("other", text) for text in classifier.warnings),
            *doubt,
            *(Caveat("outputs", text) for text in doubts_about(logits)),
        ),
    )


def _check_size(
    classifier: Classifier, samples: Samples, x: torch.Tensor, device: torch.device, *, canvas: bool
) -> None:
    """The card's size, or on a canvas any that the classifier can look at."""
    name, dataset = classifier.name, samples.dataset
    expected, size = tuple(classifier.card.size), tuple(x.shape[1:])
    if canvas and size[0] == expected[0]:
        try:
            look(classifier.module, x[:1], device, 1)
        except Exception:  # noqa: BLE001  (whatever its code raises for another size)
            raise DataError(
                f"{name} takes images of {_shape(expected)} only, dataset '{dataset}' has {_shape(size)}; "
                "leave out pad, or this classifier"
            ) from None
    elif size != expected:
        raise DataError(
            f"{name} takes images of {_shape(expected)}, dataset '{dataset}' has {_shape(size)}; "
            f"{_advice(size, expected, plain=samples.scene is None)}"
        )


def _advice(size: tuple[int, ...], expected: tuple[int, ...], *, plain: bool) -> str:
    """Options that make images of `size` those that are expected, where there are any."""
    wanted = [f"size: {expected[1]}"] if size[1:] != expected[1:] else []
    wanted += [f"channels: {expected[0]}"] if size[0] != expected[0] else []
    if expected[1] != expected[2] or (size[0] != expected[0] and (expected[0] not in {1, 3} or not plain)):
        return "no option makes these of those: use other data, or wrap the classifier in one that converts images"
    return f"say `{', '.join(wanted)}` on the dataset"


def _against_card(classifier: Classifier, samples: Samples, correct: int) -> tuple[float | None, tuple[Caveat, ...]]:
    """The card's accuracy on this dataset, and a warning where the two are further apart than chance explains."""
    promised = classifier.card.accuracy.get(samples.dataset)
    if promised is None:
        return None, ()
    accuracy, n = promised[0] / promised[1], len(samples)
    low, high = clopper_pearson(correct, n, confidence=0.999)
    if low <= accuracy <= high:
        return accuracy, ()
    said = f"clean accuracy {correct / n:.1%} (n={n}) is far from the card's {accuracy:.1%}"
    return accuracy, (Caveat("clean_accuracy", f"{said}: wrong normalisation, weights or data?"),)


def _shape(size: tuple[int, ...]) -> str:
    return "x".join(str(part) for part in size)
