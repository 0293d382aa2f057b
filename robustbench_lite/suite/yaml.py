"""YAML 1.2 to plain data with a mark for every value, safely: size, depth and count are bounded while parsing.

Nothing is executed and nothing grows: no tags, aliases or templates. Events are read one by one, so that no input makes
anything recurse. Every refusal is one sentence with its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from robustbench_lite.errors import Problem, SuiteError

__all__ = ["LARGEST", "Key", "Marked", "checked", "parse", "read", "tidy"]

Key = tuple[str | int, ...]
LARGEST = 1 << 20  # bytes, of a suite with all that it includes
_DEEPEST, _MOST = 40, 30_000  # nesting, values
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


_PLACE = re.compile(r"(.*?)(?::([0-9]+):([0-9]+))?", re.DOTALL)


@dataclass
class Marked:
    """Plain data, and `file:line:column` of every value and of every key."""

    data: Any
    places: dict[Key, str] = field(default_factory=dict)
    keys: dict[Key, str] = field(default_factory=dict)

    def place(self, path: Key, *, key: bool = False) -> str:
        """Where `path` is, or the nearest thing around it that is written down; data without a file: its path."""
        for end in range(len(path), -1, -1):
            marks = self.keys if key and path[:end] in self.keys else self.places
            if path[:end] in marks:
                return marks[path[:end]]
        return ".".join(str(part) for part in path) or "suite"


def read(path: Path, shown: str | None = None, most: int = LARGEST) -> tuple[Marked, str]:
    """The content of one file of at most `most` bytes, and its text. Raises SuiteError."""
    name = shown or str(path)
    try:
        if path.is_dir():
            raise _refuse(name, "expected a YAML file, got a folder")
        if path.exists() and not path.is_file():  # a pipe may never answer
            raise _refuse(name, "expected a regular file")
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except FileNotFoundError:
        step = "`robustbench-lite list suites` has the shipped ones, `robustbench-lite init` writes one of yours"
        raise _refuse(name, "no such file").with_next(step) from None
    except OSError as error:
        raise _refuse(name, f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise _refuse(name, "not a file name") from None
    if len(raw) > most:
        whole = "" if most == LARGEST else " with all that is included"
        raise _refuse(name, f"larger than 1 MiB{whole}, which no suite is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refuse(name, f"expected UTF-8 text, byte {error.start} is not") from None
    return parse(text, name), text


def parse(text: str, name: str) -> Marked:
    """Plain data with marks from YAML text. Raises SuiteError with one sentence."""
    foreign = _CONTROL.search(text)
    if foreign:
        line, column = text.count("\n", 0, foreign.start()) + 1, foreign.start() - text.rfind("\n", 0, foreign.start())
        raise _refuse(f"{name}:{line}:{column}", f"control character U+{ord(foreign[0]):04X} is not allowed")
    builder = _Builder(name)
    for event in _events(text, name):
        builder.take(event)
    if () not in builder.marked.places:
        raise _refuse(name, "the file is empty")
    return builder.marked


def _events(text: str, name: str) -> Iterator[Event]:
    """Ruamel's events; what it trips over becomes one sentence."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if "stream end" in str(error.problem) and error.context_mark:  # where it began, not where the file ends
            opened = error.context_mark
            place = f"{name}:{opened.line + 1}:{opened.column + 1}"
            raise _refuse(place, f"not valid YAML: what begins here is not closed ({error.problem})") from None
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        text = "tabs cannot indent, use spaces" if "'\\t'" in str(error.problem) else error.problem or error.context
        raise _refuse(place, f"not valid YAML: {text}") from None
    except YAMLError as error:
        raise _refuse(name, f"not valid YAML: {str(error).strip().splitlines()[0]}") from None
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # the scanner trips over some malformed input with these; it is still the file that is wrong
        raise _refuse(name, f"not valid YAML ({type(error).__name__})") from None


