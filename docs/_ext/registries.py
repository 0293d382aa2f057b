"""The reference: each function makes a page's Markdown of what the package registers when the site is built."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import papers
from pydantic_core import PydanticUndefined

import robustbench_lite
from robustbench_lite import errors
from robustbench_lite.api import TableView
from robustbench_lite.attacks import Attack
from robustbench_lite.cli.catalogue import listing
from robustbench_lite.cli.verbs import cli
from robustbench_lite.datasets import bundled, on_demand
from robustbench_lite.datasets.base import datasets as sources_of_images
from robustbench_lite.engine.attack import attacks as registered
from robustbench_lite.engine.result import AttackResult
from robustbench_lite.figures.base import figures as drawn
from robustbench_lite.generators import architectures, mixtures, objectives
from robustbench_lite.generators import zoo as generated
from robustbench_lite.models import archs, zoo
from robustbench_lite.models.base import models as sources_of_models
from robustbench_lite.models.defense import defenses as standing
from robustbench_lite.peers.base import peers as theirs
from robustbench_lite.pytest_plugin.fixture import Robustness
from robustbench_lite.registry import Config, Records
from robustbench_lite.results import schema
from robustbench_lite.results.glossary import WORDS
from robustbench_lite.sparse_coding import designs
from robustbench_lite.suite import shipped
from robustbench_lite.suite._settings import SETTINGS
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables as made
from robustbench_lite.transforms.distribution import operations as transformations
from robustbench_lite.trust.smell import advised, checks

Rows = Iterable[tuple[object, ...]]
COLUMN = re.compile(r'^ +(?:always)?\("(\w+)", (?:pa\.)?_?([\w()., ]+?)\),(?:  # (.*))?$', re.MULTILINE)
CODE = re.compile(r"^    (\w+) = (\d+)(?:  # (.*))?$", re.MULTILINE)
KINDS = {"real": "float", "int": "integer", "bool": "boolean"}


def _cell(value: object) -> str:
    """Text for a cell of a table: one line, no bar and no tag."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _table(heads: Iterable[str], rows: Rows) -> str:
    lines = [list(heads)]
    lines += [["---"] * len(lines[0]), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    text = "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`" if text else "empty"


def _parameters(record: type[Config], but: Iterable[str] = ()) -> str:
    fields = {name: field for name, field in record.model_fields.items() if name not in set(but)}
    rows = [(f"`{name}`", _default(one.default), one.description or "") for name, one in fields.items()]
    return _table(["parameter", "default", "what"], rows) if rows else "No parameters."


def _paper(card: Any) -> list[str]:
    parts = [f"{card.paper}, [arXiv:{card.arxiv}](https://arxiv.org/abs/{card.arxiv})", f"*Protocol.* {card.protocol}"]
    return parts + (["What differs from the paper:", _bullets(card.deviations)] if card.deviations else [])


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(text.split())}" for text in texts)


def _record(registry: Records[Any], name: str, but: Iterable[str] = ()) -> str:
    record = registry[name]
    card = getattr(record, "card", None)
    says = _paper(card) if card else []
    doc = " ".join(inspect.cleandoc(record.__doc__ or "").split("\n\n")[0].split())
    return "\n\n".join([f"### `{name}`", doc, *says, _parameters(record, but)])


def _records(registry: Records[Any], but: Iterable[str] = ()) -> str:
    return "\n\n".join(_record(registry, name, but) for name in registry)


def attacks() -> str:
    """Every attack: its paper, its protocol, what differs, and its parameters."""
    common = set(Attack.model_fields)
    pages = []
    for name in registered:
        one = registered[name]
        title = f"### `{name}`: {one.card.title}"
        pages.append("\n\n".join([title, *_paper(one.card), _parameters(one, common)]))
    others = ["## Attacks of others", "See [peers](../peers.md).", _records(theirs, common)]
    return "\n\n".join(["## Parameters of all attacks", _parameters(Attack), "## Attacks", *pages, *others])


