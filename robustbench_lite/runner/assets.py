"""What a suite needs before it can run: every classifier and dataset, loaded once and on demand.

What cannot be loaded fails the cells that need it, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from robustbench_lite.datasets.base import DataSource, Samples, images
from robustbench_lite.datasets.classes import Classes, aligned
from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.pictures import Pictures
from robustbench_lite.engine.views import pairs
from robustbench_lite.errors import DataError, ModelError, RobustbenchError
from robustbench_lite.guards.foreign import blamed, trace, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.guards.memory import auto_batch_size
from robustbench_lite.lazy import torch
from robustbench_lite.models.attackable import attackable
from robustbench_lite.models.base import Classifier
from robustbench_lite.runner._samples import Selection, Shown, head
from robustbench_lite.runner.probing import Probe, answers, close, state_of
from robustbench_lite.runner.window import window
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.setting import Setting

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.suite.builder import Suite

__all__ = ["Assets", "Victim", "remember", "shown"]

K = TypeVar("K")
T = TypeVar("T")
_LOOKS = 100  # views that are looked at of each object: 60 MB of them at 224 x 224
_PROBED = 8  # images of which a few logits are kept


@dataclass(frozen=True)
class Victim:
    """What an attack runs against: how its logits are asked for, and its members where it is a mean of several."""

    scorer: Scorer
    members: tuple[nn.Module, ...]


@dataclass
class Assets:
    """Classifiers and data of a suite; remembers results and failures alike."""

    suite: Suite
    device: torch.device
    batch_size: int | None = None  # null: chosen by image size, on a GPU measured
    limit: int | None = None
    timeout: float | None = None  # seconds that loading, inspecting or probing a classifier may take
    _classifiers: dict[str, Classifier | RobustbenchError] = field(default_factory=dict)
    _raw: dict[str, Samples | RobustbenchError] = field(default_factory=dict)  # labels as the data have them
    _samples: dict[str, Samples | RobustbenchError] = field(default_factory=dict)
    _numbering: dict[str, str] = field(default_factory=dict)  # whose class numbers the labels are
    _fitting: dict[tuple[str, int], Samples | RobustbenchError] = field(default_factory=dict)
    _probes: dict[tuple[str, str], Probe] = field(default_factory=dict)
    _windows: dict[tuple[str, tuple[int, ...]], int] = field(default_factory=dict)
    _kept: dict[str, Any] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)  # of classifiers, when they were loaded first

    @property
    def name(self) -> str:
        return self.suite.name

    @property
    def seed(self) -> int:
        return self.suite.seed

    @property
    def models(self) -> tuple[str, ...]:
        """What the classifiers are called."""
        return tuple(model.title for model in self.suite.models)

    @property
    def data(self) -> tuple[str, ...]:
        """What the datasets are called."""
        return tuple(entry.name for entry in self.suite.data)

    @property
    def attacks(self) -> Mapping[str, Attack]:
        """The attacks by what tables call them."""
        return {entry.variant: entry.attack for entry in self.suite.attacks}

    def classifier(self, name: str) -> Classifier:
        """The classifier called `name`, on the device. Raises ModelError, the same one every time."""
        return remember(self._classifiers, name, lambda: self._load(name))

    def scorer(self, name: str, x: Pictures, setting: Setting | None = None) -> Scorer:
        """The same, asked about as many images like x (N, C, H, W), or views in the setting, as fit together."""
        classifier = self.classifier(name)
        return Scorer(name, classifier.module, self.device, self._window(classifier, x, setting))

    def victim(
        self, names: tuple[str, ...], shares: tuple[float, ...] | None, x: Pictures, setting: Setting | None = None
    ) -> Victim:
        """What an attacker sees of the classifiers `names`: the one, or the mean of their probabilities."""
        if len(names) == 1:
            return Victim(self.scorer(names[0], x, setting), ())
        classifiers = [self.classifier(name) for name in names]
        if len({classifier.card.classes for classifier in classifiers}) > 1:
            raise ModelError(f"{', '.join(names)}: expected the same classes in all of them to take the mean of")
        if shares is not None and len(shares) != len(names):
            raise ModelError(f"weights: expected {len(names)}, one for each of {', '.join(names)}, got {len(shares)}")
        from robustbench_lite.engine.mixture import Mixture  # its class statement needs torch

        members = tuple(classifier.module for classifier in classifiers)
        mean = Mixture(members, shares).eval()
        size = min(self._window(classifier, x, setting) for classifier in classifiers)
        return Victim(Scorer("+".join(names), mean, self.device, size), members)

    def samples(self, name: str) -> Samples:
        """The selected samples of dataset `name`; with `keep: correct_by_all` the pool they are kept from.

        Labels are class numbers of the first classifier that they fit. Raises DataError.
        """
        return remember(self._samples, name, lambda: self._labelled(name))

    def _loaded(self, name: str) -> Samples:
        """The same with labels as the data have them; a folder takes minutes to read."""

        def load() -> Samples:
            with blamed(name, DataError, "load"):
                return self._selection.pool(name)

        return remember(self._raw, name, load)

    def _labelled(self, name: str) -> Samples:
        raw, refused = self._loaded(name), list[DataError]()
        for model in self.models:
            try:
                samples = aligned(raw, _classes(self.classifier(model)))
            except DataError as error:
                refused.append(error)
            except RobustbenchError:  # it cannot be loaded, which its own cells say
                continue
            else:
                self._numbering[name] = model
                return samples
        if refused:
            raise refused[0]
        return raw

    def check_labels(self, data: str, model: str) -> None:
        """The samples have one label each, so all classifiers must number the classes alike. Raises DataError."""
        raw, samples = self._loaded(data), self.samples(data)
        own = aligned(raw, _classes(self.classifier(model)))
        if not (own.labels == samples.labels).all():
            raise DataError(
                f"{model} numbers the classes of dataset '{samples.dataset}' otherwise than {self._numbering[data]}, "
                "by their names; put it into a suite of its own"
            )

    def fitting(self, name: str, n: int) -> Samples:
        """N samples to fit on, none of which is tested: of `fit_from`, or those next in rank. Raises DataError."""

        def load() -> Samples:
            with blamed(name, DataError, "load"):
                return self._selection.fitting(name, n, self.samples(name))

        return remember(self._fitting, (name, n), load)

    @property
    def _selection(self) -> Selection:
        return Selection(self.suite, self.limit)

    def wanted(self, name: str) -> int | None:
        """How many samples of dataset `name` the suite asks for; None: all there are."""
        return self._selection.wanted(name)

    def source(self, name: str) -> DataSource:
        """Where dataset `name` comes from."""
        return self._selection.source(name)

    def published(self) -> dict[str, dict[str, str]]:
        """What the papers call the classifiers that could be loaded."""
        loaded = {name: entry for name, entry in self._classifiers.items() if isinstance(entry, Classifier)}
        return {name: dict(entry.card.published) for name, entry in loaded.items() if entry.card.published}

    def class_names(self) -> dict[str, list[str]]:
        """The names of the classes of every dataset that could be loaded."""
        loaded = {name: entry for name, entry in self._samples.items() if isinstance(entry, Samples)}
        return {name: list(samples.classes) for name, samples in loaded.items()}

    def data_notes(self) -> dict[str, list[str]]:
        """What was decided about pixels and labels, of every dataset that says so."""
        loaded = {name: entry for name, entry in self._samples.items() if isinstance(entry, Samples)}
        return {name: list(samples.notes) for name, samples in loaded.items() if samples.notes}

    def kept(self, name: str, read: Callable[[], T]) -> T:
        """What attacks ask for beside classifiers and data, read once, or not. Raises RobustbenchError."""
        return remember(cast("dict[str, T | RobustbenchError]", self._kept), name, read)

    def batch_for(self, x: Pictures, setting: Setting | None = None, draws: int = 1) -> int:
        """How many images like x (N, C, H, W), or views in the setting, a classifier of so many draws looks at."""
        return self.batch_size or auto_batch_size(_seen(x, setting), self.device, draws)

    def _window(self, classifier: Classifier, x: Pictures, setting: Setting | None) -> int:
        """The same, where nobody has chosen it found on a GPU."""
        if self.batch_size is not None or self.device.type != "cuda":
            return self.batch_for(x, setting, classifier.draws)
        key = classifier.name, tuple(_seen(x, setting).shape[1:])
        if key not in self._windows:
            self._windows[key] = window(classifier, self.device, key[1])
        return self._windows[key]

    def _load(self, name: str) -> Classifier:
        source = next(model for model in self.suite.models if model.title == name)
        with blamed(name, ModelError, "load"), undisturbed(), limited(self.timeout):
            classifier = attackable(source, self.suite.root)
            classifier.module.to(self.device)
            state = state_of(classifier.module)
        if self._states.setdefault(name, state) != state:
            raise ModelError(
                f"{name}: a cell has changed its parameters or buffers, and loading it again gives others than at first"
            )
        return classifier

    def changed(self, names: Iterable[str]) -> list[str]:
        """Which classifiers are no longer what was loaded; they are loaded anew when somebody asks for them."""
        others = [name for name in names if self._has_changed(name)]
        for name in others:
            del self._classifiers[name]
        return others

    def _has_changed(self, name: str) -> bool:
        loaded = self._classifiers.get(name)
        if not isinstance(loaded, Classifier):
            return False
        before = [(data, probe) for (data, model), probe in self._probes.items() if model == name and probe]
        return state_of(loaded.module) != self._states[name] or any(
            not close(probe, self._answers(data, name)) for data, probe in before
        )

    def probe(self, data: str, name: str) -> Probe:
        """What a classifier says of the first images, a few numbers each: has it changed? Empty where it fails.

        Only of classifiers whose code is the user's: what others compute is all in `weights` and `code`.
        """
        if not self.classifier(name).opaque:
            return ()
        key = (data, name)
        if key not in self._probes:
            self._probes[key] = self._answers(data, name)
        return self._probes[key]

    def _answers(self, data: str, name: str) -> Probe:
        """About the first images, or views of the first object."""
        x = shown(head(self.samples(data), _PROBED), looks=_PROBED)[:_PROBED]
        return answers(Scorer(name, self.classifier(name).module, self.device, len(x)), x, self.timeout)


def remember(memo: dict[K, T | RobustbenchError], key: K, make: Callable[[], T]) -> T:
    """What `make` has returned, or raised, when it was asked first."""
    if key not in memo:
        try:
            memo[key] = make()
        except RobustbenchError as error:
            error.traceback = error.traceback or trace(error)
            memo[key] = error
    value = memo[key]
    if isinstance(value, RobustbenchError):
        raise value.with_traceback(None)  # frames, and the tensors in them, need not live on with it
    return value


def shown(samples: Samples, looks: int = _LOOKS) -> Pictures:
    """What classifiers are shown of the samples: the images, or `looks` views of each where there is a scene."""
    views = None if samples.scene is None else samples.scene.views
    if views is None:
        return Shown(samples)
    x = images(samples)
    row, number = next(pairs(len(x), looks, len(x) * looks))
    return views.see(x[row], Draw(keys(0, "inspect", samples.ids)[row]), number)


def _seen(x: Pictures, setting: Setting | None) -> torch.Tensor:
    """Something of the shape of what classifiers are shown of images x (N, C, H, W) in the setting."""
    screen = None if setting is None else setting.screen
    return torch.empty((1, *(x.shape[1:] if screen is None else screen)), device="meta")


def _classes(classifier: Classifier) -> Classes:
    card = classifier.card
    return Classes(classifier.name, card.classes, card.labels if len(card.labels) == card.classes else ())
