"""Modules and tensors in memory are benchmarked as what a suite names is."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from robustbench_lite.datasets import load as data_of
from robustbench_lite.errors import DataError, ModelError, SuiteError, UsageError
from robustbench_lite.models import load as classifier
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from tests.helpers import images, mlp

MNIST = {"mnist": {"samples": 12}}
PLAIN = {"version": 1, "name": "mine", "attacks": [{"fgsm": {"epsilon": 0.1}}]}


def test_what_is_in_memory_gives_the_rows_of_what_is_named(tmp_path):
    x, y = data_of("mnist", samples=12)
    net = classifier("lenet_mnist")
    suite = {**PLAIN, "data": MNIST, "models": ["lenet_mnist"]}
    results = run(suite, tmp_path, models={"mine": net}, data={"held": (x, y)}, timing=False)
    cells = results.cells()
    assert list(zip(cells["dataset"], cells["source"], strict=True)) == [
        ("mnist", "lenet_mnist"), ("mnist", "mine"), ("held", "lenet_mnist"), ("held", "mine"),
    ]  # fmt: skip
    assert set(cells["status"]) == {"ok"} and not any(len(texts) for texts in cells["warnings"])
    frame = results.samples()
    stored = {name: frame[frame["dataset"] == name] for name in ("mnist", "held")}
    for rows in stored.values():
        named, mine = (
            rows[rows["model"] == model].drop(columns=["cell", "source", "model", "weights", "seconds", "dataset"])
            for model in ("lenet_mnist", "mine")
        )
        assert named.reset_index(drop=True).equals(mine.reset_index(drop=True))
    assert list(stored["mnist"]["sample"]) == list(stored["held"]["sample"])  # the same images, so the same ids


def test_cells_are_named_by_content_and_resume(tmp_path):
    x, y = images(20), torch.arange(20) % 5
    net = mlp()
    first = run(PLAIN, tmp_path, models={"net": net}, data={"d": (x, y)}, timing=False)
    ran = []
    again = lambda **objects: run(PLAIN, tmp_path, only=lambda cell: bool(ran.append(cell.id)), timing=False, **objects)
    again(models={"net": net}, data={"d": (x.clone(), y)})
    assert not ran
    assert first.run["objects"] == ["net", "d"]
    with torch.no_grad():
        net[1].bias += 1
    again(models={"net": net}, data={"d": (x, y)})
    again(models={"net": mlp()}, data={"d": (x, (y + 1) % 5)})
    assert len(set(ran)) == 2 and not set(ran) & set(first.cells()["cell"])


def test_the_module_may_be_anywhere_in_training_and_stays_so(tmp_path):
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), mlp()).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    run(PLAIN, tmp_path, models={"net": net}, data={"d": (images(8), torch.zeros(8).long())}, timing=False)
    assert net.training and net[0].training and net[0].weight.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_attacks_see_objects_by_their_names(tmp_path):
    nets = {"a": mlp(seed=0), "b": mlp(seed=1)}
    suite = {**PLAIN, "attacks": [{"ensemble": {"sources": ["a"], "steps": 3}}], "seed": 3}
    results = run(suite, tmp_path, models=nets, data={"d": (images(6), torch.zeros(6).long())}, timing=False)
    assert set(results.samples()["model"]) == {"a", "b"} and set(results.samples()["source"]) == {"a"}


def test_images_are_stored_with_8_bits_and_that_is_said(tmp_path):
    x = images(6)
    levels = (255 * x).round()
    rounded = run(PLAIN, tmp_path, models={"n": mlp()}, data={"d": (x, torch.zeros(6).long())}, timing=False)
    (text,) = rounded.cells()["warnings"][0]
    assert text == "d: 6 of 6 images were rounded to 8 bits, as they are stored"
    whole = [levels / 255, levels.byte()]
    for pixels in whole:
        same = run(PLAIN, tmp_path, models={"n": mlp()}, data={"d": (pixels, torch.zeros(6).long())}, timing=False)
        assert list(same.cells()["cell"]) == list(rounded.cells()["cell"])


def test_a_folder_of_objects_says_that_it_needs_them(tmp_path):
    run(PLAIN, tmp_path, models={"net": mlp()}, data={"d": (images(4), torch.zeros(4).long())}, timing=False)
    with pytest.raises(UsageError, match=r"'net', 'd' were objects in memory, .*run with them once more"):
        verify(tmp_path / "mine", trust=True)


@pytest.mark.parametrize(
    ("models", "data", "sentence"),
    [
        ({"n": "lenet"}, None, "expected an nn.Module that maps images in [0, 1] to logits, got str"),
        (None, {"d": images(3)}, "data: 'd': expected images and labels, (x, y), got Tensor"),
        (None, {"d": (images(3), torch.zeros(2).long())}, "d: y: expected 3 labels (3,), one for each image, got (2,)"),
        (None, {"d": (images(3) * 9, torch.zeros(3).long())}, "d: x: expected images in [0, 1]"),
        (None, {"d": (images(3), torch.zeros(3).long() - 1)}, "d: y: expected labels from 0, got -1"),
        ({"lenet_mnist": mlp()}, None, "two classifiers are called 'lenet_mnist'"),
        (None, {"mnist": (images(3), torch.zeros(3).long())}, "two datasets are called 'mnist'"),
        ({"n": mlp(shape=(1, 5, 5))}, None, "n: fails on an image of size [1, 28, 28]: RuntimeError"),
    ],
)
def test_what_is_no_object_is_one_sentence(models, data, sentence, tmp_path):
    suite = {**PLAIN, "data": MNIST, "models": ["lenet_mnist"]}
    with pytest.raises((UsageError, SuiteError, ModelError, DataError)) as caught:
        run(suite, tmp_path, models=models, data=data)
    assert sentence in str(caught.value)


def test_a_suite_without_any_objects_needs_its_own(tmp_path):
    with pytest.raises(SuiteError, match="'data' is missing"):
        run(PLAIN, tmp_path, models={"n": mlp()})
    with pytest.raises(SuiteError, match="'models' is missing"):
        run(PLAIN, tmp_path, data={"d": (images(3), torch.zeros(3).long())})


class Noisy(nn.Module):
    def __init__(self, net, noise=0.05):
        super().__init__()
        self.net, self.noise = net, noise

    def forward(self, x):
        return self.net(x + self.noise * torch.randn_like(x))


class Rounded(nn.Module):
    def forward(self, x):
        return (x * 15).round() / 15


def soft(x):
    return x - torch.sin(30 * torch.pi * x) / (30 * torch.pi)


def test_a_module_stands_beside_options_of_an_entry(tmp_path):
    x, y = images(20), torch.arange(20) % 5
    hard = nn.Sequential(Rounded(), mlp())
    models = {
        "random": Noisy(mlp()),
        "mean": {"module": Noisy(mlp()), "expectation": 4},
        "more": {"module": Noisy(mlp()), "expectation": 5},
        "hard": hard,
        "straight": {"module": hard, "backward": "identity"},
        "soft": {"module": hard, "backward": soft},
        "shifted": {"module": mlp(), "mean": [0.5], "std": [0.5]},
    }
    results = run(PLAIN, tmp_path, models=models, data={"d": (x, y)}, timing=False)
    cells = {cell["source"]: cell for cell in results.cells().to_dict("records")}
    assert {name for name, cell in cells.items() if cell["status"] != "ok"} == {"random"}
    assert "say `expectation: 20` on this classifier in a suite" in cells["random"]["error"]
    assert len({cell["weights"] for cell in cells.values()}) == len(models)
    said = {name: " ".join(cell["notes"]) for name, cell in cells.items()}
    assert "the mean over 4 draws" in said["mean"] and "one by one" not in said["mean"]
    assert "gradients go straight through 0" in said["straight"]
    assert "gradients go through soft in the place of 0" in said["soft"]
    assert hard(x[:1].requires_grad_()).grad_fn and "forward" not in vars(hard[0])  # the user's own is as it was
    due = []
    run(PLAIN, tmp_path, models=models, data={"d": (x, y)}, timing=False, only=lambda cell: due.append(cell.source))
    assert due == ["random"]  # which has failed


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"module": mlp(), "expectations": 3}, "models: 'm': unknown key 'expectations'; did you mean 'expectation'?"),
        ({"module": mlp(), "expectation": 0}, "models: 'm': expectation: "),
        ({"module": mlp(), "expectation": "3"}, "models: 'm': expectation: "),
        ({"module": mlp(), "backward": "python:soft.py:soft"}, "expected identity or the stand-in itself"),
        ({"expectation": 3}, "model: expected an nn.Module"),
    ],
)
def test_what_is_wrong_beside_a_module_is_a_sentence(tmp_path, model, sentence):
    with pytest.raises(UsageError, match=re.escape(sentence)):
        run(PLAIN, tmp_path, models={"m": model}, data={"d": (images(4), torch.zeros(4).long())})


def test_what_cannot_stand_in_for_a_module_fails_its_cell(tmp_path):
    hard, data = nn.Sequential(Rounded(), mlp()), {"d": (images(8), torch.zeros(8).long())}
    models = {"a": {"module": hard, "backward": lambda x: x[:, :, 1:]}, "b": {"module": hard, "backward": 3}}
    cells = run(PLAIN, tmp_path, models=models, data=data, timing=False).cells()
    assert "0: (2, 1, 6, 6) became (2, 1, 6, 6), of which the stand-in makes (2, 1, 5, 6)" in cells["error"][0]
    assert cells["error"][1] == "b: backward: expected a function of a tensor, an nn.Module or a class of such, got int"
