"""What can be named in a suite, and what it is: `list` and `describe`. Nothing here loads torch."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from robustbench_lite.cli.terminal import width
from robustbench_lite.datasets import bundled, on_demand
from robustbench_lite.datasets.base import datasets
from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.errors import UsageError, nearest
from robustbench_lite.figures.base import figures
from robustbench_lite.generators import architectures, mixtures, objectives
from robustbench_lite.generators import zoo as generated
from robustbench_lite.models import archs, zoo
from robustbench_lite.models.base import models
from robustbench_lite.models.defense import defenses
from robustbench_lite.peers import peers
from robustbench_lite.registry import Config, Records, Registry
from robustbench_lite.results.glossary import WORDS, meant
from robustbench_lite.sparse_coding import MODELS, designs
from robustbench_lite.suite import shipped
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.text import budget
from robustbench_lite.transforms.distribution import operations
from robustbench_lite.trust.smell import checks

__all__ = ["REGISTRIES", "description", "inventory", "listing", "problems"]

_FEW, _LIKE = 3, 0.6  # names that may be meant, and how much alike they are
_LEAST, _WIDEST = 40, 110  # columns of a paragraph
GENERATIVE: tuple[Records[Any], ...] = (architectures, objectives, mixtures)
REGISTRIES: tuple[Registry[Any], ...] = (
    attacks, peers, datasets, defenses, models, *GENERATIVE, designs, figures, operations, tables, checks,
)  # fmt: skip


def listing(kind: str) -> list[tuple[str, str]]:
    """(name, one line) of everything of a kind: models, generators, attacks, datasets, tables, figures, ..."""
    listings: dict[str, Callable[[], Iterable[tuple[str, str]]]] = {
        "models": _models,
        "generators": _generators,
        "attacks": _attacks,
        "datasets": _datasets,
        "defenses": _defenses,
        "tables": _tables,
        "figures": _figures,
        "operations": _operations,
        "dictionaries": _dictionaries,
        "suites": _suites,
        "checks": _checks,
        "words": WORDS.items,
    }
    return list(listings[kind]())


def inventory(kinds: Mapping[str, Sequence[tuple[str, str]]], room: int | None, *, headed: bool) -> str:
    """What is of these kinds, one line each; what is wider than `room` ends with an ellipsis, its names stay whole."""
    lines: list[str] = []
    for kind, rows in kinds.items():
        lines += [*([""] if lines else []), f"{kind} ({len(rows)})"] if headed else []
        indent = "  " if headed else ""
        size = max((len(name) for name, _ in rows), default=0)
        lines += [_one_line(f"{indent}{name:{size}}  ", text, room) for name, text in rows]
    if headed:
        cut = "" if room is None else "; `list --wide` has whole lines"
        lines += ["", f"`robustbench-lite describe NAME` explains each{cut}"]
    return "\n".join(lines)


def _one_line(head: str, text: str, room: int | None) -> str:
    if room is None or len(head) + len(text) <= room:
        return f"{head}{text}".rstrip()
    return f"{head}{text[: max(0, room - len(head) - 1)].rstrip()}…" if len(head) < room else head.rstrip()


def problems() -> list[str]:
    """What could not be loaded, a sentence each: somebody's broken file, or another package's entry point."""
    return [text for registry in REGISTRIES for text in registry.problems]


def description(name: str) -> str:
    """A page about whatever is called `name`. Raises UsageError that names what is nearest."""
    for look in (_attack_named, _listed_page, _registered_page, _explained):
        if page := look(name):
            return page
    if Path(name).suffix in {".yaml", ".yml"} or name in shipped.names():
        return _suite_page(name)
    listed = (*zoo.available(), *generated.available(), *(one.name for one in bundled.available()), *shipped.names())
    known = [*WORDS, *listed, *(one for registry in REGISTRIES for one in registry)]
    raise UsageError(f"nothing is called '{name}'{_nearest(name, known)} `robustbench-lite list` has all names")


def _attack_named(name: str) -> str:
    if name not in attacks:
        return ""
    also = f"\n\n{_record_page(operations, name)}" if name in operations else ""  # noise is both
    return _attack_page(attacks[name]) + also


def _listed_page(name: str) -> str:
    """Of a card, bundled images or a table."""
    cards = {**dict.fromkeys(zoo.available(), zoo.card), **dict.fromkeys(generated.available(), generated.card)}
    if name in cards:
        return _card_page(cards[name](name))
    if name in (facts := {one.name: one for one in bundled.available()}):
        one = facts[name]
        return f"{name}: {one.description}\nsamples: {one.n}\nsource: {one.source}\nlicence: {one.licence}"
    return _wrapped([f"{name}: {tables.summary(name)}"])[0] if name in tables else ""


def _registered_page(name: str) -> str:
    records: tuple[Registry[Any], ...] = (
        peers, datasets, defenses, models, figures, operations, *GENERATIVE, designs,
    )  # fmt: skip
    return next((_record_page(registry, name) for registry in records if name in registry), "")


def _explained(name: str) -> str:
    """What the product's own words mean: of the glossary, and checks by name or title; some words are both."""
    word = meant(name)
    parts = [f"{word}: {WORDS[word]}"] if word else []
    for check in (one for one in checks.values() if name in {one.name, one.title}):
        parts += [f"{check.name} ({check.title}): {check.why}", f"What to do: {check.remedy}"]
    return "\n".join(_wrapped(parts))


