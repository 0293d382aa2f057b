"""`train`: a classifier or a generator from its committed recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_lite.cli.exit import say
from robustbench_lite.cli.options import device_option

if TYPE_CHECKING:
    from robustbench_lite.generators.card import Card

__all__ = ["train"]


@click.command()
@click.argument("recipe")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path(), help="Folder for weights and card.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the training data.")
@click.option("--scores", is_flag=True, help="Train nothing: take a generator's scores anew, of its weights in --out.")
@device_option
def train(recipe: str, out: Path, data: Path | None, device: str, *, scores: bool) -> None:
    """Train a classifier or a generator from its committed RECIPE; an interrupted training goes on where it stopped.

    With --scores: of the shipped generator where --out has no weights of it.
    """
    from robustbench_lite.errors import UsageError, did_you_mean
    from robustbench_lite.generators.recipe import recipes as of_generators
    from robustbench_lite.models.recipe import recipes as of_classifiers
    from robustbench_lite.runner.run import device_named

    known = {**dict.fromkeys(of_classifiers(), _classifier), **dict.fromkeys(of_generators(), _generator)}
    if recipe not in known:
        raise UsageError(f"unknown recipe '{recipe}'{did_you_mean(recipe, known)}")
    if scores and known[recipe] is _classifier:
        raise UsageError(f"--scores: {recipe} is a classifier; a suite measures those")
    done = _rescored(recipe, out, data) if scores else known[recipe](recipe, out, data, str(device_named(device)))
    click.echo(f"{done}; weights and card are in {out}")


def _classifier(recipe: str, out: Path, data: Path | None, device: str) -> str:
    from robustbench_lite.models.training import train as run_recipe

    card = run_recipe(recipe, out, data_root=data, device=device, progress=say)
    return f"{card.name}: test error {card.test_error:.2f} %"


def _generator(recipe: str, out: Path, data: Path | None, device: str) -> str:
    from robustbench_lite.generators.train import train as run_recipe

    return _said(run_recipe(recipe, out, data_root=data, device=device, progress=say))


def _rescored(recipe: str, out: Path, data: Path | None) -> str:
    from robustbench_lite.generators.train import rescored

    return _said(rescored(recipe, out, data_root=data, progress=say))


def _said(card: Card) -> str:
    scores = ", ".join(f"{key} {card.scores[key]:.4g}" for key in _SHORT if key in card.scores)
    return f"{card.name}: {scores or 'trained'}"


_SHORT = ("classifier_score", "classifier_score_real", "frechet", "covered", "modes", "high_quality")
