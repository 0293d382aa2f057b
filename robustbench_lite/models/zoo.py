"""Classifiers that come with the package, each trained by a committed recipe and described by its card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from robustbench_lite.errors import ModelError
from robustbench_lite.models import archs
from robustbench_lite.models._checkpoint import load_state, read_weights
from robustbench_lite.models.base import Card, Classifier, ModelSource, models
from robustbench_lite.models.finish import channels_last, finish, sha256_of
from robustbench_lite.registry import one_of

__all__ = ["FOLDER", "RECIPES", "Zoo", "available", "card", "known"]

FOLDER = Path(__file__).parent / "cards"
RECIPES = Path(__file__).parent / "recipes"


def available() -> list[str]:
    """Names of the classifiers that are shipped with their weights."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def known() -> list[str]:
    """Names that a suite may use: the shipped classifiers, and those of which only the recipe is here."""
    return sorted({*available(), *(path.stem for path in RECIPES.glob("*.yaml"))})


def card(name: str) -> Card:
    """The card of a shipped classifier. Raises ModelError for a damaged one."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return Card(**YAML(typ="safe", pure=True).load(text))
    except ValidationError as error:
        raise ModelError(f"card of {name}: {error}") from None


@models.register("zoo")
class Zoo(ModelSource):
    """A classifier of the zoo, by name."""

    zoo: Annotated[str, one_of("classifier", known)] = Field(description="Name of the shipped classifier.")

    @property
    def title(self) -> str:
        return self.name or self.zoo

    def load(self, root: Path) -> Classifier:  # noqa: ARG002
        if self.zoo not in available():
            raise ModelError(
                f"{self.zoo}: its recipe is here, but no weights are shipped; `robustbench-lite train {self.zoo}` "
                f"makes them, and `file: {self.zoo}.safetensors` names them in a suite"
            )
        facts = card(self.zoo)
        path = FOLDER / f"{self.zoo}.safetensors"
        if not path.is_file() or sha256_of(path) != facts.sha256:
            raise ModelError(f"{self.zoo}: the weights file is missing or not the one its card describes; reinstall")
        net = archs.build(facts.arch, facts.size[0], facts.classes)
        load_state(net, read_weights(path, self.zoo), self.zoo)
        changes = {"name": self.title, "mean": self.mean or facts.mean, "std": self.std or facts.std}
        return replace(finish(facts.model_copy(update=changes), channels_last(net)), code=archs.code(facts.arch))
