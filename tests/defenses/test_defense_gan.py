"""Projection on a generator's range, exactly known where that is a plane."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import robustbench_lite as rbl
from robustbench_lite.defenses import DefenseGAN
from robustbench_lite.errors import ModelError, SuiteError
from robustbench_lite.generators import Card, Generator
from robustbench_lite.models.defense import defenses
from tests.helpers import images


class Plane(nn.Module):
    """Images (n, 1, 4, 4) around grey, in three orthonormal directions; in [-1, 1], as generators make them."""

    def __init__(self) -> None:
        super().__init__()
        directions = torch.linalg.qr(torch.randn(16, 3, generator=torch.Generator().manual_seed(2))).Q
        self.directions = nn.Parameter(directions, requires_grad=False)

    def forward(self, z):
        return (z @ self.directions.T).view(-1, 1, 4, 4)


@pytest.fixture
def plane() -> DefenseGAN:
    defense = DefenseGAN(generator="wgan_gp_mnist", steps=80, restarts=2, step_size=6)
    known = rbl.generators.load("wgan_gp_mnist").card
    card = Card(**{**known.model_dump(), "size": (1, 4, 4)})
    vars(defense)["made_by"] = Generator(card, Plane(), 3)
    return defense


def projector(defense: DefenseGAN) -> torch.Tensor:
    """(16, 16), on the directions of the plane."""
    directions = defense.made_by.net.directions.detach().double()
    return directions @ directions.T


def test_the_nearest_image_of_a_plane_is_the_orthogonal_projection(plane):
    x = images(6, (1, 4, 4))
    expected = 0.5 + (x.double().flatten(1) - 0.5) @ projector(plane)
    assert torch.allclose(plane.see(x, 0).double().flatten(1), expected, atol=1e-6)


def test_a_perturbation_off_the_range_is_undone_and_one_within_it_is_not(plane):
    x, change = images(6, (1, 4, 4)), images(6, (1, 4, 4), seed=9) - 0.5
    within = (change.double().flatten(1) @ projector(plane)).view_as(x).float()
    seen = plane.see(x, 0)
    assert torch.allclose(plane.see(x + change - within, 0), seen, atol=1e-6)
    assert torch.allclose(plane.see(x + within, 0), seen + within, atol=1e-6)


def test_more_starts_come_no_less_near():
    x, _ = rbl.datasets.load("mnist", samples=6)
    few, many = (DefenseGAN(generator="wgan_gp_mnist", steps=15, restarts=n).see(x, 0) for n in (1, 3))
    errors = [(seen - x).flatten(1).norm(dim=1) for seen in (few, many)]
    assert (errors[1] <= errors[0] + 1e-6).all() and (errors[1] < errors[0] - 1e-3).any()


def test_more_steps_come_nearer():
    x, _ = rbl.datasets.load("mnist", samples=4)
    errors = [
        float((DefenseGAN(generator="wgan_gp_mnist", steps=n, restarts=1).see(x, 0) - x).norm()) for n in (2, 10, 40)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_images_of_another_kind_are_refused():
    with pytest.raises(
        ModelError, match=r"wgan_gp_mnist makes images of 1 x 32 x 32; the classifier's, of 3 x 28 x 28"
    ):
        DefenseGAN(generator="wgan_gp_mnist").see(images(1, (3, 28, 28)), 0)


def test_an_unknown_generator_is_named():
    with pytest.raises(SuiteError, match=r"unknown generator 'wgan_mnist'.*wgan_gp_mnist"):
        defenses.build("defense_gan", {"generator": "wgan_mnist"})
