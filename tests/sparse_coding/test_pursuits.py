"""Layered thresholding is a network of torch; basis pursuit against a closed form and conditions of optimality."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.sparse_coding import (
    Dictionary,
    Layers,
    Signals,
    basis_pursuit,
    cnn,
    layered_basis_pursuit,
    layered_thresholding,
    normalised,
    optimality_gap,
    orthogonal,
    threshold,
)
from tests.sparse_coding.dense import matrix

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def gaussian(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


def decoder(dtype: torch.dtype = torch.float64) -> Layers:
    """Two layers of overlapping atoms, strides as a decoder has them."""
    first = Dictionary(normalised(gaussian(6, 3, 5, 5, dtype=dtype)), 2)
    return Layers((first, Dictionary(normalised(gaussian(4, 6, 3, 3, dtype=dtype)), 1)))


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@torch.no_grad()
def test_layered_thresholding_is_the_forward_pass_of_a_network(dtype):
    """Written out in torch, not by `cnn`: weights are the atoms, biases the thresholds with the other sign."""
    layers = decoder(dtype)
    levels = (torch.linspace(-0.1, 0.4, 6, dtype=dtype), torch.linspace(0.05, 0.2, 4, dtype=dtype))
    first, second = nn.Conv2d(3, 6, 5, stride=2, dtype=dtype), nn.Conv2d(6, 4, 3, dtype=dtype)
    for module, dictionary, level in zip((first, second), layers.dictionaries, levels, strict=True):
        module.weight.copy_(dictionary.atoms)
        module.bias.copy_(-level)
    y = gaussian(7, 3, 17, 17, dtype=dtype)
    found = layered_thresholding(layers, y, levels)
    hidden = first(y).relu()
    for ours, theirs in zip(found, (hidden, second(hidden).relu()), strict=True):
        assert bool((theirs > 0).any()) and bool((theirs == 0).any())
        assert float((ours - theirs).abs().max()) <= TOLERANCE[dtype]
    assert float((cnn(layers, levels)(y) - found[-1]).abs().max()) <= TOLERANCE[dtype]


def test_the_decoder_is_the_transposed_network():
    layers, codes = decoder(), gaussian(2, 4, 3, 3)
    signals = layers.synthesise(codes)
    hidden = nn.functional.conv_transpose2d(codes, layers.dictionaries[1].atoms)
    torch.testing.assert_close(signals.codes[0], hidden)
    assert torch.equal(signals.codes[1], codes)
    torch.testing.assert_close(
        signals.x, nn.functional.conv_transpose2d(hidden, layers.dictionaries[0].atoms, stride=2)
    )
    assert torch.equal(signals[:1].x, signals.x[:1]) and isinstance(signals[:1], Signals)


def test_thresholds_by_hand():
    values = torch.tensor([-2.0, -0.5, 0.5, 2.0]).view(1, 1, 1, 4)
    assert threshold(values, 1.0, "hard").flatten().tolist() == [-2, 0, 0, 2]
    assert threshold(values, 1.0, "soft").flatten().tolist() == [-1, 0, 0, 1]
    assert threshold(values, 1.0, "relu").flatten().tolist() == [0, 0, 0, 1]
    assert threshold(values, -1.0, "relu").flatten().tolist() == [0, 0.5, 1.5, 3]


@pytest.mark.parametrize("nonnegative", [False, True])
def test_on_an_orthogonal_dictionary_basis_pursuit_is_a_threshold(nonnegative):
    dictionary, y = orthogonal(3), gaussian(4, 1, 9, 9)
    expected = threshold(dictionary.correlate(y), 0.7, "relu" if nonnegative else "soft")
    torch.testing.assert_close(basis_pursuit(dictionary, y, 0.7, 40, nonnegative), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_basis_pursuit_meets_the_conditions_of_optimality(nonnegative):
    """Also for atoms that overlap much, and a penalty for each signal; the gap is checked by the dense matrix."""
    dictionary, penalty = decoder().dictionaries[0], torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    y = gaussian(3, 3, 9, 9)
    codes = basis_pursuit(dictionary, y, penalty, 100, nonnegative)
    dense = matrix(dictionary, (3, 3))
    slope = ((y.flatten(1) - codes.flatten(1) @ dense.T) @ dense) / penalty[:, None]
    on = codes.flatten(1) != 0
    assert bool(on.any()) and not bool(on.all())
    assert float((slope - codes.flatten(1).sign())[on].abs().max()) < 1e-8
    off = slope[~on] if nonnegative else slope[~on].abs()
    assert float(off.max()) <= 1 + 1e-8
    assert float(optimality_gap(dictionary, y, codes, penalty, nonnegative).max()) < 1e-8
    assert bool((optimality_gap(dictionary, y, codes + 1e-3 * on.view_as(codes), penalty, nonnegative) > 1e-4).all())
    assert not nonnegative or bool((codes >= 0).all())


def test_layers_of_basis_pursuit_follow_each_other():
    layers, y = decoder(), gaussian(2, 3, 9, 9)
    first, second = layered_basis_pursuit(layers, y, (0.5, 0.2), 50)
    assert torch.equal(first, basis_pursuit(layers.dictionaries[0], y, 0.5, 50))
    assert torch.equal(second, basis_pursuit(layers.dictionaries[1], first, 0.2, 50))


def test_a_signal_is_solved_as_if_it_were_alone():
    dictionary, y = decoder().dictionaries[0], gaussian(3, 3, 9, 9)
    together = basis_pursuit(dictionary, y, 0.5, 40)
    for i in range(3):
        torch.testing.assert_close(basis_pursuit(dictionary, y[i : i + 1], 0.5, 40)[0], together[i])
