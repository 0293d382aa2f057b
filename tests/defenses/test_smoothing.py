"""Certificates of smoothed classifiers, where these are known exactly, and where they are attacked."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest
import torch
from scipy.stats import beta
from torch import nn

from robustbench_lite.defenses import RandomizedSmoothing
from robustbench_lite.engine.certificate import ABSTAINED
from tests.helpers import images, mlp

PHI = NormalDist()


class Half(nn.Module):
    """Class 1 where the mean of all pixels lies above a half: smoothed, the boundary is the same, and exactly known."""

    def forward(self, x):
        z = x.flatten(1).mean(1) - 0.5
        return torch.stack([-z, z], 1)


def test_the_radius_is_that_of_the_lower_bound_of_clopper_and_pearson():
    smoothing = RandomizedSmoothing(sigma=0.7, n=200, alpha=0.01)
    for votes in (150, 199, 200):
        low = beta.ppf(0.01, votes, 200 - votes + 1)  # one-sided, as in the paper
        assert smoothing.radius(votes) == pytest.approx(0.7 * PHI.inv_cdf(low))
    assert smoothing.farthest == pytest.approx(0.7 * PHI.inv_cdf(0.01 ** (1 / 200)))
    fewest = next(votes for votes in range(201) if beta.ppf(0.01, votes, 200 - votes + 1) > 0.5)
    assert smoothing.radius(fewest) > 0 == smoothing.radius(fewest - 1) == smoothing.radius(0)


def test_a_linear_classifier_is_certified_within_its_exact_radius():
    """Smoothing moves no boundary that is a hyperplane: the radius stays |mean - 1/2| sqrt(d)."""
    x = images(300, (1, 2, 2), seed=3)
    smoothed = RandomizedSmoothing(sigma=0.5, n0=20, n=300, alpha=0.001)(Half())
    proven = smoothed.certify(x, [str(i) for i in range(len(x))])
    exact = (x.flatten(1).mean(1) - 0.5).abs().double() * 2
    right = proven.classes == (x.flatten(1).mean(1) > 0.5)
    held = proven.classes != ABSTAINED
    assert ((proven.radii <= exact) & right)[held].double().mean() >= 1 - 2 / 300  # each is wrong once in 1,000
    reachable = exact.clamp_max(RandomizedSmoothing(sigma=0.5, n=300).farthest)
    assert proven.radii[held].mean() > 0.6 * reachable[held].mean()  # and says much of what there is
    assert 0 < int((~held).sum()) < 150 and not proven.radii[~held].any()


def test_a_share_of_certificates_is_wrong_where_alpha_says_so():
    """Ten per cent may be: with so many draws as certify a point, at exactly the radius that is true."""
    x = torch.full((400, 1, 1, 1), 0.6)
    proven = RandomizedSmoothing(sigma=0.5, n0=1, n=100, alpha=0.1)(Half()).certify(x, [str(i) for i in range(400)])
    wrong = ((proven.radii > 0.1) | (proven.classes == 0)).double().mean()
    assert 0.02 < wrong < 0.1 + 3 * math.sqrt(0.09 / 400)


def _smoothed_exactly(net: nn.Module, points: torch.Tensor, sigma: float, side: int = 61) -> torch.Tensor:
    """The shares (n, K) of classes under noise, of images (n, 1, 1, 2): on a grid of cells of equal probability."""
    quantiles = torch.tensor([PHI.inv_cdf((i + 0.5) / side) for i in range(side)])
    noise = sigma * torch.cartesian_prod(quantiles, quantiles).view(-1, 1, 1, 2)
    return torch.stack([nn.functional.one_hot(net(point + noise).argmax(1), 4).double().mean(0) for point in points])


def test_no_attack_within_the_radius_succeeds_in_500_tries():
    """In a plane 500 directions are all there are; the smoothed classifier is computed, not estimated."""
    net, sigma = mlp(4, (1, 1, 2), seed=5), 0.4
    x = images(40, (1, 1, 2), seed=6)
    proven = RandomizedSmoothing(sigma=sigma, n0=50, n=2000, alpha=0.001)(net).certify(x, [str(i) for i in range(40)])
    at = proven.radii.argsort(descending=True)[[0, 5, 10, 15, 20]]
    assert (proven.radii[at] > 0.05).all()
    turns = torch.linspace(0, 2 * math.pi, 101)[:100]
    circle = torch.stack([turns.cos(), turns.sin()], 1).view(-1, 1, 1, 2)
    broken = {1.0: 0, 4.0: 0}
    for row in at.tolist():
        for scale in broken:
            shares = _smoothed_exactly(net, x[row] + scale * float(proven.radii[row]) * circle, sigma)
            broken[scale] += int((shares.argmax(1) != proven.classes[row]).sum())
    assert broken[1.0] == 0  # of 500
    assert broken[4.0] > 0  # the tries can succeed


def test_certificates_depend_on_seed_and_sample_alone():
    net, x = mlp(), images(12)
    smoothed, ids = RandomizedSmoothing(n0=10, n=60)(net), [str(i) for i in range(12)]
    whole = smoothed.certify(x, ids)
    some = [7, 6, 4, 5]
    part = smoothed.certify(x[some], [ids[i] for i in some])
    assert torch.equal(part.radii, whole.radii[some]) and torch.equal(part.classes, whole.classes[some])
    assert not torch.equal(smoothed.certify(x, ids, seed=1).radii, whole.radii)


def test_the_answer_that_is_attacked_is_the_vote():
    net, x, smoothing = mlp(), images(30), RandomizedSmoothing(sigma=0.6, times=9)
    votes = sum(nn.functional.one_hot(net(smoothing.see(x, i)).argmax(1), 5) for i in range(9))
    top = votes.topk(2).values
    clear = top[:, 0] > top[:, 1]
    logits = smoothing(net)(x)
    assert clear.sum() > 20 and torch.equal(logits.argmax(1)[clear], votes.argmax(1)[clear])
    assert torch.allclose(logits.logsumexp(1), torch.zeros(30), atol=1e-5)
