"""Trains a generator from its committed recipe, and writes its weights, its rows and its card."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from robustbench_lite.datasets.base import images
from robustbench_lite.errors import ModelError
from robustbench_lite.generators._data import Data, Images, data_of, loaded
from robustbench_lite.generators.card import Card
from robustbench_lite.generators.recipe import Recipe, recipe
from robustbench_lite.generators.scores import Judge, scores_of
from robustbench_lite.generators.training import Training, trained
from robustbench_lite.generators.zoo import FOLDER, Generator, finished, load
from robustbench_lite.models.finish import sha256_of

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["rescored", "train"]

_JUDGED = 2000  # images that scores are taken of, at most; half of the test images where those are fewer


def train(
    name: str | Path,
    out: Path,
    data_root: Path | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Card:
    """Train recipe `name`, or one in a file; writes NAME.safetensors, .yaml and .rows.parquet into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    todo, root = recipe(name), data_root or Path.cwd()
    done = trained(todo, out / f"{todo.name}.checkpoint.pt", root, device, progress)
    return written(done, out, root, progress)


def written(done: Training, out: Path, root: Path, progress: Callable[[str], None]) -> Card:
    """Weights in float16, rows of losses, scores and card of a training that is done."""
    import pandas as pd
    from safetensors.torch import save_file

    todo, path = done.todo, out / f"{done.todo.name}.safetensors"
    pd.DataFrame(done.rows).to_parquet(out / f"{todo.name}.rows.parquet", index=False)
    net = done.kept.cpu()
    save_file(_halved(net), path)
    net.load_state_dict(_halved(net))  # what is stored is what is judged
    generator = finished(_card(done, sha256_of(path)), done.nets, net)
    progress(f"{todo.name}: trained in {done.seconds / 60:.0f} minutes; taking its scores")
    return _carded(generator, _scores(generator, todo, done.data, root), out)


def rescored(
    name: str | Path, out: Path, data_root: Path | None = None, progress: Callable[[str], None] = lambda _: None
) -> Card:
    """The card of recipe `name` with scores taken anew: of weights that lie in `out`, else of the shipped ones.

    Raises ModelError where there are none, or they are of another recipe.
    """
    todo, root = recipe(name), data_root or Path.cwd()
    name = todo.name
    there = out / f"{name}.yaml"
    generator = load(str(there) if there.exists() else name)
    if any(getattr(generator.card, key) != getattr(todo, key) for key in ("architecture", "objective", "steps")):
        raise ModelError(f"{name}: the weights are of another recipe than {name} is now; train it")
    out.mkdir(parents=True, exist_ok=True)
    if not there.exists():
        shutil.copyfile(FOLDER / f"{name}.safetensors", out / f"{name}.safetensors")
    progress(f"{name}: taking its scores")
    return _carded(generator, _scores(generator, todo, data_of(todo, root), root), out)


def _carded(generator: Generator, scores: dict[str, float], out: Path) -> Card:
    """Its card, written, with these scores."""
    facts, yaml = generator.card.model_copy(update={"scores": scores}), YAML()
    yaml.width = 110
    with (out / f"{facts.name}.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(facts.model_dump(mode="json", exclude_defaults=True), file)
    return facts


def _halved(net: nn.Module) -> dict[str, torch.Tensor]:
    state = net.state_dict()
    return {key: value.half().contiguous() if value.is_floating_point() else value for key, value in state.items()}


def _card(done: Training, sha256: str) -> Card:
    todo = done.todo
    return Card(
        name=todo.name,
        architecture=todo.architecture,
        objective=todo.objective,
        size=todo.size,
        dataset=todo.dataset,
        steps=todo.steps,
        seconds=round(done.seconds),
        classifier=todo.judge,
        licence="MIT",
        sha256=sha256,
        source=(
            f"recipe {todo.name} ({todo.hash}), seed {todo.seed}, {todo.steps} steps of {todo.batch_size} on "
            f"{', '.join(map(str, todo.train)) or todo.points}; trained {datetime.now(UTC).date()} "
            f"on {', then '.join(done.hardware)}, torch {version('torch')}"
        ),
    )


def _scores(generator: Generator, todo: Recipe, data: Data, root: Path) -> dict[str, float]:
    """Of points, what of the mixture they cover; of images, what its recipe's judge says, where it has one."""
    if (mixture := todo.mixture) is not None:
        found = mixture.coverage(generator.sample(2500))
        return {"modes": found.modes, "covered": found.covered, "high_quality": found.high_quality}
    if todo.test is None or not todo.judge or not isinstance(data, Images):
        return {}
    test = images(loaded(todo.test, root, todo.pad))
    judge = Judge(todo.judge, test, data.pixels.float() / 255, todo.pad)
    return scores_of(generator.sample(min(_JUDGED, len(test) // 2)), judge)
