"""Exact answers inside [0, 1], against scipy's own solvers of the same problems."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from robustbench_lite.threat.box import box_radius, nearest_within, project_within, shortest_within, steepest_within
from robustbench_lite.threat.norms import size

NORMS = ("linf", "l2", "l1")


def problem(seed=0, n=24, d=12):
    """Images half of whose numbers stand at the box, and gradients some of whose numbers are zero."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand((n, 1, 3, 4), generator=generator) * 2 - 0.5).clamp(0, 1)
    w = torch.randn((n, 1, 3, 4), generator=generator) * (torch.rand((n, 1, 3, 4), generator=generator) < 0.8)
    room = torch.where(w > 0, 1 - x, x)
    return x, w, (w.abs() * room).flatten(1).sum(1)


def smallest(x, w, gain, norm):
    """The same by a linear program, or by a general solver for l2."""
    x, w = x.double().flatten().numpy(), w.double().flatten().numpy()
    d = len(x)
    if norm == "linf":  # variables r, t: minimise t
        limits = np.block([[np.eye(d), -np.ones((d, 1))], [-np.eye(d), -np.ones((d, 1))], [-w[None], np.zeros((1, 1))]])
        bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
        return linprog([0] * d + [1], limits, [0] * 2 * d + [-gain], bounds=bounds).fun
    if norm == "l1":  # r = up - down
        bounds = [*zip([0] * d, 1 - x, strict=True), *zip([0] * d, x, strict=True)]
        return linprog([1] * 2 * d, np.block([-w, w])[None], [-gain], bounds=bounds).fun
    way = {"type": "ineq", "fun": lambda r: w @ r - gain, "jac": lambda _: w}
    bounds = list(zip(-x, 1 - x, strict=True))
    options = {"ftol": 1e-14, "maxiter": 500}
    found = minimize(
        lambda r: r @ r, 0 * x, jac=lambda r: 2 * r, bounds=bounds, constraints=[way], method="SLSQP", options=options
    )
    return found.fun**0.5


def test_a_number_that_uses_up_the_budget_just_as_it_meets_the_box_is_not_taken_back():
    x, w = torch.tensor([[1.0, 0.0, 0.9]]), torch.tensor([[0.010856254, 0.000414130860, 2.75538170e-9]])
    assert steepest_within(x, w, "l2", 1.0)[0, 1] == 1


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_the_radius_is_that_of_a_solver(norm, share):
    x, w, most = problem()
    radius = box_radius(x, w, share * most, norm)
    expected = [smallest(x[i], w[i], share * float(most[i]), norm) for i in range(len(x))]
    assert radius.numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_what_cannot_be_reached_is_infinitely_far_and_what_is_reached_is_not_far_at_all(norm):
    x, w, most = problem()
    assert box_radius(x, w, 1.01 * most, norm).isinf().all()
    assert (box_radius(x, w, -most, norm) == 0).all()
    corner = shortest_within(x, w, 1.01 * most, norm)
    assert torch.allclose((w * corner).flatten(1).sum(1), most)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_shortest_step_gains_what_it_must_and_stays_inside(norm, scale):
    x, w, most = problem(1)
    r = shortest_within(x, w * scale, 0.7 * most * scale, norm)
    assert torch.allclose((w * r).flatten(1).sum(1), 0.7 * most, rtol=1e-4)
    assert float((x + r).min()) >= 0
    assert float((x + r).max()) <= 1
    assert torch.allclose(size(r, norm).double(), box_radius(x, w, 0.7 * most, norm), rtol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.05, 0.3, 2.0])
def test_the_steepest_step_spends_its_budget_where_it_gains_most(norm, epsilon):
    """Duality: no step is larger than epsilon, and none as large gains more (a greater gain has a greater radius)."""
    x, w, most = problem(2)
    r = steepest_within(x, w, norm, epsilon)
    gain = (w.double() * r.double()).flatten(1).sum(1)
    assert float(size(r, norm).max()) <= epsilon * (1 + 1e-5)
    assert (box_radius(x, w, gain * (1 + 1e-5), norm) >= size(r, norm) * (1 - 1e-5)).all()
    spent = size(r, norm) > epsilon * (1 - 1e-5)
    assert (spent | torch.isclose(gain, most.double(), rtol=1e-5)).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_the_projection_is_the_nearest_point_of_ball_and_box(norm, epsilon):
    """Its residual makes an obtuse angle with the way to every other point of the set (the variational inequality)."""
    x, w, _ = problem(3)
    r = w if norm != "l1" else (x + w).clamp(0, 1) - x
    nearest = project_within(x, r, norm, epsilon)
    assert float(size(nearest, norm).max()) <= epsilon * (1 + 1e-5)
    others = [
        steepest_within(x, torch.randn(x.shape, generator=torch.Generator().manual_seed(i)), norm, epsilon)
        for i in range(20)
    ]
    for other in (*others, steepest_within(x, r - nearest, norm, epsilon)):
        angle = ((r - nearest) * (other - nearest)).flatten(1).sum(1)
        assert float(angle.max()) <= 1e-5


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 100.0])
def test_the_nearest_point_of_ball_and_box_is_exact_from_anywhere(norm, epsilon):
    x, w, _ = problem(3)
    r, limit = 2 * w, torch.full((len(x),), epsilon)
    nearest = nearest_within(x, r, norm, limit)
    assert float(size(nearest, norm).max()) <= epsilon * (1 + 1e-5)
    assert float((x + nearest).min()) >= -1e-6 and float((x + nearest).max()) <= 1 + 1e-6
    ways = [torch.randn(x.shape, generator=torch.Generator().manual_seed(i)) for i in range(20)]
    for other in (steepest_within(x, way, norm, epsilon) for way in (*ways, r - nearest)):
        assert float(((r - nearest) * (other - nearest)).flatten(1).sum(1).max()) <= 1e-4
