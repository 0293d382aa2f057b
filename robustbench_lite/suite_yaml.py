"""YAML 1.2 to plain data with a mark for every value, safely: bounded in size, depth and aliases, before parsing.

Nothing is executed: no tags beyond the core schema, no templates. Every refusal is one sentence with its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.tokens import (
    AliasToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
    TagToken,
)

from robustbench_lite.errors import Problem, SuiteError

__all__ = ["Key", "Marked", "parse", "read"]

Key = tuple[str | int, ...]
_LARGEST, _DEEPEST, _MOST = 1 << 20, 40, 100_000  # bytes, nesting, tokens
_OPEN = (FlowMappingStartToken, FlowSequenceStartToken, BlockMappingStartToken, BlockSequenceStartToken)
_CLOSE = (FlowMappingEndToken, FlowSequenceEndToken, BlockEndToken)
_CORE = "tag:yaml.org,2002:"


@dataclass
class Marked:
    """Plain data, and `file:line:column` of every value and (as path + '?') of every key."""

    data: Any
    places: dict[Key, str] = field(default_factory=dict)
    keys: dict[Key, str] = field(default_factory=dict)

    def place(self, path: Key, *, key: bool = False) -> str:
        """Where `path` is, or the nearest thing around it that is written down."""
        for end in range(len(path), -1, -1):
            marks = self.keys if key and path[:end] in self.keys else self.places
            if path[:end] in marks:
                return marks[path[:end]]
        return ".".join(map(str, path)) or "suite"  # built in Python, not read from a file


def read(path: Path, shown: str | None = None) -> tuple[Marked, str]:
    """The content of one file, and its text. Raises SuiteError."""
    name = shown or str(path)
    try:
        raw = path.read_bytes()[: _LARGEST + 1]
    except FileNotFoundError:
        raise _refuse(name, "no such file") from None
    except IsADirectoryError:
        raise _refuse(name, "expected a YAML file, got a folder") from None
    except OSError as error:
        raise _refuse(name, f"cannot be read ({error.strerror})") from None
    if len(raw) > _LARGEST:
        raise _refuse(name, "larger than 1 MiB, which no suite is")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refuse(name, f"expected UTF-8 text, byte {error.start} is not") from None
    return parse(text, name), text


def parse(text: str, name: str) -> Marked:
    """Plain data with marks from YAML text. Raises SuiteError with one sentence."""
    try:
        _bounded(text, name)
        node = _yaml().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise _refuse(place, f"not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError) as error:
        lines = str(error).strip().split("\n")
        raise _refuse(name, f"not valid YAML: {lines[0]}") from None
    except (RecursionError, AttributeError, TypeError, IndexError, KeyError) as error:
        # ruamel's scanner trips over some malformed input with these; it is still the file that is wrong
        raise _refuse(name, f"not valid YAML ({type(error).__name__})") from None
    if node is None:
        raise _refuse(name, "the file is empty")
    marked = Marked(None)
    marked.data = _plain(node, (), name, marked)
    return marked


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml


def _bounded(text: str, name: str) -> None:
    """Walk the tokens once: no deep nesting, no aliases (a few lines of them expand to gigabytes), no foreign tags."""
    depth = 0
    for count, token in enumerate(_yaml().scan(text)):
        place = f"{name}:{token.start_mark.line + 1}:{token.start_mark.column + 1}"
        if isinstance(token, _OPEN):
            depth += 1
        elif isinstance(token, _CLOSE):
            depth -= 1
        if depth > _DEEPEST:
            raise _refuse(place, f"nested more than {_DEEPEST} deep")
        if count > _MOST:
            raise _refuse(place, f"more than {_MOST} tokens")
        if isinstance(token, AliasToken):
            raise _refuse(place, "aliases (*name) are not supported in suites; use `defaults` or `include`")
        if isinstance(token, TagToken):
            raise _refuse(place, "tags (!name) are not supported in suites")


def _plain(node: Node, path: Key, name: str, marked: Marked) -> Any:
    marked.places[path] = _place(node, name)
    if isinstance(node, MappingNode):
        return _mapping(node, path, name, marked)
    if isinstance(node, SequenceNode):
        return [_plain(child, (*path, i), name, marked) for i, child in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _scalar(node)


def _mapping(node: MappingNode, path: Key, name: str, marked: Marked) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = _place(key_node, name)
        if not isinstance(key_node, ScalarNode):
            raise _refuse(place, "expected a plain key, got a list or mapping")
        key = str(key_node.value)
        if key in out:
            raise _refuse(place, f"'{key}' is there twice; the first is at {marked.keys[(*path, key)]}")
        marked.keys[(*path, key)] = place
        out[key] = _plain(value_node, (*path, key), name, marked)
    return out


def _scalar(node: ScalarNode) -> Any:
    """The value of a scalar by YAML 1.2's core schema."""
    tag, value = str(node.tag or node.ctag), str(node.value)
    kind = tag.removeprefix(_CORE)
    if kind == "null":
        return None
    if kind == "bool":
        return value.lower() == "true"
    if kind == "int":
        text = value.replace("_", "")
        return int(text, 0) if text.lower().lstrip("+-").startswith(("0x", "0o")) else int(text)
    if kind == "float":
        return float(value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return value


def _place(node: Node, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _refuse(place: str, message: str) -> SuiteError:
    return SuiteError([Problem(place, message)])
