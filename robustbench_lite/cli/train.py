"""`train`: a classifier or a generator from a recipe, a committed one or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_lite.cli.exit import say
from robustbench_lite.cli.options import device_option
from robustbench_lite.errors import DeviceError, UsageError, did_you_mean

if TYPE_CHECKING:
    from robustbench_lite.generators.card import Card

__all__ = ["train"]

_SAID = ("classifier_score", "classifier_score_real", "frechet", "covered", "modes", "high_quality")
_NEXT = "mend the recipe (docs/models.md, docs/generators.md), then the same command again"
Train = Callable[[str | Path, Path, Path | None, str], str]


@click.command(short_help="Train a classifier or generator from a recipe.")
@click.argument("recipe")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path(), help="Folder for weights and card.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the training data.")
@click.option("--scores", is_flag=True, help="Train nothing: take a generator's scores anew, of its weights in --out.")
@device_option
def train(recipe: str, out: Path, data: Path | None, device: str, *, scores: bool) -> None:
    """Train a classifier or a generator from RECIPE: a committed one by its name, or a YAML file of yours.

    An interrupted training goes on where it stopped. With --scores: those of the shipped generator where --out has no
    weights of it.
    """
    from robustbench_lite.runner.run import device_named

    own = Path(recipe) if recipe.endswith((".yaml", ".yml")) else None
    try:
        make = _committed(recipe) if own is None else _of_file(own)
        if scores and make is _classifier:
            raise UsageError(f"--scores: {recipe} is a classifier; a suite measures those")
        said = (_rescored if scores else make)(own or recipe, out, data, str(device_named(device)))
    except DeviceError:
        raise
    except UsageError as problem:
        raise problem.with_next(_NEXT) from None
    click.echo(f"{said}; weights and card are in {out}")


def _committed(recipe: str) -> Train:
    from robustbench_lite.generators.recipe import recipes as of_generators
    from robustbench_lite.models.recipe import recipes as of_classifiers

    known = {**dict.fromkeys(of_classifiers(), _classifier), **dict.fromkeys(of_generators(), _generator)}
    if recipe not in known:
        hint = f" (a recipe of yours is a file: {recipe}.yaml)"
        raise UsageError(f"unknown recipe '{recipe}'{did_you_mean(recipe, known)}{hint}")
    return known[recipe]


def _of_file(path: Path) -> Train:
    """What its keys make it: a classifier has an `arch`, a generator an `architecture` and an `objective`."""
    from robustbench_lite.models.recipe import content

    keys = content(path).keys()
    kinds = [kind for key, kind in (("arch", _classifier), ("architecture", _generator)) if key in keys]
    if len(kinds) != 1:
        raise UsageError(
            f"{path}: expected a recipe of a classifier (arch: ...) or of a generator (architecture: ...), "
            f"got {', '.join(map(str, keys))}"
        )
    return kinds[0]


def _classifier(recipe: str | Path, out: Path, data: Path | None, device: str) -> str:
    from robustbench_lite.models.training import train as run_recipe

    card = run_recipe(recipe, out, data_root=data, device=device, progress=say)
    entry = {"mean": list(card.mean), "std": list(card.std), "size": list(card.size), "classes": card.classes}
    said = ", ".join(f"{key}: {value}" for key, value in entry.items())
    if isinstance(recipe, Path):
        say(f"in a suite: models: [{{file: {out / card.name}.safetensors, arch: {card.arch}, {said}}}]")
    return f"{card.name}: test error {card.test_error:.2f} %"


def _generator(recipe: str | Path, out: Path, data: Path | None, device: str) -> str:
    from robustbench_lite.generators.train import train as run_recipe

    return _said(run_recipe(recipe, out, data_root=data, device=device, progress=say))


def _rescored(recipe: str | Path, out: Path, data: Path | None, _device: str) -> str:
    from robustbench_lite.generators.train import rescored

    return _said(rescored(recipe, out, data_root=data, progress=say))


def _said(card: Card) -> str:
    scores = ", ".join(f"{key} {card.scores[key]:.4g}" for key in _SAID if key in card.scores)
    return f"{card.name}: {scores or 'trained'}"
