"""How the labels of data meet the classes of a classifier: by name where both have names, else by number, or refused.

A class that is missing from the data shifts nothing. Nothing is guessed: what is not clear is a sentence that asks for
`labels`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robustbench_lite.datasets._labels import folded, listed, printable
from robustbench_lite.datasets.base import Samples
from robustbench_lite.errors import DataError, suggestion
from robustbench_lite.text import plural

__all__ = ["Classes", "aligned"]

_SYNSET = re.compile(r"n\d{8}")  # how ImageNet names its folders
_IMAGENET = 1000
_TOLD = 5  # classes that a note names


@dataclass(frozen=True)
class Classes:
    """What a classifier says of its classes: how many, and their names where its card has them."""

    classifier: str
    count: int
    names: tuple[str, ...] = ()

    def number_of(self) -> dict[str, int]:
        """Numbers by folded name; names that two classes share are left out."""
        often = Counter(folded(name) for name in self.names)
        return {folded(name): number for number, name in enumerate(self.names) if often[folded(name)] == 1}


def aligned(samples: Samples, classes: Classes) -> Samples:
    """The samples with labels that are the classifier's class numbers. Raises DataError where they cannot be."""
    present = samples.present or tuple(sorted(set(samples.labels.tolist())))
    if samples.naming == "names":
        return _by_name(samples, present, classes)
    if samples.naming == "both" and samples.scene is None:
        mapping = _same_names(samples, present, classes)
        if mapping is not None and all(label == number for label, number in mapping.items()):
            return replace(samples, classes=classes.names)
        if mapping is not None:
            return _renumbered(samples, mapping, classes, ())
    _within(samples, present, classes)
    first = present[0] == 1 and len(present) > 1
    doubt = (f"{samples.dataset}: no sample has the label 0; where labels start at 1, say `labels: {{from: 1}}`",)
    return replace(samples, warnings=(*samples.warnings, *(doubt if first else ())))


def _within(samples: Samples, present: Sequence[int], classes: Classes) -> None:
    """Every label is a class of the classifier."""
    beyond = [label for label in present if label >= classes.count]
    if not beyond:
        return
    if samples.scene is not None:
        advice = "say its class with `label` on the dataset"
    elif present[0] == 1 and present[-1] == classes.count:
        advice = "labels that start at 1 need `labels: {from: 1}` on the dataset"
    elif len(present) <= classes.count:
        advice = (
            f"say which is which with `labels: {{{beyond[0]}: ...}}` on the dataset; "
            "`labels: sorted` numbers them in sorted order"
        )
    else:
        advice = f"this is another task; `labels: {{{beyond[0]}: null}}` would leave samples out"
    raise DataError(
        f"dataset '{samples.dataset}' has the labels {listed(present, 12)}, "
        f"{classes.classifier} the classes 0 to {classes.count - 1}; {advice}"
    )


def _same_names(samples: Samples, present: Sequence[int], classes: Classes) -> dict[int, int] | None:
    """From the data's numbers to the classifier's where the names tell; None: where they do not.

    Raises DataError where some names agree, and others do not.
    """
    known, names = classes.number_of(), samples.classes
    ours = [folded(name) for name in names]
    theirs = [folded(name) for name in classes.names]
    if not theirs:
        return None
    if all(label < len(theirs) and ours[label] == theirs[label] for label in present):
        return {label: label for label in present}
    met = {label: known[ours[label]] for label in present if ours[label] in known}
    if len(met) == len(present):
        return met
    if len(names) == classes.count and all(label == number for label, number in met.items()):
        return None  # other words for the same classes, in the same order
    raise DataError(_unclear(samples, present, classes, met))


def _by_name(samples: Samples, present: Sequence[int], classes: Classes) -> Samples:
    """Labels that are names and nothing else."""
    known = classes.number_of()
    met = {label: known[name] for label in present if (name := folded(samples.classes[label])) in known}
    if len(met) == len(present):
        return _renumbered(samples, met, classes, ())
    if not met:
        for way in (_as_synsets, _as_numbers, _in_order):
            found = way(samples, present, classes)
            if found is not None:
                return _renumbered(samples, found[0], classes, found[1])
    raise DataError(_unclear(samples, present, classes, met))


Found = tuple[dict[int, int], tuple[str, ...]]


def _as_synsets(samples: Samples, present: Sequence[int], classes: Classes) -> Found | None:
    """ImageNet's own names of its folders are its classes, also where some are missing."""
    names = [samples.classes[label] for label in present]
    if classes.count != _IMAGENET or not all(map(_SYNSET.fullmatch, names)):
        return None
    from timm.data.imagenet_info import ImageNetInfo  # seconds of import, paid only by those who use it

    known: Any = ImageNetInfo()
    number_of = {name: number for number, name in enumerate(known.label_names())}
    if not all(name in number_of for name in names):
        return None
    return {label: number_of[name] for label, name in zip(present, names, strict=True)}, ()


