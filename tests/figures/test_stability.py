"""Pictures of sparse coding: every atom and every line is drawn, and no promise where there is none."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from robustbench_lite.figures import atoms_figure, errors_figure
from tests.sparse_coding.rows import row

SVG = "{http://www.w3.org/2000/svg}"


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline."""
    found = ET.fromstring(svg).iter(f"{SVG}polyline")
    return [[tuple(map(float, point.split(","))) for point in one.get("points", "").split()] for one in found]


def test_every_number_of_every_atom_is_a_square():
    svg = atoms_figure([[[0.0, 1.0], [-1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]]], "A < B")
    fills = [one.get("fill") for one in ET.fromstring(svg).iter(f"{SVG}rect")]
    assert fills[:3] == ["#eeeeee", "#e69f00", "#0072b2"] and fills[4:] == ["#eeeeee"] * 4
    assert "A &lt; B" in svg


def test_errors_rise_with_the_noise_and_the_promise_ends_where_it_does():
    rows = [
        row(noise=0.02, promised=0.5, adversarial_worst=0.5, random_worst=0.1),
        row(noise=0.01, bound=0.4, adversarial_worst=0.3, random_worst=0.1),
        row(noise=0.04, promised=0.0, bound=float("nan"), adversarial_worst=1.0, random_worst=0.2),
    ]
    bound, adversarial, random = lines(errors_figure(rows))
    assert (len(bound), len(adversarial), len(random)) == (1, 3, 3)
    assert [x for x, _ in adversarial] == sorted(x for x, _ in adversarial)
    heights = [1 - y / 220 for _, y in adversarial]
    assert heights == pytest.approx([0.3, 0.5, 1.0], abs=1e-3)


def test_layers_stand_side_by_side():
    svg = errors_figure([row(layer=1), row(layer=2)])
    assert len(lines(svg)) == 6 and "mine, hard, layer 2" in svg
    with pytest.raises(ValueError, match=r"expected rows of sparse_coding\.sweep, got none"):
        errors_figure([])