def _nearest(name: str, known: Iterable[str]) -> str:
    """The few names that may be meant, as the rest of a sentence."""
    names = list(dict.fromkeys(known))
    first = nearest(name, names)
    close = dict.fromkeys([first] if first else [])
    close |= dict.fromkeys(get_close_matches(name.casefold(), names, _FEW, _LIKE))
    said = ", ".join(f"'{one}'" for one in [*close][:_FEW])
    return f"; did you mean {said}?" if said else ";"


def _record_page(registry: Registry[Any], name: str) -> str:
    record = registry[name]
    card = getattr(record, "card", None)  # of a paper
    paper = [f"{card.paper}, https://arxiv.org/abs/{card.arxiv}", f"Protocol: {card.protocol}"] if card else []
    paper += [f"Deviation: {text}" for text in card.deviations] if card else []
    return "\n".join([*_wrapped([f"{name}: {_first_line(record)}", *paper]), "", _parameters(record)])


def _models() -> Iterator[tuple[str, str]]:
    for name in zoo.available():
        card = zoo.card(name)
        error = "" if card.test_error is None else f", test error {card.test_error:.2f} %"
        yield name, f"{card.arch} for {card.dataset}{error}"
    for source in models:
        if source != "zoo":
            yield f"{source}:", _first_line(models[source])
    for name in archs.ARCHITECTURES:
        yield f"arch: {name}", "architecture for `file:`"


def _generators() -> Iterator[tuple[str, str]]:
    for name in generated.available():
        card = generated.card(name)
        score = f", score {card.scores['classifier_score']:.2f}" if "classifier_score" in card.scores else ""
        yield name, f"{next(iter(card.architecture))} with {next(iter(card.objective))} on {card.dataset}{score}"
    for registry in GENERATIVE:
        for name in registry:
            yield f"{registry.kind.split()[-1]}: {name}", _first_line(registry[name])


def _attacks() -> Iterator[tuple[str, str]]:
    for name in attacks:
        card = attacks[name].card
        known = "" if card.paper.startswith("none") else f" ({card.paper.split(',')[0]}, arXiv:{card.arxiv})"
        yield name, f"{card.title}{known}"
    for name in peers:
        more = ":" if "attack" in peers[name].model_fields else ""
        yield f"{name}{more}", _first_line(peers[name])