def models() -> str:
    """Shipped classifiers, sources with their keys, architectures."""
    rows = []
    for name in zoo.available():
        card = zoo.card(name)
        error = "" if card.test_error is None else f"{card.test_error:.2f} %"
        rows.append((f"`{name}`", card.arch, card.dataset, error, " x ".join(map(str, card.size)), card.licence))
    table = _table(["name", "architecture", "dataset", "test error", "size", "licence"], rows)
    known = ", ".join(f"`{name}`" for name in archs.ARCHITECTURES)
    files = f"`file:` knows these architectures (`arch:`): {known}."
    return "\n\n".join(["## Shipped classifiers", table, "## Sources", files, _records(sources_of_models)])


def datasets() -> str:
    """Bundled images, those on demand, sources with their keys."""
    rows = [(f"`{one.name}`", one.description, one.n, one.licence) for one in bundled.available()]
    later = [(f"`{name}`", f"{known} of torchvision") for name, (known, _) in on_demand.NAMES.items()]
    parts = ["## Bundled", _table(["name", "what", "images", "licence"], rows)]
    parts += ["## On demand", _table(["name", "what"], later), "## Sources", _records(sources_of_images)]
    return "\n\n".join(parts)


def generators() -> str:
    """Shipped generators, and what a training is made of."""
    rows = [(f"`{name}`", what) for name, what in listing("generators") if name in generated.available()]
    parts = ["## Shipped generators", _table(["name", "what"], rows)]
    for registry in (objectives, architectures, mixtures):
        parts += [f"## {registry.kind.capitalize()}s", _records(registry)]
    return "\n\n".join(parts)


def defenses() -> str:
    """What stands before a classifier."""
    return _records(standing)


def operations() -> str:
    """What a distribution of transformations is made of, and the dictionaries of sparse coding."""
    return "\n\n".join([_records(transformations), "## Dictionaries of sparse coding", _records(designs)])


def tables() -> str:
    """Every table in a line."""
    return _table(["table", "what it shows"], [(f"`{name}`", made.summary(name)) for name in made])


def figures() -> str:
    """Every figure with its parameters."""
    return _records(drawn)


def smells() -> str:
    """Every check, with the paragraph that a report shows beside it."""
    return "\n\n".join(f"### {one.title}\n\n`{name}`\n\n{advised(one)}" for name in checks for one in [checks[name]])


NEEDED = {"data", "models", "attacks"}
EXPLAINED = {
    "name": "suites.md#one-name-one-folder", "data": "suites.md#data", "models": "suites.md#models",
    "attacks": "suites.md#attacks", "generators": "suites.md#generators", "sparse_coding": "suites.md#sparse-coding",
    "certify": "certificates.md", "timeout": "safety.md#time", "gate": "ci.md#rules", "defaults": "suites.md#defaults",
    "under": "physical.md#distributions-and-expectation-over-transformation", "include": "suites.md#include",
    "reference": "papers.md", "tables": "reference/tables.md", "figures": "reference/figures.md",
    "images": "reliability.md#verify", "seed": "concepts/reproducibility.md",
}  # fmt: skip


def suite_keys() -> str:
    """The keys of a suite, as its schema has them, and where each is explained."""
    assert set(EXPLAINED) <= set(SETTINGS)
    rows = []
    for key, one in SETTINGS.items():
        needed = "yes" if one.required else "usually" if key in NEEDED else ""
        rows.append((f"[`{key}`](../{EXPLAINED[key]})" if key in EXPLAINED else f"`{key}`", needed, one.says))
    return _table(["key", "required", "what"], rows)


def suites() -> str:
    """The shipped suites."""
    rows = []
    for name in shipped.names():
        suite = load(name)
        rows.append((f"`{name}`", suite.title, ", ".join(f"`{table}`" for table in suite.tables)))
    return _table(["suite", "title", "tables"], rows)


