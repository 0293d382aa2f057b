"""A classifier behind a defence: `{defended: lenet_mnist, by: {jpeg: {quality: 50}}}`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from robustbench_lite.errors import ModelError, Problem, SuiteError
from robustbench_lite.guards.foreign import blamed
from robustbench_lite.lazy import torch
from robustbench_lite.models.attackable import attackable
from robustbench_lite.models.base import Classifier, ModelSource, models
from robustbench_lite.models.defense import By
from robustbench_lite.registry import canonical, fingerprint

__all__ = ["Defended"]

_INSIDE = ("mean", "std", "size", "classes")  # keys of the classifier itself


@models.register("defended")
class Defended(ModelSource):
    """A classifier with a defence in front of it, attacked by who knows the defence."""

    defended: str | dict[str, Any] = Field(
        description="The classifier behind: a name of the zoo, `source:name`, or a mapping as for an entry of its own."
    )
    by: By = Field(description="The defence: its name, or {name: parameters}.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for key in _INSIDE:
            if getattr(self, key) is not None:
                raise ValueError(f"{key}: say it of the classifier behind: {{defended: {{zoo: ..., {key}: ...}}}}")
        try:
            _ = self.behind
        except SuiteError as error:
            raise ValueError("; ".join(f"defended: {problem.message}" for problem in error.problems)) from None
        return self

    @cached_property
    def behind(self) -> ModelSource:
        """The source of the classifier itself. Raises SuiteError."""
        if isinstance(self.defended, str):
            kind, colon, value = self.defended.partition(":")
            params: dict[str, Any] = {kind: value} if colon else {"zoo": kind}
        else:
            params = dict(self.defended)
        kinds = [key for key in params if key in models]
        if len(kinds) != 1:
            sentence = f"expected exactly one of {', '.join(models)} in a classifier, got {list(params)}"
            raise SuiteError([Problem("defended", sentence)])
        return models.build(kinds[0], {**params, "trust": self.trust})

    @property
    def title(self) -> str:
        return self.name or f"{self.behind.title} behind {self.by.registered}"

    @property
    def runs_code(self) -> bool:
        return self.behind.runs_code or self.behind.stand_in is not None

    @property
    def defense(self) -> dict[str, str]:
        return {"classifier": self.behind.title, "by": self.by.registered, "params": canonical(self.by.params())}

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        yield from (("defended", sentence) for _, sentence in self.behind.absent(root))

    def fetch(self, root: Path) -> None:
        self.behind.fetch(root)

    def load(self, root: Path) -> Classifier:
        inner, by = attackable(self.behind, root), self.by
        with blamed(f"{self.title}: {by.registered}", ModelError, "load"):
            module = by(inner.module).eval().requires_grad_(requires_grad=False)
            with torch.no_grad():
                shape = tuple(module(torch.full((1, *inner.card.size), 0.5)).shape)
        if shape != (1, inner.card.classes):
            raise ModelError(f"{self.title}: expected logits (1, {inner.card.classes}), got {shape}")
        unknown: dict[str, Any] = {
            "accuracy": {},
            "robust": (),
            "test_error": None,
            "sha256": "",
            "published": {},
        }  # of the one behind
        return replace(
            inner,
            name=self.title,
            card=inner.card.model_copy(update={"name": self.title, **unknown}),
            module=module,
            weights=fingerprint([inner.weights, by.identity()]),
            notes=(*inner.notes, f"behind {by.registered} {canonical(by.params())}: {by.through}"),
            draws=inner.draws * by.draws,
            certify=getattr(module, "certify", None),
        )
