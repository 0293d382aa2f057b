"""Sums of latents, of a generator that is linear: what is carried over is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from robustbench_lite.generators.arithmetic import EXEMPLARS, arithmetic
from robustbench_lite.generators.metrics.classified import Looked


class Linear:
    """Three pixels of a class, of two or of one; one of ink, which is linear in its latent or, deaf, of any size."""

    def __init__(self, *, deaf=False, classes=2):
        self.deaf, self.classes = deaf, classes

    def latents(self, n, seed=0, first=0):
        return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

    def sample(self, n, seed=0):
        return self.at(self.latents(n, seed))

    def at(self, z):
        ink = (1000 * z[:, 1]).sin() if self.deaf else z[:, 1]
        side = 1 if self.classes == 1 else z[:, 0].sign()
        steps = [0.5 + 0.01 * side + 0 * z[:, 0], 0.5 + 0.02 * z[:, 0], 0.5 - 0.02 * z[:, 0], 0.5 + 0.05 * ink]
        return torch.stack(steps, 1).view(-1, 1, 2, 2)


def judge():
    def look(images):
        shown = (images[:, 0, 0, 0] > 0.5).long()
        return Looked(torch.eye(2, dtype=torch.float64)[shown], images.flatten(1))

    return SimpleNamespace(look=look, inner=lambda images: images)


def test_ink_is_carried_over_where_it_is_linear_and_as_in_the_control_where_it_is_not():
    linear, deaf = (arithmetic(Linear(deaf=deaf), judge(), 0).scores for deaf in (False, True))
    assert linear["arithmetic_sums"] == 20 * 2  # groups, pairs of two classes
    assert linear["arithmetic_ink"] == 1.0 and linear["arithmetic_ink_low"] > 0.9
    assert linear["arithmetic_control_ink"] < 0.9
    assert abs(deaf["arithmetic_ink"] - deaf["arithmetic_control_ink"]) < 0.35 and deaf["arithmetic_ink"] < 0.85
    for one in (linear, deaf):
        assert one["arithmetic"] <= min(one["arithmetic_ink"], one["arithmetic_class"])
        assert one["arithmetic_low"] <= one["arithmetic"] <= one["arithmetic_high"]


def test_a_sum_is_of_means_of_three_thick_ones_three_thin_ones_and_three_thin_ones_of_the_other_class():
    found = arithmetic(Linear(), judge(), 0)
    assert found.shown.shape == (2, 3 * (EXEMPLARS + 1) + 1, 1, 2, 2)
    ink = found.shown.mean((2, 3, 4))
    pool = Linear().sample(4000)
    classes = (found.shown[:, :, 0, 0, 0] > 0.5).long()
    every, level = (pool[:, 0, 0, 0] > 0.5).long(), pool.mean((1, 2, 3))
    for row, own in zip(ink, classes, strict=True):
        a, b = int(own[0]), int(own[8])
        assert own[:3].tolist() == own[4:7].tolist() == [a] * 3 and own[8:11].tolist() == [b] * 3 and a != b
        assert row[:3].min() >= level[every == a].quantile(2 / 3) - 1e-6
        assert row[4:7].max() <= level[every == a].quantile(1 / 3) + 1e-6
        assert row[8:11].max() <= level[every == b].quantile(1 / 3) + 1e-6
    for row in found.shown:  # these pixels are linear
        terms = [row[4 * i : 4 * i + 3].mean(0)[0, 1] for i in range(3)]
        for term, place in zip(terms, (3, 7, 11), strict=True):
            assert torch.allclose(term, row[place, 0, 1], atol=1e-6)
        assert torch.allclose(terms[0] - terms[1] + terms[2], row[12, 0, 1], atol=1e-6)


def test_of_one_class_there_are_no_sums():
    assert arithmetic(Linear(classes=1), judge(), 0) is None


def test_what_is_measured_is_seeded():
    first, again, other = (arithmetic(Linear(), judge(), seed).scores for seed in (0, 0, 1))
    assert first == again and first["arithmetic_control"] != pytest.approx(other["arithmetic_control"], abs=1e-9)
