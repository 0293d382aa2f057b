"""The source `defended` of a suite: what is built, what is refused, what stands on the card."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import robustbench_lite as rbl
from robustbench_lite.defenses import BitDepth, Median
from robustbench_lite.errors import SuiteError
from robustbench_lite.models.attackable import attackable
from robustbench_lite.models.base import models
from robustbench_lite.suite.builder import load
from tests.helpers import images

ROOT = Path.cwd()


def source(by, defended="lenet_mnist", **more):
    return models.build("defended", {"defended": defended, "by": by, **more})


def test_a_defence_stands_in_front_of_what_is_named():
    classifier = attackable(source({"bit_depth": {"bits": 2}}), ROOT)
    net, x = rbl.models.load("lenet_mnist"), images(4, (1, 28, 28))
    assert torch.equal(classifier.module(x), net(BitDepth(bits=2).see(x, 0)))
    assert classifier.name == "lenet_mnist behind bit_depth"
    assert classifier.card.size == (1, 28, 28) and classifier.card.labels and classifier.card.mean
    assert not classifier.card.accuracy and not classifier.card.published  # those of the one behind
    assert any("gradients go straight through" in note for note in classifier.notes)


def test_defences_stand_behind_each_other():
    inner = {"defended": "lenet_mnist", "by": "median"}
    classifier = attackable(source("bit_depth", inner), ROOT)
    net, x = rbl.models.load("lenet_mnist"), images(3, (1, 28, 28))
    assert torch.equal(classifier.module(x), net(Median().see(BitDepth().see(x, 0), 0)))
    assert classifier.name == "lenet_mnist behind median behind bit_depth"


def test_parameters_tell_classifiers_apart():
    weights = [attackable(source(by), ROOT).weights for by in ("bit_depth", {"bit_depth": {"bits": 2}}, "median")]
    assert len({*weights, attackable(models.build("zoo", {"zoo": "lenet_mnist"}), ROOT).weights}) == 4
    assert weights[0] == attackable(source({"bit_depth": {"bits": 3}}), ROOT).weights  # which is the default


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"by": "bitdepth"}, "unknown defence 'bitdepth'.*bit_depth"),
        ({"by": {"bit_depth": {"bits": 9}}}, "bit_depth: .*bits"),
        ({"by": {"jpeg": {}, "median": {}}}, "expected the name of one defence"),
        ({"by": "jpeg", "defended": "lenet_mnst"}, "unknown classifier 'lenet_mnst'.*lenet_mnist"),
        ({"by": "jpeg", "defended": {"zo": "lenet_mnist"}}, "expected exactly one of .*zoo"),
        ({"by": "jpeg", "mean": [0.5]}, "mean: say it of the classifier behind"),
    ],
)
def test_what_is_wrong_is_said(params, sentence):
    with pytest.raises(SuiteError, match=sentence):
        models.build("defended", {"defended": "lenet_mnist", **params})


def test_code_behind_a_defence_needs_trust(tmp_path):
    (tmp_path / "nets.py").write_text("from torch import nn\n\ndef make():\n    return nn.Flatten()\n")
    inner = {"python": "nets.py:make", "size": [1, 2, 2], "classes": 4}
    suite = {"version": 1, "name": "s", "data": "mnist", "attacks": ["fgsm"]}
    entry = {"defended": inner, "by": "bit_depth"}
    with pytest.raises(SuiteError, match="trust: true"):
        load(suite | {"models": [entry]}, root=tmp_path)
    trusted = load(suite | {"models": [entry | {"trust": True}]}, root=tmp_path).models[0]
    assert attackable(trusted, tmp_path).module(images(2, (1, 2, 2))).shape == (2, 4)
