"""Pictures of sparse coding: every atom and every line is drawn, and no promise where there is none."""

from __future__ import annotations

import base64
import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.errors import UsageError
from robustbench_lite.figures import atoms_figure, errors_figure, figures
from robustbench_lite.figures.stability import errors
from tests.sparse_coding.rows import results_of, row, stored

SVG = "{http://www.w3.org/2000/svg}"


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """The points of every polyline."""
    found = ET.fromstring(svg).iter(f"{SVG}polyline")
    return [[tuple(map(float, point.split(","))) for point in one.get("points", "").split()] for one in found]


def pixels(svg: str) -> list[list[list[int]]]:
    """The rows of pixels of every image, from blue to orange as -1 to 1, in hundredths."""
    found = []
    for one in ET.fromstring(svg).iter(f"{SVG}image"):
        with Image.open(io.BytesIO(base64.b64decode(one.get("href", "").partition(",")[2]))) as image:
            values = np.asarray(image.convert("RGB")).astype(int)
        towards = np.where(values[..., 2] < 0xEE, 1 - values[..., 2] / 0xEE, 0) * (values[..., 0] > values[..., 2])
        away = (0xEE - values[..., 0]) / 0xEE * (values[..., 0] < values[..., 2])
        found.append(np.rint(100 * (towards - away)).astype(int).tolist())
    return found


def test_every_number_of_every_atom_is_a_pixel_on_grey():
    svg = atoms_figure([[[0.0, 1.0], [-1.0, 0.5]], [[0.0, 0.0], [0.0, 0.0]]], "A < B")
    assert pixels(svg) == [[[0, 100], [-100, 50]], [[0, 0], [0, 0]]]
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
    assert pixels(record.draw(table)) == [[[75, -100]]] * 2
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
    drawing = errors([row(layer=1), row(layer=2), row(pursuit="relu")], "t")
    assert [len(block.panels) for block in drawing.blocks] == [2, 1]
