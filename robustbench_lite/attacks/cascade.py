"""Attacks one after another, each on the samples that those before it did not break: a famous name is such a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from robustbench_lite.attacks.base import Composition
from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.engine.protocol import Protocol
from robustbench_lite.errors import SuiteError
from robustbench_lite.registry import Number

__all__ = ["Cascade", "Entries", "in_turn"]

Entries = tuple[str | dict[str, Any], ...]  # apgd, {apgd: {steps: 20}}, {apgd: {steps: 20}, as: short}
_SHARED = ("norm", "epsilon")


@attacks.register("cascade")
class Cascade(Composition):
    """Any attacks of one budget in turn: cheap ones first, expensive ones on what is left."""

    card: ClassVar[Card] = Card(
        title="Cascade",
        paper="none: as AutoAttack does it, Croce and Hein, ICML 2020",
        arxiv="2003.01690",
        protocol=(
            "Every attack on the samples that none before it has broken within the budget. The candidate of the one "
            "that breaks a sample counts, else that with the largest margin."
        ),
    )

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball, of all attacks in the list.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1]; of all of them.")
    attacks: Entries = Field(
        ("apgd", {"apgd": {"loss": "dlr_targeted"}}),
        min_length=1,
        description="The attacks in their order: apgd, or {apgd: {steps: 20}}, with `as: NAME` to tell two apart.",
    )

    @field_validator("attacks")
    @classmethod
    def _built(cls, entries: Entries, info: ValidationInfo) -> Entries:
        if not set(_SHARED) <= info.data.keys():
            return entries  # what is wrong with those is said already
        built = in_turn(entries, info.data["norm"], info.data["epsilon"], info.data.get("target"))
        own = {*_SHARED, *Protocol.model_fields}
        return tuple(
            {one.registered: {key: value for key, value in one.params().items() if key not in own}, "as": name}
            for name, one in built.items()
        )

    @property
    def members(self) -> dict[str, Attack]:
        return in_turn(self.attacks, self.norm, self.epsilon, self.target)


def in_turn(entries: Entries, norm: str, epsilon: float, target: int | str | None = None) -> dict[str, Attack]:
    """The attacks of a list by their names, all with this norm, radius and target. Raises ValueError."""
    parts = [_parts(entry) for entry in entries]
    names = _names((name, label) for name, _, label in parts)
    common = {"norm": norm, "epsilon": epsilon} | ({} if target is None else {"target": target})
    return {label: _member(name, params, common) for label, (name, params, _) in zip(names, parts, strict=True)}


def _parts(entry: str | dict[str, Any]) -> tuple[str, dict[str, Any], str | None]:
    """Attack, parameters, and what it is to be called."""
    if isinstance(entry, str):
        return entry, {}, None
    named = [key for key in entry if key != "as"]
    if len(named) != 1 or not isinstance(entry[named[0]] or {}, dict):
        raise ValueError(f"expected an attack and its parameters, such as {{apgd: {{steps: 20}}}}, got {entry}")
    label = entry.get("as")
    return named[0], entry[named[0]] or {}, None if label is None else str(label)


def _names(wanted: Iterable[tuple[str, str | None]]) -> list[str]:
    """A name for each that no other has: what it is to be called, else that of the attack, numbered from the second."""
    names: list[str] = []
    for name, label in wanted:
        number = Counter(names)[name] if label is None else 0
        numbered = [name, *(f"{name}-{i}" for i in range(2, len(names) + 3))]
        names.append(label or next(one for one in numbered[number:] if one not in names))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"two attacks of the list are called '{twice[0]}'; give one another name with `as`")
    return names


def _member(name: str, params: dict[str, Any], common: dict[str, Any]) -> Attack:
    """An attack of the list with what is common to all. Raises ValueError where it does not fit in."""
    if name not in attacks:
        raise ValueError(attacks.unknown(name))
    known = attacks[name].model_fields
    if own := sorted(params.keys() & {*_SHARED, *Protocol.model_fields}):
        raise ValueError(f"{name}: {own[0]} is that of the whole list; give it there")
    if "norm" not in known:
        raise ValueError(f"{name} bounds no norm, which an attack of the list has to")
    try:
        built = attacks.build(name, params | {key: value for key, value in common.items() if key in known})
    except SuiteError as error:
        raise ValueError(f"{name}: {error}") from None
    more = built.needs is not None or built.images_to_fit > 0 or isinstance(built, Composition)
    if more or built.threat != common["norm"] or not built.boxed:
        raise ValueError(f"{name} cannot be one of the list; expected an attack on single images in [0, 1] and a norm")
    return built
