"""Training: a kill changes nothing, the schedule is the objective's, what goes wrong is told."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.errors import DataError, ModelError, SuiteError, UsageError
from robustbench_lite.generators import Recipe, Training, trained
from robustbench_lite.generators._data import Images
from robustbench_lite.generators.recipe import recipe, recipes

POINTS = {"architecture": {"points_mlp": {"width": 16}}, "points": {"ring": {}}, "size": [2], "dataset": "ring"}
IMAGES = {"size": [1, 8, 8], "dataset": "noise", "train": [{"idx": "nowhere"}]}
PAIRS = {
    "points": POINTS | {"objective": {"wgan_gp": {}}},
    "dropout": IMAGES | {"architecture": {"goodfellow_mlp": {"width": 8, "units": 4}}, "objective": {"minimax": {}}},
    "batch norm": IMAGES | {"architecture": {"dcgan": {"filters": 4}}, "objective": {"wgan": {"warm_up": 2}}},
    "growing": IMAGES | {"architecture": {"progressive": {"filters": 4}}, "objective": {"wgan_gp": {"n_critic": 1}}},
}


def tiny(kind="points", **options):
    known = {"name": "tiny", "steps": 7, "batch_size": 8, "log_every": 1, "save_every": 3, "average": 0.9}
    return Recipe(**PAIRS[kind] | known | options)


def pictures(n=40, batch_size=8):
    pixels = torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Images(pixels, batch_size, seed=0)


def training(todo, path):
    if todo.points:
        from robustbench_lite.generators._data import data_of

        return Training(todo, data_of(todo, path), path / "tiny.pt", torch.device("cpu"))
    return Training(todo, pictures(), path / "tiny.pt", torch.device("cpu"))


def numbers(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def state(done):
    parts = [done.generator, done.critic, done.averaged, *done.optimizers]
    return {f"{i}.{key}": value for i, part in enumerate(parts) for key, value in _flat(part.state_dict())}


def _flat(values, prefix=""):
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, dict | list):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("kind", PAIRS)
def test_a_killed_training_goes_on_bit_for_bit(kind, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = training(tiny(kind), tmp_path / "whole")
    whole.run(lambda _: None)

    def kill(text):
        if "step 5/" in text:  # two steps after the last checkpoint
            raise KeyboardInterrupt

    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        training(tiny(kind), tmp_path).run(kill)
    torch.manual_seed(2)  # another process, at another place of its random numbers
    resumed = training(tiny(kind), tmp_path)
    resumed.run(lambda _: None)
    assert resumed.step == 7 and numbers(resumed.rows) == numbers(whole.rows)
    ours, theirs = state(resumed), state(whole)
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        same = torch.equal(value, theirs[key]) if isinstance(value, torch.Tensor) else value == theirs[key]
        assert same, key


def test_a_seed_decides_everything(tmp_path):
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        runs.append(training(tiny(seed=seed), tmp_path / name))
        runs[-1].run(lambda _: None)
    a, b, c = (run.rows[-1]["wasserstein"] for run in runs)
    assert a == b != c


def test_the_critic_steps_as_often_as_its_objective_says(tmp_path):
    done = training(tiny("batch norm", steps=4), tmp_path)
    done.run(lambda _: None)
    assert [row["images"] / 8 for row in done.rows] == [100, 200, 205, 210]
    assert max(parameter.abs().max().item() for parameter in done.critic.parameters()) <= 0.01 + 1e-9


def test_step_sizes_fall_to_zero_in_the_last_share_of_the_steps(tmp_path):
    training_ = training(tiny(steps=10, anneal=0.4, save_every=100), tmp_path)
    seen = []

    def look(_):
        seen.append([group["lr"] / training_.game.lr for one in training_.optimizers for group in one.param_groups])

    training_.run(look)
    assert [rates[0] for rates in seen] == pytest.approx([1] * 7 + [0.75, 0.5, 0.25])
    assert all(rates[0] == rates[1] for rates in seen)


def test_every_image_is_seen_once_in_an_epoch():
    data = pictures()
    first = torch.cat([data.batch(i) for i in range(5)])
    again = torch.cat([data.batch(i) for i in range(5, 10)])
    rows = lambda batch: sorted(tuple(image.flatten().tolist()) for image in batch)
    assert rows(first) == rows(again) == rows(data.pixels.float() / 127.5 - 1)
    assert not torch.equal(first, again)
    assert first.min() == -1 and first.max() == 1


def test_the_running_mean_is_what_is_kept(tmp_path):
    done = training(tiny(average=0.9), tmp_path)
    done.run(lambda _: None)
    assert done.kept is done.averaged and not done.kept.training
    mean, run = None, training(tiny(average=0.9, save_every=99), tmp_path / "..")
    for _ in range(7):
        mean = mean or {key: value.clone() for key, value in run.generator.state_dict().items()}
        run._advance()
        run.step += 1
        mean = {key: 0.9 * value + 0.1 * run.generator.state_dict()[key] for key, value in mean.items()}
    assert all(torch.allclose(value, mean[key]) for key, value in done.kept.state_dict().items())
    pairs = zip(done.averaged.parameters(), done.generator.parameters(), strict=True)
    assert any(not torch.equal(mean, last) for mean, last in pairs)
    plain = training(tiny(average=0), tmp_path / "..")
    assert plain.kept is plain.generator


def test_a_checkpoint_of_another_recipe_is_told(tmp_path):
    training(tiny(), tmp_path).run(lambda _: None)
    with pytest.raises(ModelError, match="of another recipe than tiny is now; remove it"):
        training(tiny(seed=3), tmp_path).run(lambda _: None)


def test_a_training_that_diverges_is_told_and_not_saved(tmp_path):
    todo = tiny("growing", objective={"wgan_gp": {"lr": 1e12}}, steps=50, save_every=50)
    with pytest.raises(ModelError, match=r"tiny: training diverged at step \d+: .*; take a smaller lr"):
        training(todo, tmp_path).run(lambda _: None)
    assert not (tmp_path / "tiny.pt").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"points": {}}, "expected either images .train. or a mixture"),
        ({"train": [{"idx": "MNIST"}]}, "expected either images .train. or a mixture"),
        ({"judge": "lenet_mnist"}, "judge: expected test images"),
    ],
)
def test_a_recipe_that_says_too_little_or_too_much(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        tiny(**change)


def test_unknown_names_and_missing_data_are_told(tmp_path):
    with pytest.raises(SuiteError, match="recipe: objective: unknown objective 'wgan_pg'; did you mean 'wgan_gp'"):
        _ = tiny(objective={"wgan_pg": {}}).game
    with pytest.raises(UsageError, match=r"recipe: points: expected one \{name: parameters\}"):
        _ = tiny(points={"ring": {}, "grid": {}}).mixture
    with pytest.raises(DataError):
        trained(tiny("batch norm"), tmp_path / "x.pt", tmp_path)


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_can_be_built(name):
    todo = recipe(name)
    todo.nets.generator(todo.size)
    assert todo.nets.critic(todo.size, todo.game.critic_norm) is not None
    assert todo.name == name
