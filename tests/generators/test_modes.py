"""Modes in the plane: the Wasserstein critic with a gradient penalty covers all of them, the minimax game loses some.

Same networks, optimiser, schedule and seed; the penalty is 0.1, as in the authors' code for points (`gan_toy.py`).
"""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.generators import Recipe, trained

ADAM = {"lr": 2e-3, "beta1": 0.0, "beta2": 0.9, "n_critic": 3}
GAMES = {"minimax": ADAM, "wgan_gp": ADAM | {"weight": 0.1}}


def covered(game, points, steps, path, seed):
    """How many modes, and the share of points of high quality, of 2,500 points."""
    todo = Recipe(
        name="modes", dataset="points", size=[2], architecture={"points_mlp": {"width": 128}}, points=points,
        objective={game: GAMES[game]}, steps=steps, batch_size=256, anneal=0.5, average=0.99, seed=seed,
        save_every=steps,
    )  # fmt: skip
    net = trained(todo, path / f"{game}.pt").kept
    z = torch.randn(2500, 2, generator=torch.Generator().manual_seed(1))
    return todo.mixture.coverage(net(z))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("points", "steps", "seed"),
    [({"ring": {}}, 500, 0), ({"ring": {}}, 500, 1), ({"grid": {}}, 1500, 0)],
    ids=["8 modes, seed 0", "8 modes, seed 1", "25 modes, seed 0"],
)
def test_the_gradient_penalty_covers_modes_that_the_minimax_game_loses(points, steps, seed, tmp_path):
    theirs, ours = (covered(game, points, steps, tmp_path, seed) for game in ("minimax", "wgan_gp"))
    assert ours.covered == ours.modes
    assert theirs.covered < theirs.modes
