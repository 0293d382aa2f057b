"""Dictionaries, coherence and local sizes against dense matrices and loops."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.sparse_coding import (
    MODELS,
    Dictionary,
    Layers,
    designs,
    energy,
    incoherent,
    normalised,
    orthogonal,
    patch_sparsity,
    shrunk,
    sparse,
    stripe_sparsity,
)
from tests.sparse_coding.dense import matrix, overlaps, patches

POSITIONS = (4, 3)


def gaussian(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


DICTIONARIES = {
    "stride 1": Dictionary(normalised(gaussian(3, 2, 3, 4)), 1),
    "stride 2": Dictionary(normalised(gaussian(2, 1, 5, 4)), 2),
    "stride 3": Dictionary(normalised(gaussian(3, 2, 4, 3)), 3),
    "a line": Dictionary(normalised(gaussian(3, 1, 1, 5)), 1),
    "orthogonal": orthogonal(3),
    "sparse": sparse(3, 5, side=4, stride=2, corner=2, signed=True),
}


@pytest.fixture(params=DICTIONARIES.values(), ids=DICTIONARIES)
def dictionary(request):
    return request.param


def sparse_codes(dictionary: Dictionary, count: int = 3) -> torch.Tensor:
    """(5, m, *POSITIONS) with `count` random nonzeros each, negative ones too."""
    source = torch.Generator().manual_seed(1)
    codes = torch.zeros(5, len(dictionary.atoms) * POSITIONS[0] * POSITIONS[1], dtype=torch.float64)
    for row in codes:
        row[torch.randperm(len(row), generator=source)[:count]] = torch.randn(count, generator=source).double()
    return codes.view(5, -1, *POSITIONS)


def test_synthesis_and_correlation_are_the_matrix_and_its_transpose(dictionary):
    codes, dense = gaussian(2, len(dictionary.atoms), *POSITIONS), matrix(dictionary, POSITIONS)
    signals = dictionary.synthesise(codes)
    torch.testing.assert_close(signals.flatten(1), codes.flatten(1) @ dense.T)
    torch.testing.assert_close(dictionary.correlate(signals).flatten(1), signals.flatten(1) @ dense)
    assert tuple(signals.shape[2:]) == dictionary.sides(POSITIONS)
    assert dictionary.positions(dictionary.sides(POSITIONS)) == POSITIONS


def test_coherence_is_the_largest_product_of_two_columns(dictionary):
    enough = tuple(2 * reach + 1 for reach in dictionary.reach)  # every shift occurs
    products = matrix(dictionary, enough)
    products = (products.T @ products).abs().fill_diagonal_(0)
    assert dictionary.coherence == pytest.approx(float(products.max()), abs=1e-14)


def test_the_gram_holds_the_products_by_shift(dictionary):
    """gram[p, q, u, v]: q stands u - reach below p and v - reach to the right of it."""
    down, right = dictionary.reach
    positions = (2 * down + 1, 2 * right + 1)
    dense, m = matrix(dictionary, positions), len(dictionary.atoms)
    products = (dense.T @ dense).view(m, *positions, m, *positions)
    torch.testing.assert_close(dictionary.gram, products[:, down, right])


def test_curvature_bounds_the_largest_eigenvalue_closely(dictionary):
    dense = matrix(dictionary, tuple(min(9, 6 * reach + 3) for reach in dictionary.reach))
    largest = float(torch.linalg.matrix_norm(dense, 2)) ** 2
    assert largest - 1e-12 <= dictionary.curvature <= 1.35 * largest


def test_stripes_are_counted_over_atoms_that_overlap(dictionary):
    codes, near = sparse_codes(dictionary), overlaps(dictionary, POSITIONS)
    expected = ((codes.flatten(1) != 0).double() @ near.double()).amax(1)
    assert stripe_sparsity(codes, dictionary).tolist() == expected.tolist()


@pytest.mark.parametrize(("sides", "stride"), [((1, 1), 1), ((3, 2), 1), ((2, 3), 2)])
def test_patches_are_those_that_a_loop_sees(sides, stride):
    values = gaussian(3, 2, 6, 7) * (gaussian(3, 2, 6, 7) > 0.3)
    for got, one in zip(patch_sparsity(values, (sides, stride)), values, strict=True):
        assert got == max(int((patch != 0).sum()) for patch in patches(one, sides, stride))
    for got, one in zip(energy(values, (sides, stride)), values, strict=True):
        assert float(got) == pytest.approx(max(float(patch.norm()) for patch in patches(one, sides, stride)))


@pytest.mark.parametrize("patch", [((3, 2), 1), ((2, 3), 2), ((3, 3), 3)])
def test_shrinking_leads_into_the_ball_and_leaves_alone_what_is_inside(patch):
    values = gaussian(4, 2, 9, 9)
    values[1:, :, :4] *= 0.01  # the rest is far too large, the corner is not
    got = shrunk(values, patch, 0.5)
    assert bool((energy(got, patch) <= 0.5 * (1 + 1e-12)).all())
    torch.testing.assert_close(got[1:, :, :2, :2], values[1:, :, :2, :2])
    torch.testing.assert_close(shrunk(got, patch, 0.5), got)
    limits = torch.tensor([0.1, 0.2, 0.3, 1e3], dtype=torch.float64)
    each = shrunk(values, patch, limits)
    assert bool((energy(each, patch) <= limits * (1 + 1e-12)).all())
    assert torch.equal(each[3], values[3])


def test_the_cosines_are_an_orthonormal_basis():
    dense = matrix(orthogonal(3), (2, 2))
    torch.testing.assert_close(dense.T @ dense, torch.eye(36, dtype=torch.float64))
    assert orthogonal(3).coherence < 1e-14
    assert orthogonal(3).curvature == pytest.approx(1)


def test_descent_lowers_the_coherence():
    source = torch.Generator().manual_seed(0)
    start = Dictionary(normalised(torch.randn(4, 1, 6, 6, generator=source, dtype=torch.float64)), 2)
    assert incoherent(4, 6, stride=2).coherence < 0.1 * start.coherence


def test_sparse_atoms_meet_in_one_place_at_most():
    found = sparse(4, 4, side=8, stride=2, corner=3)
    assert (found.atoms != 0).flatten(1).sum(1).tolist() == [4] * 4
    assert found.coherence == 0.25
    with pytest.raises(ValueError, match="expected 40 atoms of 4 x 4 x 4, found room for"):
        sparse(40, 4, side=4, stride=1)


def test_what_is_no_dictionary_is_told():
    with pytest.raises(ValueError, match=r"expected atoms of length 1, got one of 2; see normalised\(\)"):
        Dictionary(torch.full((1, 1, 2, 2), 1.0))
    with pytest.raises(ValueError, match=r"expected a side of 6 \+ a multiple of 2, got 9"):
        Dictionary(normalised(gaussian(2, 1, 6, 6)), 2).positions((9, 8))
    with pytest.raises(ValueError, match="layer 2: expected atoms of 9 channels, as many as layer 1 has atoms, got 5"):
        Layers((orthogonal(3), DICTIONARIES["sparse"]))


def test_an_atom_is_seen_through_the_layers_before_it():
    """As the signal of that atom alone."""
    layers = MODELS["overlapping"].build()
    assert torch.equal(layers.seen(1), layers.dictionaries[0].atoms)
    codes = torch.zeros(1, 4, 1, 1, dtype=torch.float64)
    codes[0, 2] = 1
    torch.testing.assert_close(layers.seen(2)[2:3], layers.synthesise(codes).x)


@pytest.mark.parametrize("name", list(designs))
def test_every_dictionary_has_the_atoms_that_it_says(name):
    params = {"orthogonal": {"side": 2}}.get(name, {"count": 3, "side": 4})
    design = designs.build(name, params)
    channels = 1 if name == "orthogonal" else 4
    assert design.unfit(channels) == "" and len(design.build(channels).atoms) == design.atoms
    assert all(field.description for field in designs[name].model_fields.values())
