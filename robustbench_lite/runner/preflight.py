"""Is a classifier fit to be attacked on these data? Looked at once, before anything is attacked.

Outputs are logits, finite, the same for every batch size and every call; sizes and class numbers are those of the data;
clean accuracy agrees with the card. What fails here fails the cells of that classifier, and nothing else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial

from robustbench_lite.datasets.base import Samples, images
from robustbench_lite.datasets.selection import balanced
from robustbench_lite.datasets.stream import close
from robustbench_lite.engine.certificate import Certificate
from robustbench_lite.engine.inspection import Scorer, doubts_about, drawn, looked
from robustbench_lite.engine.judge import pooled
from robustbench_lite.engine.pictures import Pictures
from robustbench_lite.engine.slopes import misleading
from robustbench_lite.errors import DataError, ModelError, RobustbenchError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.guards.limits import limited
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Classifier
from robustbench_lite.results.schema import Caveat
from robustbench_lite.results.statistics import clopper_pearson
from robustbench_lite.runner._samples import size_of
from robustbench_lite.runner.assets import Assets, remember, shown
from robustbench_lite.runner.proofs import Proofs

__all__ = ["Inspection", "Preflight"]


@dataclass(frozen=True)
class Inspection:
    """A classifier on a dataset's clean images: logits (N, K) on the CPU, and what a reader must know."""

    logits: torch.Tensor
    accuracy: float
    card_accuracy: float | None
    warnings: tuple[Caveat, ...]
    pace: float  # seconds that an image took in a forward pass
    certificate: Certificate | None = None  # of the N samples; null: the classifier comes with none


@dataclass
class Preflight:
    """Inspects every classifier once on every dataset, and again where it had to be loaded anew."""

    assets: Assets
    proofs: Proofs = field(default_factory=Proofs)
    _inspections: dict[str, tuple[Classifier, dict[str, Inspection | RobustbenchError]]] = field(default_factory=dict)

    def inspect(self, data: str, model: str) -> Inspection:
        """Clean logits and warnings. Raises ModelError or DataError where the contract is broken."""
        classifier = self.assets.classifier(model)
        if model not in self._inspections or self._inspections[model][0] is not classifier:
            self._inspections[model] = classifier, {}
        return remember(self._inspections[model][1], data, partial(self._inspect, data, classifier))

    def _inspect(self, data: str, classifier: Classifier) -> Inspection:
        assets = self.assets
        samples, canvas = assets.samples(data), assets.source(data).pad > 0
        assets.check_labels(data, classifier.name)
        with blamed(classifier.name, ModelError, "inspect"), undisturbed(), limited(assets.timeout):
            x = shown(samples)
            scorer = assets.scorer(classifier.name, x)
            _check_size(scorer, classifier, samples, x, canvas=canvas)
            if classifier.check is not None:
                classifier.check(x[drawn(x)])
            start = time.perf_counter()
            try:
                logits = looked(scorer, x, classifier.card.classes)
            finally:
                close(samples.images)
            pace = (time.perf_counter() - start) / len(samples)
            inspection = _inspection(classifier, samples, logits, tuple(misleading(scorer, x)), pace)
            if classifier.certify is None or samples.scene is not None:
                return inspection
            return replace(inspection, certificate=classifier.certify(images(samples), samples.ids, assets.seed))

    def kept(self, data: str) -> torch.Tensor:
        """Indices of the samples that take part: all, or the first that every classifier gets right."""
        source, labels = self.assets.source(data), self.assets.samples(data).labels
        if source.keep == "all":
            return torch.arange(len(labels))
        right = torch.ones(len(labels), dtype=torch.bool)
        for model in self.assets.models:
            right &= self.inspect(data, model).logits.argmax(1) == torch.from_numpy(labels)
        index, wanted = right.nonzero()[:, 0].tolist(), self.assets.wanted(data)
        if source.stratified and wanted is not None:
            return torch.tensor(balanced(labels[index], wanted, index))
        return torch.tensor(index[:wanted], dtype=torch.int64)

    def clean_logits(self, data: str, names: tuple[str, ...], shares: tuple[float, ...] | None) -> torch.Tensor:
        """Logits (N, K) on the pool of what an attacker sees of the classifiers: the one, or their mean."""
        logits = [self.inspect(data, name).logits for name in names]
        if len(logits) == 1:
            return logits[0]
        from robustbench_lite.engine.mixture import mix

        return mix(logits, shares)


def _inspection(
    classifier: Classifier, samples: Samples, logits: torch.Tensor, slopes: tuple[str, ...], pace: float
) -> Inspection:
    """What the logits (N * views, K) on the clean images say; `slopes`: what is wrong with the gradient."""
    labels = torch.from_numpy(samples.labels).repeat_interleave(len(logits) // len(samples))
    correct = int((logits.argmax(1) == labels).sum())
    card, doubt = _against_card(classifier, samples, correct)
    return Inspection(
        logits if samples.scene is None else pooled(logits, len(samples)),
        correct / len(logits),
        card,
        (
            *(Caveat("other", text) for text in classifier.warnings),
            *doubt,
            *(Caveat("outputs", text) for text in doubts_about(logits)),
            *(Caveat("gradients", text) for text in slopes),
        ),
        pace,
    )


def _check_size(scorer: Scorer, classifier: Classifier, samples: Samples, x: Pictures, *, canvas: bool) -> None:
    """The card's size, or on a canvas any that the classifier can look at."""
    name, dataset = classifier.name, samples.dataset
    expected, size = tuple(classifier.card.size), tuple(x.shape[1:])
    if canvas and size[0] == expected[0]:
        try:
            scorer.logits(x[:1])
        except Exception:  # noqa: BLE001  (whatever its code raises for another size)
            raise DataError(
                f"{name} takes images of {size_of(expected)} only, dataset '{dataset}' has {size_of(size)}; "
                "leave out pad, or this classifier"
            ) from None
    elif size != expected:
        raise DataError(
            f"{name} takes images of {size_of(expected)}, dataset '{dataset}' has {size_of(size)}; "
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
