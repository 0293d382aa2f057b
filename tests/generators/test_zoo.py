"""Generators with weights: what is sampled, what a card holds, a training from recipe to card, and the command line."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from robustbench_lite.cli.catalogue import description, listing
from robustbench_lite.cli.verbs import cli
from robustbench_lite.errors import ModelError
from robustbench_lite.generators import Generator, Judge, available, load, scores_of
from robustbench_lite.generators.train import rescored, train
from robustbench_lite.generators.zoo import card

POINTS = """
name: tiny_ring
architecture: {points_mlp: {width: 8}}
objective: {wgan_gp: {}}
size: [2]
dataset: ring
points: {ring: {}}
steps: 4
batch_size: 8
log_every: 2
"""
IMAGES = """
name: tiny_digits
architecture: {dcgan: {filters: 4, latent: 8}}
objective: {non_saturating: {}}
size: [1, 32, 32]
dataset: mnist
train: [{bundled: mnist}]
test: {bundled: mnist}
pad: 2
judge: lenet_mnist
steps: 2
batch_size: 8
log_every: 1
average: 0.5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two small recipes, in the place of the committed ones, have been carried out."""
    out = tmp_path_factory.mktemp("trained")
    for text in (POINTS, IMAGES):
        (out / "recipes").mkdir(exist_ok=True)
        (out / "recipes" / f"{text.split()[1]}.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("robustbench_lite.generators.recipe.RECIPES", out / "recipes")
        train("tiny_digits", out)
        train("tiny_ring", out)
        yield out


def test_an_image_is_the_same_with_whatever_others_it_is_asked_for(folder):
    generator = load(str(folder / "tiny_digits.yaml"))
    many = generator.sample(130, seed=3)
    assert many.shape == (130, 1, 32, 32) and many.dtype == torch.float32
    assert many.min() >= 0 and many.max() <= 1
    for first, n in ((0, 1), (5, 7), (60, 10), (129, 1)):
        assert torch.equal(generator.sample(n, seed=3, first=first), many[first : first + n])
    assert not torch.equal(generator.sample(1, seed=4), many[:1])
    assert len(many.unique(dim=0)) == 130


def test_images_are_made_in_blocks_that_begin_at_the_same_numbers(folder):
    """So that every bit is the same: here a network whose images depend on those beside them shows it."""

    class Social(torch.nn.Linear):
        def forward(self, z):
            return super().forward(z) + z.sum()

    generator = Generator(card(str(folder / "tiny_ring.yaml")), Social(3, 2), 3)
    many = generator.sample(130)
    for first, n in ((0, 1), (63, 2), (70, 60), (129, 1)):
        assert torch.equal(generator.sample(n, first=first), many[first : first + n])


def test_a_training_leaves_weights_rows_and_a_card(folder):
    found = card(str(folder / "tiny_digits.yaml"))
    assert found.classifier == "lenet_mnist" and found.steps == 2 and found.sha256
    rows = pd.read_parquet(folder / "tiny_digits.rows.parquet")
    assert list(rows["step"]) == [1, 2] and {"critic_loss", "generator_loss", "wasserstein"} <= set(rows)


def test_scores_tell_digits_from_what_a_generator_of_two_steps_makes(folder):
    scores = card(str(folder / "tiny_digits.yaml")).scores
    assert scores["images"] == 500
    assert scores["classifier_score_real"] > 8 > scores["classifier_score"]
    assert scores["frechet_real"] < scores["frechet"] / 5
    assert scores["unevenness_real"] < 0.1 < scores["unevenness"]
    assert scores["precision_real"] > 0.6 and scores["recall_real"] > 0.6 and scores["recall"] < 0.1
    assert scores["swd_32_real"] < scores["swd_32"] / 3


def test_points_are_judged_by_their_mixture(folder):
    ring = load(str(folder / "tiny_ring.yaml"))
    assert ring.sample(70, seed=1).shape == (70, 2)
    assert ring.card.scores["modes"] == 8 and ring.card.scores["covered"] <= 8


def test_weights_that_are_not_those_of_the_card_are_told(folder, tmp_path):
    for name in ("tiny_ring.yaml", "tiny_ring.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with (tmp_path / "tiny_ring.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(ModelError, match="the weights file is missing or not the one its card describes"):
        load(str(tmp_path / "tiny_ring.yaml"))
    with pytest.raises(ModelError, match=r"card of .*nowhere.yaml"):
        load(str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ModelError, match="unknown generator 'dcgan_mnits'"):
        load("dcgan_mnits")


def test_the_command_line_trains_generators_too(folder, tmp_path):
    done = CliRunner().invoke(cli, ["train", "tiny_ring", "-o", str(tmp_path / "out"), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "tiny_ring: covered" in done.output and (tmp_path / "out" / "tiny_ring.safetensors").is_file()
    unknown = CliRunner().invoke(cli, ["train", "tiny_rnig", "-o", str(tmp_path)])
    assert "unknown recipe 'tiny_rnig'; did you mean 'tiny_ring'?" in str(unknown.exception)


def test_scores_are_taken_anew_of_weights_that_are_there(folder, tmp_path):
    for name in ("tiny_digits.yaml", "tiny_digits.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    told = card(str(folder / "tiny_digits.yaml"))
    old = told.model_copy(update={"scores": {"frechet": 1.0}})
    (tmp_path / "tiny_digits.yaml").write_text(json.dumps(old.model_dump(mode="json")))
    done = CliRunner().invoke(cli, ["train", "tiny_digits", "--scores", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert card(str(tmp_path / "tiny_digits.yaml")) == told  # those of the training: of the same images
    assert told.scores["frechet_low"] <= told.scores["frechet"] <= told.scores["frechet_high"]
    (tmp_path / "tiny_digits.yaml").write_text(json.dumps(old.model_dump(mode="json") | {"steps": 3}))
    with pytest.raises(ModelError, match="tiny_digits: the weights are of another recipe than tiny_digits is now"):
        rescored("tiny_digits", tmp_path)
    refused = CliRunner().invoke(cli, ["train", "lenet_mnist", "--scores", "-o", str(tmp_path)])
    assert "--scores: lenet_mnist is a classifier" in str(refused.exception)


def test_what_there_is_can_be_listed_and_described():
    names = dict(listing("generators"))
    assert {"architecture: dcgan", "objective: wgan_gp", "mixture: ring", *available()} <= set(names)
    assert "arxiv.org/abs/1704.00028" in description("wgan_gp") and "weight (default 10)" in description("wgan_gp")
    for name in available():
        assert "classifier_score" in description(name)


def test_scores_refuse_more_images_than_there_are_to_compare_with():
    x = torch.zeros(3, 1, 32, 32)
    with pytest.raises(ValueError, match="expected at most 2 images, half of the test images, got 3"):
        scores_of(x, Judge("lenet_mnist", torch.zeros(4, 1, 32, 32), x))
