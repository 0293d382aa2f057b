"""`train` with a recipe of one's own: a file, whose weights a suite can name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from robustbench_lite.cli.verbs import main
from robustbench_lite.suite.builder import load

CLASSIFIER = {
    "arch": "small_cnn", "size": [1, 28, 28], "classes": 2, "mean": [0], "std": [1], "dataset": "bars",
    "train": [{"folder": "bars"}], "test": {"folder": "bars"}, "epochs": 3, "batch_size": 4, "lr": 0.02,
}  # fmt: skip
GENERATOR = {
    "name": "two", "architecture": {"points_mlp": {"width": 8}}, "objective": {"minimax": {}}, "size": [2],
    "dataset": "ring", "points": {"ring": {}}, "steps": 2,
}  # fmt: skip


def trained(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["train", *map(str, arguments)])
    return stopped.value.code, capsys.readouterr()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two classes of bars, and a place to write recipes to."""
    monkeypatch.chdir(tmp_path)
    for label in range(2):
        (tmp_path / "bars" / f"c{label}").mkdir(parents=True)
        for i in range(8):
            pixels = torch.full((28, 28), 10 * i, dtype=torch.uint8)
            pixels[14 * label : 14 * label + 14] = 250
            Image.fromarray(pixels.numpy()).save(tmp_path / "bars" / f"c{label}" / f"{i}.png")
    return tmp_path


def recipe(said, name="mine.yaml"):
    with Path(name).open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(said, file)
    return name


def test_a_classifier_of_a_recipe_of_ones_own_stands_in_a_suite(home, capsys):
    code, out = trained(capsys, recipe(CLASSIFIER), "-o", "out")
    assert code == 0, out.err
    assert "mine: test error 0.00 %; weights and card are in out" in out.out
    entry = next(line for line in out.err.splitlines() if line.startswith("in a suite: ")).partition(": ")[2]
    Path("s.yaml").write_text(
        f"version: 1\nname: s\ndata: {{bars: {{folder: bars}}}}\nattacks: [fgsm]\n{entry}\n", encoding="utf-8"
    )
    assert load(Path("s.yaml"), files=True).models[0].title == "mine"
    code, out = trained(capsys, "mine.yaml", "-o", "out")
    assert code == 0 and "epoch 1" not in out.err  # it was done already


def test_a_generator_of_a_recipe_of_ones_own(home, capsys):
    code, out = trained(capsys, recipe(GENERATOR), "-o", "out")
    assert code == 0 and out.out.startswith("two: covered "), out.err
    assert {path.name for path in Path("out").iterdir()} >= {"two.safetensors", "two.yaml", "two.rows.parquet"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": None}, "expected a recipe of a classifier (arch: ...) or of a generator (architecture: ...)"),
        ({"epochs": None}, "recipe mine.yaml: 'epochs' is missing"),
        ({"epoch": 3}, "unknown key 'epoch'; did you mean 'epochs'?"),
        ({"name": "../mine"}, "mine.yaml: name: expected letters, digits, _, - and ., got '../mine'"),
        ({"arch": "smal_cnn"}, "unknown architecture 'smal_cnn'; did you mean 'small_cnn'?"),
        ({"train": [{"folder": "nowhere"}]}, "nowhere"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_said(home, capsys, change, message):
    said = {key: value for key, value in {**CLASSIFIER, **change}.items() if value is not None}
    code, out = trained(capsys, recipe(said), "-o", "out")
    assert code == 2 and message in out.err, out.err
    assert out.err.splitlines()[-1].startswith("next: mend the recipe")
    assert not any(Path("out").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch: [lenet\nepochs: 3\n", "mine.yaml:2:7: not valid YAML"),
        ("lenet\n", "expected a mapping"),
        (None, "mine.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_a_file_that_is_no_recipe(home, capsys, text, message):
    if text is not None:
        Path("mine.yaml").write_text(text, encoding="utf-8")
    code, out = trained(capsys, "mine.yaml")
    assert code == 2 and message in out.err, out.err


def test_a_name_that_is_not_committed_may_be_a_file(home, capsys):
    code, out = trained(capsys, "lenet_mnst")
    assert code == 2
    assert "did you mean 'lenet_mnist'? (a recipe of yours is a file: lenet_mnst.yaml)" in out.err
