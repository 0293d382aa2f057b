"""`train`: a classifier or a generator from its committed recipe."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_lite.cli.exit import say
from robustbench_lite.cli.options import device_option

__all__ = ["train"]


@click.command()
@click.argument("recipe")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path(), help="Folder for weights and card.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with the training data.")
@device_option
def train(recipe: str, out: Path, data: Path | None, device: str) -> None:
    """Train a classifier or a generator from its committed RECIPE; an interrupted training goes on where it stopped."""
    from robustbench_lite.errors import UsageError, did_you_mean
    from robustbench_lite.generators.recipe import recipes as of_generators
    from robustbench_lite.models.recipe import recipes as of_classifiers
    from robustbench_lite.runner.run import device_named

    known = {**dict.fromkeys(of_classifiers(), _classifier), **dict.fromkeys(of_generators(), _generator)}
    if recipe not in known:
        raise UsageError(f"unknown recipe '{recipe}'{did_you_mean(recipe, known)}")
    click.echo(f"{known[recipe](recipe, out, data, str(device_named(device)))}; weights and card are in {out}")


def _classifier(recipe: str, out: Path, data: Path | None, device: str) -> str:
    from robustbench_lite.models.training import train as run_recipe

    card = run_recipe(recipe, out, data_root=data, device=device, progress=say)
    return f"{card.name}: test error {card.test_error:.2f} %"


def _generator(recipe: str, out: Path, data: Path | None, device: str) -> str:
    from robustbench_lite.generators.train import train as run_recipe

    card = run_recipe(recipe, out, data_root=data, device=device, progress=say)
    scores = ", ".join(f"{key} {card.scores[key]:.4g}" for key in _SAID if key in card.scores)
    return f"{card.name}: {scores or 'trained'}"


_SAID = ("classifier_score", "classifier_score_real", "frechet", "covered", "modes", "high_quality")
