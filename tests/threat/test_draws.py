from __future__ import annotations

import math

import torch

from robustbench_lite.threat.draws import Draw, _mix, keys
from robustbench_lite.threat.rows import rows

NAMES = [str(i) for i in range(3000)]


def test_splitmix64_matches_its_published_stream():
    # first outputs of splitmix64 for seed 0 (Steele, Lea, Flood; Vigna's reference C code)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    golden = 0x9E3779B97F4A7C15
    state = torch.tensor([(golden * i + 2**63) % 2**64 - 2**63 for i in (1, 2, 3)])
    assert [value % 2**64 for value in _mix(state).tolist()] == expected


def test_draws_depend_on_the_sample_not_on_the_batch():
    whole = Draw(keys(0, "a", NAMES))
    index = torch.tensor([7, 3, 99])
    part = rows(whole, index)
    for draw in ("uniform", "normal", "laplace"):
        assert torch.equal(getattr(whole, draw)("x", (4, 2), 1)[index], getattr(part, draw)("x", (4, 2), 1))
    steps = torch.tensor([5, 0, 5])
    mixed = part.uniform("x", (3,), steps)
    assert torch.equal(mixed[1], part.uniform("x", (3,), 0)[1])
    assert torch.equal(mixed[0], part.uniform("x", (3,), 5)[0])


def test_everything_that_should_change_a_draw_does():
    base = Draw(keys(0, "a", NAMES)).uniform("x", (2,), 0)
    for other in (
        Draw(keys(1, "a", NAMES)).uniform("x", (2,), 0),
        Draw(keys(0, "b", NAMES)).uniform("x", (2,), 0),
        Draw(keys(0, "a", NAMES)).uniform("y", (2,), 0),
        Draw(keys(0, "a", NAMES)).uniform("x", (2,), 1),
    ):
        assert (base != other).float().mean() > 0.99


def test_distributions():
    draw = Draw(keys(0, "a", NAMES))
    u, z, e = draw.uniform("u", (50,)), draw.normal("z", (50,)), draw.laplace("e", (50,))
    assert 0 < u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.003
    assert abs(u.var() - 1 / 12) < 0.002
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs(e.abs().mean() - 1) < 0.01
    correlation = torch.corrcoef(u.T)
    assert (correlation - torch.eye(50)).abs().max() < 6 / math.sqrt(len(NAMES))
    counts = torch.bincount(draw.integer("k", 7), minlength=7)
    assert counts.min() > 0.85 * len(NAMES) / 7
