"""TorchScript and `torch.export` programs as PyTorch writes them, held against the module that they were made of."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from torch import nn

from robustbench_lite.errors import ModelError, SuiteError
from robustbench_lite.models.base import models
from robustbench_lite.suite.builder import load

SHAPE = (3, 8, 8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(4 * 36, 5)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x))).flatten(1)))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Net()
    net(torch.rand(8, *SHAPE))  # running statistics of its own
    return net.eval()


def traced(net, path):
    torch.jit.save(torch.jit.trace(net, torch.rand(2, *SHAPE)), path)


def scripted(net, path):
    torch.jit.save(torch.jit.script(net), path)


def exported(net, path, batch=True):
    shapes = ({0: torch.export.Dim("batch")},) if batch else None
    torch.export.save(torch.export.export(net, (torch.rand(2, *SHAPE),), dynamic_shapes=shapes), path)


WRITERS = {"traced": traced, "scripted": scripted, "exported": exported}
STATED = {"size": SHAPE, "classes": 5}


@pytest.fixture(scope="module")
def folder(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, write in WRITERS.items():
            write(net, folder / f"{name}.pt2")
            write(net, folder / f"{name}_again.pt2")
        exported(net, folder / "fixed.pt2", batch=False)
        exported(Net(), folder / "training.pt2")
    return folder


def source(name, **more):
    kind, stated = ("export", {}) if name in {"exported", "fixed", "training"} else ("torchscript", STATED)
    return models.build(kind, {kind: f"{name}.pt2", "trust": True, **stated, **more})


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("n", [1, 5])
def test_logits_and_gradients_are_those_of_the_module_behind_its_normalisation(name, n, net, folder):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    classifier = source(name, mean=mean, std=std).load(folder)
    assert (classifier.card.classes, classifier.card.size, classifier.name) == (5, SHAPE, name)
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    x = torch.rand(n, *SHAPE).requires_grad_()
    expected = net((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    weights = torch.randn(n, 5)
    (slope,) = torch.autograd.grad((expected * weights).sum(), x)
    logits = classifier.module(x)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(torch.autograd.grad((logits * weights).sum(), x)[0], slope)


def weights_of(pickled: bytes, root) -> str:
    return pickle.loads(pickled).load(root).weights


def test_another_process_knows_it_by_the_same_weights(folder):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for name in ("traced", "exported"):
            one = source(name)
            assert pool.submit(weights_of, pickle.dumps(one), folder).result() == one.load(folder).weights


def test_weights_are_known_by_content_and_not_by_the_files_name(net, folder, tmp_path):
    for name in ("traced", "exported"):
        (tmp_path / f"{name}.pt2").write_bytes((folder / f"{name}_again.pt2").read_bytes())
    here = {name: source(name).load(folder).weights for name in ("traced", "exported")}
    assert here["exported"] == source("exported").load(tmp_path).weights
    assert len({*here.values(), source("scripted").load(folder).weights}) == 3  # the code counts as well


def test_a_program_of_a_network_in_training_mode_is_what_it_is(folder):
    module = source("training").load(folder).module
    x = torch.rand(4, *SHAPE)
    assert not torch.equal(module(x), module(x))  # dropout is on; a run refuses it for that


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("traced", {"trust": False}, "'torchscript:' runs code; say `trust: true`"),
        ("exported", {"trust": False}, "'export:' runs code; say `trust: true`"),
        ("traced", {"classes": 7}, r"expected logits \(N, 7\), got \(2, 5\)"),
        ("exported", {"classes": 7}, r"expected logits \(N, 7\), got \(2, 5\)"),
        ("exported", {"size": (3, 9, 9)}, r"the program takes images \[3, 8, 8\], got \[3, 9, 9\]"),
        ("fixed", {}, r"was exported for batches of 2 and takes no others; .*torch.export.Dim\('batch'\)"),
        ("exported", {"sha256": "00"}, "sha256 of 'exported.pt2' is .*, expected 00"),
        ("exported", {"export": "traced.pt2"}, "'traced.pt2' cannot be loaded"),
        ("traced", {"torchscript": "exported.pt2"}, "'exported.pt2' cannot be loaded"),
        ("traced", {"torchscript": "gone.pt"}, "no file 'gone.pt'"),
    ],
)  # fmt: skip
def test_what_cannot_be_attacked_ends_in_one_sentence(name, more, sentence, folder):
    with pytest.raises(ModelError, match=sentence):
        source(name, **more).load(folder)


def test_a_suite_must_say_that_it_trusts_the_code(folder):
    for entry in ({"export": "exported.pt2"}, {"torchscript": "traced.pt2", **STATED}):
        suite = {"version": 1, "name": "t", "data": "cifar10", "models": [entry], "attacks": ["fgsm"]}
        with pytest.raises(SuiteError, match="runs code that the suite names; say `trust: true`"):
            load(suite, root=folder)
    with pytest.raises(SuiteError, match="'classes' must be stated for torchscript"):
        source("traced", classes=None)