def columns() -> str:
    """The stored columns, with the comments that stand beside them in the schema."""
    text = Path(schema.__file__).read_text(encoding="utf-8")
    parts = []
    for name in ("SAMPLES", "CELLS", "ARTIFACTS", "IMAGES"):
        body = text.split(f"\n{name} = pa.schema(")[1].split("\n)\n")[0]
        rows = [(f"`{key}`", KINDS.get(kind, kind), note) for key, kind, note in COLUMN.findall(body)]
        absent = set(getattr(schema, name).names) - {key.strip("`") for key, _, _ in rows}
        assert not absent, f"{name}: columns that the reference does not see: {absent}"
        parts += [f"## {name.lower()}", _table(["column", "type", "what"], rows)]
    return "\n\n".join([inspect.cleandoc(schema.__doc__ or "").split("\n\n", 1)[1], *parts])


def exit_codes() -> str:
    """How a command ends, and what is raised in Python."""
    rows = [(code, name.lower().replace("_", " "), note) for name, code, note in CODE.findall(_source(errors))]
    assert len(rows) == len(errors.ExitCode)
    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n", 1)[1]
    return "\n\n".join([_table(["code", "name", "when"], rows), "## Errors in Python", f"```text\n{tree}\n```"])


def _source(module: Any) -> str:
    return inspect.getsource(module)


def commands() -> str:
    """Every verb with its arguments and options, as `--help` has them."""
    return "\n\n".join(_command(name, command) for name, command in sorted(cli.commands.items()))


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"robustbench-lite {name}")
    rows = [(f"`{said[0]}`", said[1]) for one in command.params if (said := one.get_help_record(context))]
    usage = command.get_usage(context).removeprefix("Usage: ")
    parts = [f"## {name}", " ".join((command.help or "").split()), f"```text\n{usage}\n```"]
    return "\n\n".join([*parts, *([_table(["option", "what"], rows)] if rows else [])])


def glossary() -> str:
    """The words that users meet."""
    return "\n".join(f"- **{word}**: {text}" for word, text in sorted(WORDS.items()))


def api() -> str:
    """What programs and notebooks call: signatures and docstrings."""
    room = {name: getattr(robustbench_lite, name) for name in robustbench_lite.__all__}
    calls = [("rbl.run", room["run"]), ("rbl.load", room["load"]), ("rbl.certify", room["certify"])]
    calls += [(f"rbl.{name}.load", room[name].load) for name in ("models", "datasets", "generators")]
    parts = [_called(name, call) for name, call in calls]
    objects = [("Results", room["Results"]), ("TableView", TableView), ("AttackResult", AttackResult)]
    objects += [("Attack", Attack), ("robustness (fixture of pytest)", Robustness)]
    return "\n\n".join(["## Functions", *parts, "## Objects", *(_class(name, one) for name, one in objects)])


def _called(name: str, call: Callable[..., Any], level: str = "###") -> str:
    signature = re.sub(r"robustbench_lite\.[\w.]*\.", "", str(inspect.signature(call)))
    return f"{level} `{name}`\n\n```text\n{name}{signature}\n```\n\n{_doc(call)}"


def _doc(thing: object) -> str:
    return inspect.getdoc(thing) or ""


def _class(name: str, one: type[Any]) -> str:
    rows = [(f"`{key}`", _doc(value).split("\n\n")[0]) for key, value in _members(one)]
    return "\n\n".join([f"### {name}", _doc(one), _table(["", "what"], rows)])


def _members(one: type[Any]) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that say what they do, those of our own bases included."""
    for key, value in inspect.getmembers_static(one):
        ours = any(key in vars(base) for base in one.__mro__ if base.__module__.startswith("robustbench_lite"))
        if ours and not key.startswith("_") and (callable(value) or isinstance(value, property)) and _doc(value):
            yield key if isinstance(value, property) else f"{key}{_arguments(value)}", value
    if "__call__" in vars(one):
        yield f"(){_arguments(one.__call__)}"[2:], one.__call__


def _arguments(value: Any) -> str:
    names = [name for name in inspect.signature(value).parameters if name not in {"self", "cls"}]
    return f"({', '.join(names)})"


MADE = {
    one.__name__: one
    for one in (
        api, attacks, columns, commands, datasets, defenses, exit_codes, figures, generators, glossary, models,
        operations, smells, suite_keys, suites, tables,
    )
} | {"papers": papers.page}  # fmt: skip