def _as_numbers(samples: Samples, present: Sequence[int], classes: Classes) -> Found | None:
    """Names that are numbers mean these numbers."""
    numbers = _numbers(samples, present)
    if numbers is None or max(numbers) >= classes.count:
        return None
    doubt = ""
    if numbers != sorted(numbers) and samples.sortable:
        doubt = (
            f"{samples.dataset}: folders are taken for class numbers; for a classifier that was trained with "
            "torchvision's ImageFolder, which sorts them as text (1, 10, 11, 2), say `labels: sorted`"
        )
    return dict(zip(present, numbers, strict=True)), ((doubt,) if doubt else ())


def _numbers(samples: Samples, present: Sequence[int]) -> list[int] | None:
    """The names of the classes that are present as numbers; None: they are no numbers, or not different ones."""
    names = [samples.classes[label] for label in present]
    if not all(name.isascii() and name.isdecimal() and len(name) < 10 for name in names):
        return None
    numbers = [int(name) for name in names]
    return numbers if len(set(numbers)) == len(numbers) else None


def _in_order(samples: Samples, present: Sequence[int], classes: Classes) -> Found | None:
    """As many folders as the classifier has classes: places in sorted order, as torchvision's ImageFolder has them."""
    if not samples.sortable or classes.count not in {len(present), len(samples.classes)}:
        return None
    numbers = _numbers(samples, present)
    if numbers is not None and numbers != sorted(numbers):
        return None  # as text or as numbers?
    order = present if len(present) == classes.count else range(len(samples.classes))
    said: tuple[str, ...] = ()
    if numbers is not None or (classes.names and not all(map(_SYNSET.fullmatch, samples.classes))):
        others = f"; {classes.classifier} calls its classes {listed(classes.names)}" if classes.names else ""
        names = listed(samples.classes[label] for label in present)
        said = (f"{samples.dataset}: the folders {names} are taken as the classes from 0 on, in sorted order{others}",)
    return {label: number for number, label in enumerate(order)}, said


def _unclear(samples: Samples, present: Sequence[int], classes: Classes, met: Mapping[int, int]) -> str:
    """What is not clear, and how to say it."""
    names = [samples.classes[label] for label in present]
    strange = [samples.classes[label] for label in present if label not in met]
    theirs = f" ({listed(classes.names)})" if classes.names else " without names"
    numbers = _numbers(samples, present)
    hint = "`labels: sorted` numbers them in sorted order"
    if numbers is not None and (min(numbers), max(numbers)) == (1, classes.count):
        hint = "`labels: {from: 1}` where they are numbers from 1"
    start = f"dataset '{samples.dataset}' has {len(names)} classes ({listed(names)}), "
    if met:
        return (
            f"{start}of which {classes.classifier} does not know {listed(strange)}"
            f"{suggestion(strange[0], classes.names)}; say which class each is, or null to leave it out, with "
            f"`labels: {{{_quoted(strange[0])}: ...}}` on the dataset"
        )
    return (
        f"{start}{classes.classifier} has {classes.count}{theirs}; say which is which with "
        f"`labels: {{{_quoted(names[0])}: 0, ...}}` on the dataset ({hint})"
    )


def _quoted(name: str) -> str:
    return name if name.replace("_", "").isalnum() else f'"{name}"'


def _renumbered(samples: Samples, mapping: Mapping[int, int], classes: Classes, said: tuple[str, ...]) -> Samples:
    """The samples under the classifier's numbers; a class without samples is said where names made the match."""
    table = np.full(max((*mapping, 0)) + 1, -1, np.int64)
    for label, number in mapping.items():
        table[label] = number
    names = list(classes.names) or [str(number) for number in range(classes.count)]
    if not classes.names:
        for label, number in mapping.items():
            names[number] = samples.classes[label]
    present = tuple(sorted(mapping[label] for label in samples.present or set(samples.labels.tolist())))
    absent = [names[number] for number in range(classes.count) if number not in set(present)]
    if absent:
        which = f"the class {absent[0]}" if len(absent) == 1 else f"{len(absent)} of {classes.count} classes: "
        which += "" if len(absent) == 1 else listed(absent)
        said = (*said, f"{samples.dataset}: no sample of {which}")
    return replace(
        samples,
        labels=table[samples.labels],
        classes=tuple(names),
        naming="numbers",
        present=present,
        warnings=(*samples.warnings, *said),
        decided=(*samples.decided, *_moved(samples, mapping, classes)),
    )


def _moved(samples: Samples, mapping: Mapping[int, int], classes: Classes) -> tuple[str, ...]:
    """A sentence on names that became numbers; none where the names are these numbers."""
    pairs = [(samples.classes[label], number) for label, number in sorted(mapping.items())]
    if all(name.isascii() and name.isdecimal() and int(name) == number for name, number in pairs):
        return ()
    told = ", ".join(printable(f"{name} {number}") for name, number in pairs[:_TOLD])
    rest = len(pairs) - _TOLD
    more = f" and {plural(rest, 'other class', 'other classes')} likewise" if rest > 0 else ""
    return (f"{samples.dataset}: labels are the class numbers of {classes.classifier}: {told}{more}",)
