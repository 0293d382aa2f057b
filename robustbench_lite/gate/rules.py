"""The rules of a gate, as the suite's `gate:` declares them: what may fall by how much, and how sure we must be."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from pydantic import Field, ValidationError, field_validator

from robustbench_lite.errors import UsageError, problems_of
from robustbench_lite.registry import Config, Number

__all__ = ["Gate", "Limits", "Named", "Rule", "gate_of"]


class Named(Protocol):
    """What a rule can tell gates apart by."""

    @property
    def dataset(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def attack(self) -> str: ...
    @property
    def variant(self) -> str: ...


class Limits(Config):
    """What one gate allows."""

    max_drop: Number = Field(
        0.5, ge=0, lt=100, description="Points of robust accuracy that may be lost; a larger loss must also be certain."
    )
    max_distance_drop: Number = Field(
        2.0, ge=0, lt=100, description="Percent by which the mean distance of minimal attacks may fall, likewise."
    )
    min_robust_accuracy: Number | None = Field(
        None, ge=0, le=100, description="Floor in percent: the lower Clopper-Pearson bound must not lie below it."
    )
    min_worst_case: Number | None = Field(
        None,
        ge=0,
        le=100,
        description="The same floor for what every attack of the run leaves within this budget, not this one alone.",
    )
    min_rho: Number | None = Field(
        None,
        ge=0,
        description="Floor of the mean rho of a minimal attack, below 99 % success of the median with failures as "
        "infinite: the lower end of its interval must reach it.",
    )
    max_cost: Number | None = Field(
        None, gt=0, description="Most forward and backward passes per sample that the attack's wall time may be worth."
    )

    @field_validator("min_robust_accuracy", "min_worst_case")
    @classmethod
    def _percent(cls, value: float | None) -> float | None:
        if value is not None and 0 < value < 1:
            raise ValueError(f"expected percent, got {value:g}; write {100 * value:g} for {100 * value:g} %")
        return value


class Rule(Limits):
    """Limits for some of the gates: those whose names match every pattern (`*` and `?`)."""

    dataset: str = Field("*", description="Pattern for the dataset.")
    model: str = Field("*", description="Pattern for the scored classifier.")
    attack: str = Field("*", description="Pattern for the attack, by its name or as tables call it.")

    def matches(self, named: Named) -> bool:
        attack = fnmatchcase(named.attack, self.attack) or named.variant == self.attack
        attack = attack or fnmatchcase(named.variant, self.attack)
        return attack and fnmatchcase(named.dataset, self.dataset) and fnmatchcase(named.model, self.model)

    def stated(self) -> dict[str, Any]:
        """The limits that this rule gives; the others stay as they are."""
        return {name: getattr(self, name) for name in Limits.model_fields if name in self.model_fields_set}

    def __str__(self) -> str:
        names = [name for name in ("dataset", "model", "attack") if name in self.model_fields_set]
        return ", ".join(f"{name}: {getattr(self, name)}" for name in names) or "no pattern"


class Gate(Limits):
    """All rules of a run."""

    confidence: Number = Field(
        0.95, gt=0.5, lt=1, description="Without any real change, at least this share of runs passes as a whole."
    )
    mode: Literal["test", "point"] = Field(
        "test", description="test: a loss must be certain; point: every loss beyond the margin fails, chance included."
    )
    distance: Literal["rho", "l2"] = Field("rho", description="The size of minimal perturbations that is compared.")
    cells: tuple[Rule, ...] = Field((), description="Limits for some of the gates; later ones win.")

    def limits(self, named: Named) -> Limits:
        """What holds for one gate."""
        own: dict[str, Any] = {name: getattr(self, name) for name in Limits.model_fields}
        for rule in self.cells:
            if rule.matches(named):
                own |= rule.stated()
        return Limits(**own)

    def plain(self) -> dict[str, Any]:
        """What was stated, as plain data: `gate_of` takes it back."""
        return self.model_dump(mode="json", exclude_unset=True)


def gate_of(plain: Mapping[str, Any] | None, overrides: Mapping[str, Any] | None = None) -> Gate:
    """The rules in plain data, with `overrides` over them. Raises UsageError that names each problem."""
    try:
        return Gate(**{**(plain or {}), **(overrides or {})})
    except ValidationError as error:
        problems = [f"gate: {message}" for _, message in problems_of(error, Gate)]
        raise UsageError("; ".join(problems)) from None
