"""The labels that data have, and the option `labels` that explains them: numbers of classes, or names."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, StrictInt, StrictStr, WithJsonSchema

from robustbench_lite.errors import DataError, suggestion

__all__ = ["Labelled", "Labels", "Naming", "Raw", "folded", "labelled", "listed", "printable"]

Naming = Literal["numbers", "both", "names"]  # as in Samples
Raw = int | str | None  # a label as it is in the data
_MOST = 100_000  # classes; a larger label is an id, or a mistake
_LEFT_OUT = object()
_FORMS = "expected sorted, {from: 1}, a list of class names, or a mapping from labels to class numbers or names"


def folded(name: str) -> str:
    """What names are compared by: `T-shirt/top`, `t_shirt top` and `T-Shirt Top` are one class."""
    plain = unicodedata.normalize("NFKC", name).casefold()  # as systems of Apple take names apart
    # marks are vowels in some scripts
    return "".join(c for c in plain if c.isalnum() or unicodedata.category(c).startswith("M")) or plain


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first few, and how many more there are."""
    all_of_them = [printable(str(name)) for name in names]
    rest = len(all_of_them) - most
    return ", ".join(all_of_them[:most]) + (f" and {rest} more" if rest > 0 else "")


def printable(name: str) -> str:
    """A name of a file that is not Unicode with escapes, so that it can be stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def _sound(option: Any) -> Any:
    """Refuse what explains nothing, in one sentence instead of one for every alternative."""
    if option is None or option == "sorted":
        return option
    if isinstance(option, list | tuple) and option and all(isinstance(name, str) for name in option):
        if len({folded(name) for name in option}) < len(option):
            raise ValueError("two classes of the list have the same name")
        return option
    if isinstance(option, Mapping) and option:
        values = [value for value in option.values() if value is not None]
        numbers = [value for value in values if type(value) is int]
        if len(numbers) == len(values):
            if any(value < 0 for value in numbers) and set(option) != {"from"}:
                raise ValueError("expected class numbers from 0 on; null leaves samples out")
            return option
        if not numbers and all(isinstance(value, str) for value in values) and "from" not in option:
            return option
    raise ValueError(f"{_FORMS}, got {option!r}")


Labels = Annotated[
    Literal["sorted"] | dict[str, StrictInt | StrictStr | None] | tuple[StrictStr, ...] | None,
    BeforeValidator(_sound),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "sorted"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {"type": "object", "additionalProperties": {"type": ["integer", "string", "null"]}, "minProperties": 1},
                {"type": "null"},
            ]
        }
    ),
]


@dataclass(frozen=True)
class Labelled:
    """Labels (n,) of the samples at the places `kept`, and what they mean: `classes` and `naming` as in Samples."""

    labels: npt.NDArray[np.int64]
    kept: tuple[int, ...]
    classes: tuple[str, ...]
    naming: Naming

    def without(self, places: Container[int]) -> Labelled:
        """Those at other places."""
        left = [i for i, place in enumerate(self.kept) if place not in places]
        return replace(self, labels=self.labels[left], kept=tuple(self.kept[i] for i in left))

    @property
    def present(self) -> tuple[int, ...]:
        """The labels that occur."""
        return tuple(sorted(set(self.labels.tolist())))


def labelled(
    raw: Sequence[Raw],
    option: Any = None,
    names: Sequence[str] = (),
    *,
    where: Callable[[int], str],
    beside: Iterable[str] = (),
) -> Labelled:
    """Labels by `option`. `names` are those of numbers, `beside` classes without samples, `where` places a sample.

    Raises DataError for a label that is missing, negative, of another kind than the others, or not explained.
    """
    values, names = _explained(raw, option, names, where)
    kept = tuple(place for place, value in enumerate(values) if value is not _LEFT_OUT)
    values = [values[place] for place in kept]
    if not values:
        raise DataError(f"{where(0)}: labels: every sample is left out")
    _alike(values, kept, where)
    if option == "sorted":
        order = sorted(set(values))
        place_of = {value: place for place, value in enumerate(order)}
        return Labelled(_array(place_of[value] for value in values), kept, tuple(map(str, order)), "numbers")
    if isinstance(values[0], str):
        classes = tuple(sorted({*values, *beside}))
        place_of = {name: place for place, name in enumerate(classes)}
        return Labelled(_array(place_of[value] for value in values), kept, classes, "names")
    labels = _array(values)
    if int(labels.max()) < len(names):
        return Labelled(labels, kept, tuple(names), "both")
    return Labelled(labels, kept, tuple(str(number) for number in range(int(labels.max()) + 1)), "numbers")


def _array(values: Iterable[Any]) -> npt.NDArray[np.int64]:
    return np.fromiter(values, np.int64)


def _explained(
    raw: Sequence[Raw], option: Any, names: Sequence[str], where: Callable[[int], str]
) -> tuple[list[Any], Sequence[str]]:
    """What the option makes of every label, and the names of the numbers that come out."""
    if isinstance(option, dict) and set(option) == {"from"}:
        return [_shifted(value, option["from"], where(place)) for place, value in enumerate(raw)], ()
    if isinstance(option, dict):
        renumbered = any(isinstance(value, int) for value in option.values())
        return [_mapped(value, option, names, where(place)) for place, value in enumerate(raw)], (
            () if renumbered else names
        )
    if isinstance(option, tuple):
        place_of = {folded(name): place for place, name in enumerate(option)}
        return [_placed(value, option, place_of, where(place)) for place, value in enumerate(raw)], option
    return list(raw), names


def _shifted(value: Raw, start: int, place: str) -> Raw:
    """A number counted from 0, where the data count from `start`."""
    if value is None:
        return None
    if isinstance(value, str) and not _decimal(value):
        raise DataError(f"{place}: labels: {{from: {start}}} is for numbers, the label is {value!r}")
    if int(value) < start:
        raise DataError(f"{place}: the label {value} lies below {start}, where `labels` says that they start")
    return int(value) - start


def _mapped(value: Raw, option: Mapping[str, int | str | None], names: Sequence[str], place: str) -> Any:
    """What the option does not name stays as it is, where that is of the same kind as what others become."""
    known = names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    for key in ("null" if value is None else str(value), known):
        if key is not None and (as_written := _key_of(key, option)) is not None:
            return _LEFT_OUT if option[as_written] is None else option[as_written]
    kinds = {type(new) for new in option.values() if new is not None}
    if value is not None and kinds - {type(value)}:
        others = "class numbers" if int in kinds else "class names"
        raise DataError(
            f"{place}: labels: nothing for the label '{value}'{suggestion(str(value), option)}; where some become "
            f"{others}, all must, or null to be left out"
        )
    return value


def _key_of(label: str, option: Mapping[str, Any]) -> str | None:
    """The key that is this label, also where one of them is Unicode that was taken apart."""
    if label in option:
        return label
    return next((key for key in option if _composed(key) == _composed(label)), None)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _placed(value: Raw, option: Sequence[str], place_of: Mapping[str, int], place: str) -> Raw:
    """The number of a class in a list of all of them."""
    if isinstance(value, str):
        if folded(value) not in place_of:
            raise DataError(f"{place}: labels: '{value}' is not in the list{suggestion(value, option)}")
        return place_of[folded(value)]
    if value is not None and value >= len(option):
        raise DataError(f"{place}: the label is {value}, `labels` has {len(option)} names, for 0 to {len(option) - 1}")
    return value


def _alike(values: Sequence[Raw], kept: Sequence[int], where: Callable[[int], str]) -> None:
    """All of one kind, none missing, none negative. Raises DataError."""
    kind = str if any(isinstance(value, str) for value in values) else int
    for value, place in zip(values, kept, strict=True):
        if value is None:
            raise DataError(f"{where(place)}: there is no label; `labels: {{null: null}}` leaves such samples out")
        if not isinstance(value, kind):
            raise DataError(f"{where(place)}: the label is the number {value}, others are text")
        if isinstance(value, int) and value < 0:
            raise DataError(
                f"{where(place)}: the label is {value}, expected class numbers from 0 on; "
                f'`labels: {{"{value}": null}}` leaves such samples out'
            )
        if isinstance(value, int) and value >= _MOST:
            raise DataError(f"{where(place)}: the label is {value}, expected the number of a class")


def _decimal(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdecimal()