def _datasets() -> Iterator[tuple[str, str]]:
    for facts in bundled.available():
        yield facts.name, facts.description
    for name, (known, _) in on_demand.NAMES.items():
        yield name, f"{known} of torchvision, on demand: `fetch`, or Parquet files under ROBUSTBENCH_LITE_DATA"
    for source in datasets:
        if source not in {"bundled", "on_demand"}:
            yield f"{source}:", _first_line(datasets[source])


def _defenses() -> Iterator[tuple[str, str]]:
    for name in defenses:
        card = defenses[name].card
        yield name, f"{card.title} ({card.paper.split(':')[0].split(',')[0]}, arXiv:{card.arxiv})"


def _tables() -> Iterator[tuple[str, str]]:
    for name in tables:
        yield name, tables.summary(name)


def _figures() -> Iterator[tuple[str, str]]:
    for name in figures:
        yield name, _first_line(figures[name])


def _operations() -> Iterator[tuple[str, str]]:
    for name in operations:
        yield name, _first_line(operations[name])


def _dictionaries() -> Iterator[tuple[str, str]]:
    for name, setup in MODELS.items():
        layers = ", ".join(f"{one.registered} of {one.atoms} atoms" for one in setup.designs)
        yield f"model: {name}", f"{layers}; at most {', '.join(map(str, setup.sparsity))} in a stripe"
    for name in designs:
        yield name, _first_line(designs[name])


def _checks() -> Iterator[tuple[str, str]]:
    for name in checks:
        yield name, checks[name].title


def _suites() -> Iterator[tuple[str, str]]:
    for name in shipped.names():
        yield name, load(name).title
    own, folder = Path("suites"), shipped.shipped()
    for path in sorted(own.glob("*.yaml")) if folder is None or own.resolve() != folder else ():
        yield str(path), load(path).title


def _attack_page(record: type[Attack]) -> str:
    card = record.card
    parts = [
        f"{record.registered}: {card.title}",
        f"{card.paper}, https://arxiv.org/abs/{card.arxiv}",
        f"Protocol: {card.protocol}",
        *(f"Deviation: {text}" for text in card.deviations),
    ]
    return "\n".join([*_wrapped(parts), "", "Parameters:", _parameters(record)])


def _card_page(card: Config) -> str:
    facts = card.model_dump(mode="json", exclude_defaults=True)
    return "\n".join(_wrapped(f"{key}: {value}" for key, value in facts.items()))


def _suite_page(name: str) -> str:
    suite = load(name)
    named = {
        "data": [entry.name for entry in suite.data],
        "classifiers": [model.title for model in suite.models],
        "attacks": [entry.variant for entry in suite.attacks],
        "generators": [entry.name for entry in suite.generators],
        "sparse coding": [entry.name for entry in suite.sparse_coding],
        "tables": suite.tables,
    }
    lines = [f"{suite.name}: {suite.title}", *(f"{key}: {', '.join(names)}" for key, names in named.items() if names)]
    return "\n".join(_wrapped(lines))


def _parameters(record: type[Config]) -> str:
    lines = []
    for name, field in record.model_fields.items():
        default = "required" if field.default is PydanticUndefined else f"default {_plain(field.default, name)}"
        text = f"  {name} ({default})" + (f": {field.description}" if field.description else "")
        lines.append(_filled(text, "      "))
    return "\n".join(lines)


def _plain(value: object, name: str) -> str:
    if isinstance(value, float) and "epsilon" in name:
        return budget(value)
    return "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value).lower()


def _first_line(record: type[Config]) -> str:
    return (record.__doc__ or "").strip().split("\n")[0]


def _wrapped(parts: Iterable[str]) -> list[str]:
    return [_filled(part, "  ") for part in parts]


def _filled(text: str, indent: str) -> str:
    """As wide as the terminal, and no wider than is pleasant to read; names and addresses stay whole."""
    room = max(_LEAST, min(width() or _WIDEST, _WIDEST))
    return textwrap.fill(text, room, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
