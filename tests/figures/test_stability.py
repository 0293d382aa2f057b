"""Pictures of sparse coding: every atom and every line is drawn, and no promise where there is none."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.figures import atoms_figure, errors_figure, figures
from tests.sparse_coding.rows import results_of, row, stored

SVG = "{http://www.w3.org/2000/svg}"


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline."""
    found = ET.fromstring(svg).iter(f"{SVG}polyline")
    return [[tuple(map(float, point.split(","))) for point in one.get("points", "").split()] for one in found]


def test_every_number_of_every_atom_is_a_square_on_grey():
    svg = atoms_figure([[[0.0, 1.0], [-1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]]], "A < B")
    fills = [one.get("fill") for one in ET.fromstring(svg).iter(f"{SVG}rect")]
    assert fills[:3] == ["#eeeeee", "#e69f00", "#0072b2"] and len(fills) == 5 and fills[4] == "#eeeeee"
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
    heights = [1.2 * (1 - y / 220) for _, y in adversarial]  # the axis ends at the next round number
    assert heights == pytest.approx([0.3, 0.5, 1.0], abs=1e-3)


def test_layers_stand_side_by_side():
    svg = errors_figure([row(layer=1), row(layer=2)])
    assert len(lines(svg)) == 6 and "mine, hard, layer 2" in svg
    with pytest.raises(ValueError, match=r"expected rows of sparse_coding\.sweep, got none"):
        errors_figure([])


def test_a_suite_draws_the_atoms_that_it_stored(tmp_path):
    results = results_of(tmp_path, stored("a"), stored("b"), stored("c", model="other"))
    record = figures["atoms"]()
    table = record.compute(results, None)
    assert table["model"].to_pylist() == ["mine", "other"]
    fills = [one.get("fill") for one in ET.fromstring(record.draw(table)).iter(f"{SVG}rect")]
    assert fills == ["#eeeeee", "#e8b33b", "#0072b2"] * 2  # 0.75 of the way to orange, and blue
    (first, _) = record.data(table).rows
    assert [first[key].value for key in ("atoms", "height", "width")] == [1, 1, 2]


def test_a_suite_draws_each_pursuit_that_has_met_several_noises(tmp_path):
    sweep = [stored(f"s{i}", noise=noise, layer=layer) for i, noise in enumerate((0.01, 0.02)) for layer in (1, 2)]
    sweep += [one | {"cell": f"x{one['cell']}", "set_for": 0.02} for one in sweep]
    alone = stored("alone", pursuit="relu")
    record = figures["error_against_noise"]()
    table = record.compute(results_of(tmp_path, *sweep, alone), None)
    svg = record.draw(table)
    assert len(lines(svg)) == 12 and all(len(line) == 2 for line in lines(svg)) and "relu" not in svg
    assert "mine, hard, set for 0.01, layer 2" in svg and "mine, hard, set for 0.02, layer 2" in svg
    assert len(record.data(table).rows) == 8
    with pytest.raises(UsageError, match="expected a pursuit set for one noise under several, got none"):
        record.compute(results_of(tmp_path / "alone", alone), None)
    with pytest.raises(UsageError, match="expected results of a suite with `sparse_coding:`"):
        figures["atoms"]().compute(results_of(tmp_path / "none"), None)


def test_a_line_of_panels_for_each_pursuit():
    places = [
        one.get("transform")
        for one in ET.fromstring(errors_figure([row(layer=1), row(layer=2), row(pursuit="relu")])).iter(f"{SVG}g")
        if one.get("transform")
    ]
    assert len({place.partition(",")[2] for place in places}) == 2  # two lines
