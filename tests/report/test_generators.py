"""What the page says of generators: a sentence, red where they have collapsed, their images, how they learnt."""

from __future__ import annotations

import re

import numpy as np

from robustbench_lite.figures.sheets import sheet
from robustbench_lite.report.charts import Line, traces
from robustbench_lite.report.generators import headline, made, scatter
from robustbench_lite.report.page import page
from robustbench_lite.results.store import Store, read

ROW = {
    "suite": "s", "dataset": "mnist", "architecture": "dcgan", "objective": "wgan_gp", "size": [1, 4, 4],
    "status": "ok", "outcome": "trained", "collapsed": False, "n": 9, "steps": 20, "seconds": 2.0, "data": "{}",
    "scores": "{}",
}  # fmt: skip
BAD = {"outcome": "collapsed", "collapsed": True, "reason": "alike: <b>0.9</b>"}


def stored(folder, *cells):
    store = Store(folder)
    for i, cell in enumerate(cells):
        one = {"cell": f"c{i}"}
        pixels = {"shape": [1, 4, 4], "pixels": bytes(range(16))}
        shown = [("generated", 0), ("generated", 20), ("real", 20)]
        images = [one | pixels | {"kind": kind, "step": step, "number": k} for kind, step in shown for k in (0, 1)]
        rows = [one | {"step": k, "images": 8 * k, "seconds": k / 10, "wasserstein": k / 2, "score": 1.0 + k}
                for k in (0, 10, 20)]  # fmt: skip
        own = ROW | {"name": f"g{i}"} | cell | one
        store.write_made(f"c{i}", {"training": rows, "generated": images, "generators": [own]})
    ids = [f"c{i}" for i in range(len(cells))]
    store.write_run({"name": "s", "generator_cells": ids, "generators": ids, "cells": [], "finished": "now"})
    return read(folder)


def test_the_first_screen_says_what_became_of_each(tmp_path):
    results = stored(tmp_path, {}, BAD, {"status": "failed", "error": "no data", "outcome": None, "collapsed": None})
    assert headline(results) == "1 of 3 trained (g0); 1 of 3 collapsed (g1); 1 of 3 failed (g2)."
    assert [one.red for one in made(results)] == [False, True, True]
    text = page([results])
    assert "What have these generators learnt" in text and "1 cell failed" in text
    assert text.index("1 of 3 collapsed") < text.index('class="generator bad"') < text.index("How they learnt")
    assert "alike: &lt;b&gt;0.9" in text and "<b>0.9</b>" not in text
    assert 'id="run1-images"' not in text and 'id="run1-trust"' not in text  # nothing was attacked
    assert "mnist: critic&#39;s score" in text or "mnist: critic's score" in text
    links = re.findall(r'href="#(run1-[\w-]+)"', text)
    assert links and all(f'id="{link}"' in text for link in links)


def test_a_damaged_picture_hides_no_number(tmp_path):
    results = stored(tmp_path, {})
    (tmp_path / "generated" / "c0.parquet").write_bytes(b"half")
    (tmp_path / "training" / "c0.parquet").write_bytes(b"half")
    text = page([results])
    assert "damaged" in text and "1 of 1 trained" in text


def test_images_lie_side_by_side():
    images = [np.full((1, 4, 4), value, np.uint8) for value in (10, 20, 30)]
    whole = sheet(images, columns=2)
    assert whole.shape == (1, 10, 10)
    assert [whole[0, y, x] for y, x in ((0, 0), (0, 6), (6, 0), (6, 6), (0, 4))] == [10, 20, 30, 128, 128]


def test_points_far_out_lie_on_the_edge_and_those_that_are_no_number_nowhere():
    drawn = scatter(np.array([[0.0, 0.0], [9.0, 0.0], [np.nan, 0.0]]), np.zeros((0, 2)), 1.0, 100, "t")
    assert re.findall(r"M([\d.]+) ([\d.]+)h0", drawn) == [("50.0", "50.0"), ("100.0", "50.0")]


def test_a_line_may_go_below_zero():
    drawn = traces([Line("a", np.array([0.0, 10.0]), np.array([-1.0, 1.0]))], "steps", "t")
    (points,) = re.findall(r'points="([^"]+)"', drawn)
    ys = [float(point.split(",")[1]) for point in points.split()]
    assert ys[0] > ys[1] and all(0 <= y <= 250 for y in ys)
