"""The `sparse_coding:` of a suite: models, pursuits and noise that are measured against the theorems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from robustbench_lite.registry import Config, Number, one_of
from robustbench_lite.sparse_coding import MODELS, Design, PursuitName, Setup, designs
from robustbench_lite.suite._written import entry_of, expanded, origins, text_of, told_apart
from robustbench_lite.suite.records import Parts, kind_of
from robustbench_lite.suite.yaml import Key

__all__ = ["Measurement", "SparseEntry", "entries"]

_OWN = ("dictionaries", "positions", "sparsity")  # of a model that is written out


class Measurement(Config):
    """Signals of one model, a pursuit that is set for noise of one local energy, and noise of one."""

    model: Annotated[str, one_of("model", lambda: MODELS)] | None = Field(
        None, description="A shipped model; or else `dictionaries`, `positions` and `sparsity`."
    )
    dictionaries: tuple[dict[str, dict[str, Any]], ...] = Field(
        (), description="Dictionaries from the signal inwards, each a name or {name: parameters}."
    )
    positions: PositiveInt | None = Field(None, description="Of atoms in the deepest layer, along each axis.")
    sparsity: tuple[PositiveInt, ...] = Field((), description="Nonzeros of a stripe, at most, layer by layer.")
    pursuit: PursuitName = Field(description="How representations are found.")
    noise: Number = Field(gt=0, description="Local energy of the noise: the largest Euclidean length of a patch.")
    set_for: Number | None = Field(
        None, gt=0, description="Local energy for which thresholds or penalties are chosen; null: that of the noise."
    )
    signals: PositiveInt = Field(100, description="Drawn at random.")
    steps: NonNegativeInt = Field(20, description="Of the adversary's ascent; 0: random noise alone.")
    iterations: PositiveInt = Field(30, description="Of FISTA, in every layer of basis pursuit.")
    seed: NonNegativeInt | None = Field(None, description="Of signals and noise; null: that of the suite.")


@dataclass(frozen=True)
class SparseEntry:
    """What is measured, and what this suite calls it."""

    name: str
    model: str  # what tables call the dictionaries
    setup: Setup
    pursuit: PursuitName
    noise: float
    set_for: float
    signals: int
    steps: int
    iterations: int
    seed: int


def entries(parts: Parts) -> tuple[SparseEntry, ...]:
    """The sparse codings of a suite, its matrices expanded."""
    found: list[tuple[Key, str, Setup, Measurement]] = []
    for i, entry in enumerate(parts.items("sparse_coding")):
        path: Key = ("sparse_coding", i)
        if not isinstance(entry, dict):
            parts.wrong(path, f"expected a mapping with a pursuit and noise, got {kind_of(entry)}")
            continue
        for label, params, _ in expanded(parts, path, entry):
            if (built := _built(parts, path, params)) is not None:
                found.append((path, label or _title(built[1]), *built))
    models = told_apart([(title, setup.params()) for _, title, setup, _ in found])
    named = [_entry(model, setup, one, parts) for model, (_, _, setup, one) in zip(models, found, strict=True)]
    rest = [{key: value for key, value in asdict(one).items() if key not in {"setup", "name"}} for one in named]
    names = told_apart([(one.name, own) for one, own in zip(named, rest, strict=True)])
    parts.unique("sparse coding", [(path, name) for (path, *_), name in zip(found, names, strict=True)])
    return tuple(SparseEntry(**vars(one) | {"name": name}) for one, name in zip(named, names, strict=True))


def _built(parts: Parts, path: Key, params: dict[str, Any]) -> tuple[Setup, Measurement] | None:
    """The model and how it is measured, or None and what is wrong."""
    written = params.get("dictionaries")
    params = params | ({"dictionaries": list(map(entry_of, written))} if isinstance(written, list) else {})
    one = parts.built(Measurement, params, path, origins(parts, path))
    if one is None:
        return None
    beside = [key for key in _OWN if getattr(one, key)]
    if one.model is not None:
        if beside:
            parts.wrong((*path, beside[0]), f"{beside[0]}: the model '{one.model}' has its own; leave one of them out")
            return None
        return MODELS[one.model], one
    if len(beside) < len(_OWN):
        lacking = ", ".join(key for key in _OWN if key not in beside)
        parts.wrong(path, f"expected a model, or dictionaries, positions and sparsity; {lacking} are missing")
        return None
    setup = _setup(parts, path, one)
    return None if setup is None else (setup, one)


def _setup(parts: Parts, path: Key, one: Measurement) -> Setup | None:
    """The model that is written out."""
    place = (*origins(parts, path).get("dictionaries", path), "dictionaries")
    built = list(_designs(parts, place, one))
    if len(built) < len(one.dictionaries):
        return None
    setup = Setup(tuple(built), one.positions or 0, one.sparsity)
    if setup.unfit:
        parts.wrong(place, f"dictionaries: {setup.unfit}")
        return None
    return setup


def _designs(parts: Parts, place: Key, one: Measurement) -> Iterator[Design]:
    for i, entry in enumerate(one.dictionaries):
        if len(entry) != 1:
            parts.wrong((*place, i), f"expected one name, or one {{name: parameters}}, got {list(entry)}")
        for name, params in entry.items():
            if (design := parts.record(designs, name, params, (*place, i, name))) is not None:
                yield design


def _title(one: Measurement) -> str:
    """What dictionaries are called that nobody gave a name."""
    return one.model or ", ".join(name for entry in one.dictionaries for name in entry)


def _entry(model: str, setup: Setup, one: Measurement, parts: Parts) -> SparseEntry:
    seed = parts.marked.data.get("seed")
    own = {key: getattr(one, key) for key in ("pursuit", "noise", "signals", "steps", "iterations")}
    set_for = one.noise if one.set_for is None else one.set_for
    apart = "" if set_for == one.noise else f", set for {set_for:g}"
    name = f"{model}, {text_of(one.pursuit)}, noise {one.noise:g}{apart}"
    default = seed if isinstance(seed, int) else 0
    return SparseEntry(name, model, setup, set_for=set_for, seed=default if one.seed is None else one.seed, **own)
