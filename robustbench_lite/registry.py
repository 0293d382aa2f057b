"""Records that are built by name from YAML: `Config` declares parameters once, `Registry` finds the record.

From a declaration come the YAML keys, the validation, the JSON schema, `describe`, the docs, the `params` column and
the cell id. Adding something is one class with one decorator.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path as FilePath
from pkgutil import iter_modules
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticKnownError
from pydantic_core.core_schema import no_info_before_validator_function

from robustbench_lite.errors import Problem, SuiteError, did_you_mean, problems_of
from robustbench_lite.guards.foreign import told

__all__ = ["Config", "Number", "Records", "Registry", "canonical", "fingerprint", "fraction", "one_of"]

_DECIMAL = r"(?:\d+\.?\d*|\.\d+)"
_FRACTION = re.compile(rf"\s*([-+]?{_DECIMAL})\s*/\s*({_DECIMAL})\s*", re.ASCII)


def fraction(text: str) -> Fraction:
    """`8/255` or `0.5/255`, both numbers as Python reads them. Raises ValueError, ZeroDivisionError, OverflowError."""
    parts = _FRACTION.fullmatch(text)
    if parts is None:
        raise ValueError(_unlike_a_number(text))
    return Fraction(float(parts[1])) / Fraction(float(parts[2]))


def _number(value: object) -> object:
    """`8/255` is a number; anything else is left to pydantic."""
    if isinstance(value, str) and "/" in value:
        try:
            return float(fraction(value))
        except (ZeroDivisionError, OverflowError):
            raise ValueError(_unlike_a_number(value)) from None
    if isinstance(value, bool | str):
        raise ValueError(_unlike_a_number(value))
    return value


def _unlike_a_number(value: object) -> str:
    return f"expected a number or a fraction such as 8/255, got {value!r}"


Number = Annotated[
    float,
    BeforeValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{_FRACTION.pattern}$"}]}),
]


@cache
def _entry_points(group: str) -> EntryPoints:
    """Those of all installed packages; looking for them takes a few milliseconds."""
    return entry_points(group=group)


def one_of(
    kind: str, names: Callable[[], Iterable[str]], others: Callable[[], Iterable[str]] = tuple
) -> AfterValidator:
    """For a text field that must be one of `names()`, which are asked for when a value is checked.

    `others` are of the same kind and found elsewhere: a suggestion may be one of them.
    """

    def check(name: str) -> str:
        known = list(names())
        if name not in known:
            raise ValueError(f"unknown {kind} '{name}'{did_you_mean(name, [*known, *others()])}")
        return name

    return AfterValidator(check)


def _whole(value: object) -> object:
    """No truth value and no text is a whole number; pydantic takes them for one."""
    if isinstance(value, bool | str):
        raise PydanticKnownError("int_type")
    return value


def _exact(part: Any) -> None:
    """Within a schema of pydantic: `yes` is no truth value, `true` no number."""
    if isinstance(part, list | tuple):
        for inner in part:
            _exact(inner)
    elif isinstance(part, dict):
        if part.get("type") == "bool":
            part["strict"] = True
        elif part.get("type") == "int":
            part.update(no_info_before_validator_function(_whole, dict(part)))
        elif part.get("function", {}) != {"type": "no-info", "function": _whole}:
            for inner in part.values():
                _exact(inner)


class Config(BaseModel):
    """A frozen record of parameters; an unknown key is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    registered: ClassVar[str] = ""  # the name in its registry; `name` is free for a field

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _exact(schema)
        return schema

    def params(self) -> dict[str, Any]:
        """Every parameter with its value, defaults included, as plain data."""
        return self.model_dump(mode="json")

    def absent(self, root: FilePath) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """(parameter, sentence) for every file or folder that is named and is not there; `root` is the suite's."""
        yield from ()


class SameNameError(ValueError):
    """Two members of one kind have the same name."""


M = TypeVar("M")
C = TypeVar("C", bound=Config)