class _Builder:
    """Turns events into data. `_open` are the containers around the next value, each with its path and pending key."""

    def __init__(self, name: str) -> None:
        self.name, self.marked = name, Marked(None)
        self._open: list[tuple[dict[str, Any] | list[Any], Key]] = []
        self._key: list[str | None] = []
        self._count = 0

    def take(self, event: Event) -> None:
        place = f"{self.name}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
        if isinstance(event, DocumentStartEvent):
            self._document(event, place)
        elif isinstance(event, CollectionEndEvent):
            self._open.pop()
            self._key.pop()
        elif isinstance(event, NodeEvent):
            self._node(event, place)

    def _document(self, event: DocumentStartEvent, place: str) -> None:
        if () in self.marked.places:
            raise _refuse(place, "a second document starts here, expected one")
        if event.tags or event.version not in {None, (1, 2)}:
            raise _refuse(place, "directives (%YAML, %TAG) are not supported in suites; they are YAML 1.2")

    def _node(self, event: NodeEvent, place: str) -> None:
        self._count += 1
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise _refuse(place, "anchors and aliases (&a, *a) are not supported in suites; use defaults or include")
        if getattr(event, "ctag", None) is not None:
            raise _refuse(place, "tags (!name) are not supported in suites")
        if len(self._open) > _DEEPEST:
            raise _refuse(place, f"nested more than {_DEEPEST} deep")
        if self._count > _MOST:
            raise _refuse(place, f"more than {_MOST} values")
        if self._open and isinstance(self._open[-1][0], dict) and self._key[-1] is None:
            self._take_key(event, place)
        elif isinstance(event, CollectionStartEvent):
            value: dict[str, Any] | list[Any] = {} if isinstance(event, MappingStartEvent) else []
            path = self._put(value, place)
            self._open.append((value, path))
            self._key.append(None)
        else:
            assert isinstance(event, ScalarEvent)
            self._put(_scalar(event, place), place)

    def _take_key(self, event: NodeEvent, place: str) -> None:
        if not isinstance(event, ScalarEvent):
            raise _refuse(place, "expected a plain key, got a list or mapping")
        container, path = self._open[-1]
        key = _text(str(event.value), place)
        if key == "<<" and event.style is None:
            raise _refuse(place, "merge keys (<<) are not supported in suites; use defaults or include")
        if key in container:
            raise _refuse(place, f"'{key}' is there twice; the first is at {self.marked.keys[(*path, key)]}")
        self.marked.keys[(*path, key)] = place
        self._key[-1] = key

    def _put(self, value: Any, place: str) -> Key:
        """Put `value` where the next one belongs; its path."""
        path: Key = ()
        if not self._open:
            self.marked.data = value
        else:
            container, path = self._open[-1]
            if isinstance(container, dict):
                key = self._key[-1]
                assert key is not None
                container[key], self._key[-1], path = value, None, (*path, key)
            else:
                path = (*path, len(container))
                container.append(value)
        self.marked.places[path] = place
        return path


def _scalar(event: ScalarEvent, place: str) -> Any:
    """The value of a scalar by YAML 1.2's core schema."""
    text = str(event.value)
    if event.style is not None:  # quoted, or a block
        return _text(text, place)
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return _int(int(text, 0) if text[:2] in {"0o", "0x"} else int(text) if len(text) < 40 else None, text, place)
    if _FLOAT.fullmatch(text):
        return _float(float(text.lower().replace(".inf", "inf").replace(".nan", "nan")), text, place)
    return text


def _int(value: int | None, text: str, place: str) -> int:
    """Every integer of a suite fits a column of the store."""
    if value is None or abs(value) >= 1 << 63:
        raise _refuse(place, f"expected a number below 2^63, got {text}")
    return value


def _float(value: float, text: str, place: str) -> float:
    if not math.isfinite(value):
        raise _refuse(place, f"expected a finite number, got {text}")
    return value


def _text(text: str, place: str) -> str:
    """The text; escapes within quotes can bring in what the file itself may not hold."""
    foreign = _CONTROL.search(text)
    if foreign:
        raise _refuse(place, f"control character U+{ord(foreign[0]):04X} is not allowed")
    return text


def checked(value: Any, path: Key = ()) -> Any:
    """A copy of a suite given as Python data, under the same rules. Raises SuiteError, placed at the dotted path."""
    place = ".".join(str(part) for part in path) or "suite"
    if len(path) > _DEEPEST:
        raise _refuse(place, f"nested more than {_DEEPEST} deep")
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise _refuse(place, f"expected text as key, got {odd[0]!r}")
        return {_text(key, place): checked(inner, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [checked(inner, (*path, i)) for i, inner in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    rules: dict[type, Callable[[Any], Any]] = {
        Path: str,
        str: lambda text: _text(str(text), place),
        int: lambda number: _int(int(number), hex(number), place),
        float: lambda number: _float(float(number), repr(number), place),
    }
    for kind, rule in rules.items():
        if isinstance(value, kind):
            return rule(value)
    raise _refuse(place, f"expected text, a number, a list or a mapping, got {type(value).__name__}")


def tidy(problems: Iterable[Problem], first: str) -> list[Problem]:
    """Each problem once, in the order of the file `first`, then of what it includes; one printable line each."""
    found = sorted(dict.fromkeys(problems), key=lambda problem: _position(problem.place, first))
    return [Problem(_printable(problem.place), _printable(problem.message)) for problem in found]


def _position(place: str, first: str) -> tuple[int, str, int, int]:
    """Overrides come last; what has no line stays as it is."""
    match = _PLACE.fullmatch(place)
    assert match is not None
    file, line, column = match.groups()
    group = 2 if file.startswith("--set") else int(file != first)
    return (group, file, int(line), int(column)) if line and group < 2 else (group, "", 0, 0)


def _printable(text: str) -> str:
    """One line without the user's control characters, and no megabytes."""
    short = text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


def _refuse(place: str, message: str) -> SuiteError:
    return SuiteError([Problem(place, message)])
