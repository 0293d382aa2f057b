"""`init`: what it finds of weights and images is right, what it writes is valid and runs, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from torch import nn

from robustbench_lite.cli.verbs import main
from robustbench_lite.datasets import load as load_images
from robustbench_lite.models import archs
from robustbench_lite.models.recognised import Recognised, recognised
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.suite.builder import load
from tests.helpers import ROOT

WEIGHTS = ROOT / "robustbench_lite" / "models" / "cards"
FACTORY = """
import torch
from torch import nn

def brightest():
    '''Class k: pixel k is the brightest of the first {classes}; images are normalised before.'''
    net = nn.Linear({inputs}, {classes}, bias=False)
    net.weight.data = torch.eye({classes}, {inputs})
    return nn.Sequential(nn.Flatten(), net)
"""


def said(*arguments: object) -> int:
    """The exit code of the command line."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def written(folder: Path) -> dict:
    return YAML(typ="safe").load((folder / "robustness.yaml").read_text())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(folder: Path, classes: int = 3, each: int = 4, side: int = 8) -> Path:
    """A folder per class; the pixel of its number is the brightest of each image."""
    generator = torch.Generator().manual_seed(0)
    for label in range(classes):
        (folder / f"class {label}").mkdir(parents=True)
        for i in range(each):
            pixels = torch.randint(0, 200, (side, side), generator=generator, dtype=torch.uint8)
            pixels[0, label] = 255
            Image.fromarray(pixels.numpy()).save(folder / f"class {label}" / f"{i}.png")
    return folder


@pytest.mark.parametrize("name", ["lenet", "fc500_150_10", "nin", "vgg", "googlenet", "small_cnn", "resnet8"])
def test_weights_of_ours_are_recognised(tmp_path, name):
    torch.save({"model": archs.build(name, 1, 7).state_dict(), "epoch": 3}, tmp_path / "mine.pth")
    found = recognised(tmp_path / "mine.pth")
    assert (found.arch, found.classes) == (name, 7)


def test_weights_of_torchvision_and_of_timm_are_recognised(tmp_path):
    net = archs.build("torchvision:mobilenet_v3_small", 3, 6)
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in net.state_dict().items()}}, tmp_path / "a.pth"
    )
    assert recognised(tmp_path / "a.pth").arch == "torchvision:mobilenet_v3_small"
    net = archs.build("timm:resnet10t", 1, 4)
    torch.save({"arch": "resnet10t", "state_dict": net.state_dict()}, tmp_path / "b.pth")
    assert recognised(tmp_path / "b.pth") == Recognised("timm:resnet10t", 1, 4)


def test_weights_of_a_library_give_its_own_logits(tmp_path):
    import timm

    from robustbench_lite.models.base import models

    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=4).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    entry = {"file": "w.pth", "arch": "timm:resnet10t", "mean": [0.5], "std": [0.25], "size": [3, 32, 32], "classes": 4}
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(models.build("file", entry).load(tmp_path).module(x), net((x - 0.5) / 0.25))


def test_the_normalisation_that_fits_is_written_and_the_suite_runs(home, capsys):
    (home / "vgg fashion.safetensors").write_bytes((WEIGHTS / "vgg_fashion.safetensors").read_bytes())
    assert said("init", "--model", "vgg fashion.safetensors") == 0
    (model,), card = written(home)["models"], Zoo(zoo="vgg_fashion").load(Path()).card
    assert model["arch"] == card.arch
    assert model["mean"] == pytest.approx(list(card.mean), abs=1e-3)
    assert model["std"] == pytest.approx(list(card.std), abs=1e-3)
    assert written(home)["data"] == [{"fashion_mnist": {"samples": 200, "stratified": True}}]
    x, y = load_images("fashion_mnist", 200)
    right = (Zoo(zoo="vgg_fashion").load(Path()).module(x).argmax(1) == y).float().mean()
    assert f"so {float(right):.1%} of 200 images are right" in capsys.readouterr().out
    assert said("run", "robustness.yaml", "--no-timing", "--limit", 4) == 0
    assert said("baseline", "results/vgg_fashion", "-o", "baseline.parquet") == 0
    assert said("check", "results/vgg_fashion", "--baseline", "baseline.parquet") == 0


def test_a_factory_and_a_folder_of_images(home):
    pictures(home / "data" / "test")
    (home / "mine.py").write_text(FACTORY.format(inputs=64, classes=3))
    assert said("init", "--python", "mine.py:brightest") == 0
    suite = written(home)
    assert suite["data"] == [{"test": {"folder": "data/test"}}]
    assert suite["models"][0]["classes"] == 3
    assert suite["models"][0]["size"] == [1, 8, 8]
    assert "without 100.0%" in (home / "robustness.yaml").read_text()
    assert load(home / "robustness.yaml", files=True).models[0].runs_code
    job = YAML(typ="safe").load((home / ".github/workflows/robustness.yml").read_text())
    assert any("check results/brightest" in step.get("run", "") for step in job["jobs"]["gate"]["steps"])


def test_a_classifier_for_other_images_is_said(home, capsys):
    pictures(home / "data")
    (home / "mine.py").write_text(FACTORY.format(inputs=64, classes=3).replace("torch.eye", "-torch.eye"))
    assert said("init", "--python", "mine.py:brightest", "--data", "data") == 0
    assert "are these the images and labels that it was trained for?" in capsys.readouterr().err
    assert "are these the images" in (home / "robustness.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "none.pth"], "none.pth"),
        (["--model", "odd.pth"], "holds 2 tensors"),
        (["--model", "odd.pth", "--arch", "nothing"], "unknown architecture 'nothing'"),
        (["--python", "mine.py"], "expected module:factory"),
        (["--python", "mine.py:brightest", "--data", "nowhere"], "no such folder"),
        (["--python", "mine.py:brightest", "--data", "empty"], "no images with labels"),
        (["--model", "odd.pth", "--python", "mine.py:brightest"], "name one of them"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_writes_nothing(home, capsys, arguments, sentence):
    torch.save(nn.Linear(3, 2).state_dict() | {"bias": torch.zeros(9)}, home / "odd.pth")
    (home / "mine.py").write_text(FACTORY.format(inputs=64, classes=3))
    (home / "empty").mkdir()
    assert said("init", *arguments) != 0
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (home / "robustness.yaml").exists()


def test_nothing_is_written_over(home, capsys):
    assert said("init") == 0
    (home / "robustness.yaml").write_text("mine")
    assert said("init") != 0
    assert "--force" in capsys.readouterr().err
    assert (home / "robustness.yaml").read_text() == "mine"
    assert said("init", "--force") == 0
    assert written(home)["models"] == ["lenet_mnist"]
