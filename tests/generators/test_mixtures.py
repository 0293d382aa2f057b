"""Mixtures in the plane: what they are, and what is covered of them."""

from __future__ import annotations

import math

import pytest
import torch

from robustbench_lite.generators import mixtures

RING, GRID = mixtures.build("ring"), mixtures.build("grid")


def test_centres_are_where_the_papers_have_them():
    ring, grid = RING.centres(), GRID.centres()
    assert ring.shape == (8, 2) and torch.allclose(ring.norm(dim=1), torch.tensor(2.0))
    gaps = (ring - ring.roll(1, 0)).norm(dim=1)
    assert torch.allclose(gaps, torch.tensor(4 * math.sin(math.pi / 8)))
    assert {tuple(row) for row in grid.tolist()} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}


@pytest.mark.parametrize("mixture", [RING, GRID])
def test_its_own_points_cover_it(mixture):
    """Within three standard deviations in the plane: 1 - exp(-9/2)."""
    points = mixture.draw(20_000, torch.Generator().manual_seed(0))
    found = mixture.coverage(points)
    assert found.covered == found.modes == len(mixture.centres())
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.003)


def test_a_mode_is_covered_by_a_point_of_high_quality_alone():
    near, far = RING.centres()[2] + torch.tensor([0.05, 0.0]), RING.centres()[5] + torch.tensor([0.0, 0.07])
    found = RING.coverage(torch.stack([near, near, near, far]))
    assert (found.covered, found.high_quality) == (1, 0.75)