class Registry(Generic[M]):
    """Named members of one kind. They live one per file in `package`, imported at the first look-up."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._members: dict[str, M] = {}
        self._codes: dict[str, Any] = {}  # the class or function that each was made of
        self._loaded = self._settled = False
        self.problems: list[str] = []  # members that could not be loaded, a sentence each

    def add(self, name: str, member: M, code: Any) -> M:
        """Call `member`, which is made of the class or function `code`, by this name. Raises SameNameError.

        Somebody else's gives way to the next of its name once all are loaded: the same file may be read again.
        """
        if name in self._members and not (self._settled and not self._ours(name)):
            places = f"{_place(self._codes[name])} and {_place(code)}"
            raise SameNameError(f"two {self.kind}s are called {name!r}: {places}; give one of them another name")
        self._members[name], self._codes[name] = member, code
        return member

    def _ours(self, name: str) -> bool:
        return _place(self._codes[name]).startswith(f"{self.package}.")

    def _load(self) -> dict[str, M]:
        if not self._loaded:
            self._loaded, self._settled = True, False
            for module in iter_modules(import_module(self.package).__path__):
                with self._tolerant(f"{self.package}.{module.name}", SameNameError):
                    import_module(f"{self.package}.{module.name}")
            for point in _entry_points(self.package):
                with self._tolerant(f"entry point {point.name} ({point.value})"):
                    self._adopt(point.name, point.load())
            self._settled = True
        return self._members

    @contextmanager
    def _tolerant(self, what: str, *but: type[Exception]) -> Iterator[None]:
        """One broken file must not take the others with it; `but` these stop all, now and at the next look-up."""
        try:
            yield
        except but:
            self._loaded = False
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001  (somebody's code fails in its own ways)
            self.problems.append(f"{self.kind} {what} cannot be loaded: {told(error)}")

    def _adopt(self, name: str, code: Any) -> None:
        """What another package offers; one that is decorated has registered itself."""
        if code is not self._members.get(name) and code is not self._codes.get(name):
            raise TypeError(f"expected a {self.kind} that registers itself as {name!r}, got {code!r}")

    def unknown(self, name: str) -> str:
        """The sentence about a name that is not here, with a did-you-mean and what could not be loaded."""
        known = self._load()
        return "; ".join([f"unknown {self.kind} '{name}'{did_you_mean(name, known)}", *self.problems])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._load()))

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def values(self) -> Iterator[M]:
        """All members, by name."""
        yield from (self[name] for name in self)

    def __getitem__(self, name: str) -> M:
        """The member called `name`. Raises KeyError with a did-you-mean."""
        members = self._load()
        if name not in members:
            raise KeyError(self.unknown(name))
        return members[name]


def _place(code: Any) -> str:
    return f"{code.__module__}.{code.__qualname__}"


class Records(Registry[type[C]]):
    """Named records of parameters."""

    def register(self, name: str) -> Callable[[type[C]], type[C]]:
        """Decorate the record `name` with this; two of one name are a mistake."""

        def add(record: type[C]) -> type[C]:
            self.add(name, record, record)
            record.registered = name
            return record

        return add

    def _adopt(self, name: str, code: Any) -> None:
        """A record that is not decorated takes the name of its entry point."""
        if self._members.get(name) is code:
            return
        fits = isinstance(code, type) and issubclass(code, Config)
        if not fits:
            raise TypeError(f"expected a class of {self.kind}s, got {code!r}")
        self.register(name)(code)

    def build(self, name: str, params: Mapping[str, Any] | None = None, where: str = "") -> C:
        """The record `name` with `params`. Raises SuiteError with every problem, placed at `where`."""
        try:
            return self[name].model_validate(dict(params or {}))
        except KeyError as error:
            raise SuiteError([Problem(where or self.kind, str(error.args[0]))]) from None
        except ValidationError as error:
            record = self[name]
            place = where or f"{self.kind} {name}"
            raise SuiteError(Problem(place, message) for _, message in problems_of(error, record)) from None


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal data, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: object, length: int = 16) -> str:
    """The first `length` hex digits of the sha256 of `canonical(value)`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
