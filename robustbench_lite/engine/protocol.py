"""How an attack is used, whatever its algorithm: what counts as success, whom it sees, in which views it is judged."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from robustbench_lite.engine.views import Chain
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.setting import Setting, Views
from robustbench_lite.transforms.distribution import Distribution, Operations

__all__ = ["GoalName", "Protocol", "Sources", "Target"]

GoalName = Literal["label", "prediction"]
Target = Literal["random", "least_likely", "next"] | NonNegativeInt
Sources = Literal["single", "leave_one_out", "all"] | tuple[str, ...]

# What came after the first results, in groups. Where the first of a group is as usual, `params` and so cell ids leave
# out whatever of it is: what was stored before stands. An attack has the same for its own, `later`. Nothing else is
# ever left out.
_LATER = (("under", "evaluation_draws"),)


class Protocol(Config):
    """What every attack has beside its algorithm. The keys stand among its own, in Python as in YAML."""

    later: ClassVar[tuple[tuple[str, ...], ...]] = ()  # parameters that came after the first results, in groups

    goal: GoalName = Field(
        "label", description="Untargeted: leave the true label, or the prediction on the clean image."
    )
    target: Target | None = Field(
        None,
        description=(
            "Targeted: a class, by its number (samples of that class are left out), or one per sample: random, "
            "least_likely or next; null: untargeted."
        ),
    )

    sources: Sources | None = Field(
        None,
        description=(
            "The classifiers that the attacker sees. null: each its own, and only it is scored. Else every classifier "
            "of the suite is scored: single (each in turn), leave_one_out (all but one), all, or a list of names. "
            "Several are attacked as the mean of their probabilities."
        ),
    )

    under: Operations | None = Field(
        None,
        description=(
            "A distribution of transformations, a list of operations: beside the image itself the judge scores fresh "
            "views of it, and of the original, drawn from there. null: no views."
        ),
    )
    evaluation_draws: PositiveInt = Field(1000, description="Views of each image that the judge scores.")

    @field_validator("sources")
    @classmethod
    def _several(cls, sources: Sources | None) -> Sources | None:
        if isinstance(sources, tuple) and (not sources or len(set(sources)) < len(sources)):
            raise ValueError("expected names of different classifiers")
        return sources

    def params(self) -> dict[str, Any]:
        """Every parameter, those aside that came later where nothing is said of them."""
        own = super().params()
        groups = [group for group in (*_LATER, *self.later) if self._usual(group[0], own)]
        return {k: v for k, v in own.items() if not any(k in group and self._usual(k, own) for group in groups)}

    def _usual(self, key: str, own: dict[str, Any]) -> bool:
        return bool(own[key] == type(self).model_fields[key].default)

    @property
    def aim(self) -> str:
        """What success is, in a word: label, prediction or target."""
        return self.goal if self.target is None else "target"

    def goals(self, labels: torch.Tensor, clean: torch.Tensor, draw: Draw) -> Goal:
        """What success is measured against, from labels (N,) and clean logits (N, K); no target is the true label.

        `draw` is the same for every attack, so that two of them can be compared sample by sample.
        Raises AttackError where the target is not a class of the classifier.
        """
        classes = clean.shape[1]
        if self.target is None:
            return Goal(labels if self.goal == "label" else clean.argmax(1), classes)
        if self.target == "random":
            target = (labels + 1 + draw.integer("target", classes - 1)) % classes
        elif self.target == "next":
            target = (labels + 1) % classes
        elif self.target == "least_likely":
            target = clean.scatter(1, labels[:, None], float("inf")).argmin(1)
        elif self.target >= classes:
            raise AttackError(
                f"target: expected a class below {classes}, as many as the classifier has; got {self.target}"
            )
        else:
            target = torch.full_like(labels, self.target)
        return Goal(target, classes, targeted=True)

    def views(self, setting: Setting | None = None) -> Views | None:
        """What classifiers are shown of an image in the setting; None: the image itself."""
        parts: list[Views] = [] if setting is None or setting.views is None else [setting.views]
        parts += [] if self.under is None else [Distribution(self.under)]
        return Chain(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None
