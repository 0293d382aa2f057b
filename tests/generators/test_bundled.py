"""Generators that come with the package are what their cards say."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

import robustbench_lite as rbl
from robustbench_lite.generators import Judge, available
from robustbench_lite.generators.metrics.classified import classifier_score, unevenness
from robustbench_lite.generators.metrics.similarity import alikeness
from robustbench_lite.generators.recipe import recipe
from robustbench_lite.generators.zoo import FOLDER

LEAST = {"dcgan_mnist": 0.9, "wgan_gp_mnist": 0.9, "dcgan_cifar10": 0.5}  # the last: an hour of a CPU
UNEVEN = {"dcgan_cifar10": 0.2}


@pytest.mark.parametrize("name", available())
def test_a_bundled_generator_is_what_its_card_says(name):
    """Its images score as they did, are of all classes, and as unlike each other as real ones."""
    generator = rbl.generators.load(name)
    facts, todo = generator.card, recipe(name)
    assert (FOLDER / f"{name}.safetensors").stat().st_size < 2_000_000
    assert (facts.architecture, facts.objective, facts.steps) == (todo.architecture, todo.objective, todo.steps)
    images, judged = generator.sample(500), round(facts.scores["images"])
    looked = Judge(facts.classifier, images, images, todo.pad).look(images)
    score = classifier_score(looked.probabilities[:judged])
    assert score == pytest.approx(facts.scores["classifier_score"], rel=0.08)
    least = LEAST.get(name, 0.75)  # of what real images score
    assert facts.scores["classifier_score"] >= least * facts.scores["classifier_score_real"]
    copies = binomtest(round(facts.scores["copies"] * judged), judged, 0.001, alternative="greater")  # real: 0.001
    assert copies.pvalue > 0.01 and facts.scores["nearer"] < 0.6  # no nearer to what it learnt from
    assert facts.scores["copies_features"] < 0.01 and facts.scores["nearer_features_high"] < 0.5  # nor in features
    ends = [facts.scores[f"classifier_score{end}"] for end in ("_low", "", "_high")]
    assert ends == sorted(ends) and ends[0] < ends[2]
    assert unevenness(looked.probabilities) <= UNEVEN.get(name, 0.15)
    assert alikeness(images, 300) <= facts.scores["ms_ssim_real"] + 0.1
