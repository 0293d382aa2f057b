"""YAML 1.2 to plain data in which every value knows its place; `include` and `--set` work on the same data.

Nothing is executed and nothing grows: no tags, aliases or templates, and size, depth and count are bounded while
ruamel's scanner runs, before anything recurses. What is wrong is collected in `Problems` and said all at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePath
from typing import Any, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent
from ruamel.yaml.events import Event, MappingEndEvent, NodeEvent, SequenceEndEvent

from robustbench_lite.errors import Problem, SuiteError

__all__ = ["Mark", "Marked", "Problems", "Reader", "from_plain", "kind", "parse"]

LARGEST, DEEPEST, MOST, FILES, INCLUDES = 1 << 20, 40, 20_000, 100, 20
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Mark(NamedTuple):
    """A place, ordered as a reader meets it: file by file, then the overrides."""

    rank: int
    line: int
    column: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass
class Marked:
    """A scalar, a list of these or a mapping to these; `keys` has the places of a mapping's keys."""

    value: Any
    mark: Mark
    keys: dict[str, Mark] = field(default_factory=dict)

    def plain(self) -> Any:
        """The same without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...], *, key: bool = False) -> Mark:
        """The place of `path`, or of what is nearest around it; with `key` that of the key."""
        node, mark = self, self.mark
        for part in path:
            inside = isinstance(node.value, dict) and part in node.value
            inside = inside or (isinstance(node.value, list) and isinstance(part, int) and part < len(node.value))
            if not inside:
                break
            mark = node.keys.get(str(part), mark)
            node = node.value[part]
            mark = mark if key else node.mark
        return mark


class Problems:
    """Collects what is wrong, once each, and raises it in the order of the file."""

    def __init__(self) -> None:
        self._found: set[tuple[Mark, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, mark: Mark, message: str) -> None:
        self._found.add((mark, message))

    def stop(self) -> None:
        """Raise SuiteError if there is anything to say."""
        if self._found:
            raise SuiteError(Problem(_shown(str(mark)), _shown(message)) for mark, message in sorted(self._found))


class Refusal(Exception):  # noqa: N818  (caught here, never seen outside)
    """This text cannot be read any further."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark, self.message = mark, message


def kind(value: object) -> str:
    """What somebody wrote, in words: `a list`, `a mapping`, `nothing`, or the value itself."""
    if isinstance(value, Marked):
        return kind(value.value)
    words = {dict: "a mapping", list: "a list", type(None): "nothing"}
    return words.get(type(value)) or repr(value)


def _shown(text: str) -> str:
    """One line that a terminal can print: nothing that moves the cursor, nothing longer than a few lines."""
    short = text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


# --- text to Marked


Place = Callable[[int, int], Mark]


def parse(text: str, place: Place, problems: Problems) -> Iterator[tuple[Event | None, Marked | None]]:
    """Placeholder."""
    raise NotImplementedError
