"""Figures for papers: every registered one, with the numbers of its rows, as files that open and say their text."""

from __future__ import annotations

import io
import json
import re
import sys

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import robustbench_lite as rbl
from robustbench_lite.cli.exit import exit_code
from robustbench_lite.cli.verbs import cli
from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import figures
from robustbench_lite.figures.contact_sheet import META
from robustbench_lite.figures.drawing import Axis, Drawing, Gallery, Line, Panel, Panels, Strip, Tile
from robustbench_lite.results.store import Store, read
from tests.results.test_worst_case import INF, plant, run_of
from tests.sparse_coding.rows import stored
from tests.synthetic import cell_row, two, write

paper = pytest.importorskip("robustbench_lite.figures.paper")
pytest.importorskip("matplotlib", reason="needs the extra 'plot'")


def _plane(column, values):
    facts = {"dataset": "mnist", "sample": "s1", "label": 1, "classes": ["no", "yes"], "axes": ["one", "two"]}
    marks = [{"name": "pgd", "u": 1.0, "v": -1.0, "off": "2"}, {"name": "far", "u": 9.0, "v": 0.0, "off": "2"}]
    facts |= {"marks": marks, "points": 2, "extent": [3, 3], "units": "grey levels"}
    columns = {"model": ["a"] * 4 + ["b"] * 4, column: values, "prediction": [0, 1, 1, 1] * 2}
    return pa.table(columns).replace_schema_metadata({META: json.dumps(facts)})


def _pictures(**changes):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), 200, np.uint8)).save(file, "PNG")
    row = {"heading": "sign", "strip": "original", "caption": "5 ft", "prediction": "Stop", "confidence": 0.5}
    row |= {"outcome": "label", "success": False, "png": file.getvalue()} | changes
    return pa.Table.from_pylist([row, row | {"strip": "attacked", "outcome": "target", "success": True}])


def _sheet():
    pixels = np.arange(16, dtype=np.uint8).tobytes()
    rows = [{"sample": "s", "draw": draw, "shape": [1, 4, 4], "pixels": pixels} for draw in (-1, 0, 1)]
    facts = {"heading": "mine", "samples": ["s"], "draws": 2}
    return pa.Table.from_pylist(rows).replace_schema_metadata({META: json.dumps(facts)})


def _sums(pixels):
    """One row of sums, thirteen images, with the shares that stand below it."""
    rows = [{"generator": "gan", "number": i, "shape": [1, 4, 4], "pixels": pixels} for i in range(13)]
    kinds = {"arithmetic": 0.7, "arithmetic_control": 0.1}
    shares = {f"{key}{end}": value for key, value in kinds.items() for end in ("", "_low", "_high")}
    facts = {"gan": shares | {"arithmetic_sums": 100}}
    return pa.Table.from_pylist(rows).replace_schema_metadata({META: json.dumps(facts)})


def _rows_of(name):
    """Rows as each figure stores them, by hand."""
    pixels = bytes(range(16))
    of_object = {"cell": "c", "dataset": "ball", "variant": "eot", "label": "ball", "target": None, "model": "net"}
    made = {"generator": "gan", "strip": "step 1", "shape": [1, 4, 4], "pixels": pixels, "distance": None}
    image = {"dataset": "mnist", "model": "net", "attack": "pgd", "sample": "s", "label": "7", "before": "7"}
    image |= {"after": "1", "confidence": 0.9, "success": True, "shape": [1, 2, 2], "clean": bytes(4)}
    learnt = [{"generator": "gan", "step": float(s), "seconds": s / 2, "value": s**2} for s in (1, 2, 3)]
    return {
        "decision_regions": lambda: _plane("prediction", [0, 1, 1, 1] * 2),
        "loss_landscape": lambda: _plane("loss", [0.1, 2.0, 3.0, 0.0] * 2),
        "spatial_landscape": lambda: _plane("loss", [0.1, 2.0, 3.0, 0.0] * 2),
        "poses": _pictures,
        "turntable": lambda: pa.Table.from_pylist(
            [row | of_object | {"texture": row["strip"], "angle": 0.0} for row in _pictures().to_pylist()]
        ),
        "contact_sheet": _sheet,
        "generated": lambda: pa.Table.from_pylist([made | {"number": i} for i in (0, 1)]),
        "latent_arithmetic": lambda: _sums(pixels),
        "learning": lambda: pa.Table.from_pylist(learnt),
        "examples": lambda: pa.Table.from_pylist([image | {"adversarial": np.float32([0, 0, 1, 0.5]).tobytes()}]),
        "atoms": lambda: pa.Table.from_pylist(
            [
                {
                    "model": "m",
                    "layer": 1,
                    "coherence": 0.1,
                    "shape": [1, 1, 1, 2],
                    "atoms": np.float32([1, -1]).tobytes(),
                }
            ]
        ),
        "error_against_noise": lambda: pa.Table.from_pylist([stored("a", noise=0.01), stored("b", noise=0.02)]),
        "curve": lambda: None,
    }[name]()


def drawing_of(name, folder):
    record = figures[name]()
    if name == "curve":
        plant(folder, "deepfool", [0.1, 0.2, 0.2, INF])
        plant(folder, "fc", [0.1] * 4, eps=0.1, model="fc")
        return record.drawing(record.compute(run_of(folder), None))
    return record.drawing(_rows_of(name))


def texts(drawing):
    """Every text that must be read in the file, up to where it may be folded."""
    yield from (key.text for key in drawing.keys)
    for block in drawing.blocks:
        if isinstance(block, Panels):
            yield from (text for panel in block.panels for text in (panel.x.label, panel.y.label))
        else:
            yield from (tile.below[0] for strip in block.strips for tile in strip.tiles if tile.below)


@pytest.mark.parametrize("name", list(figures))
def test_every_figure_is_pdf_png_and_svg_with_text_as_text(name, tmp_path):
    """A figure that is added to the registry is tried here; its rows are in `_rows_of`."""
    drawing = drawing_of(name, tmp_path)
    found = paper.picture(drawing, 3.25)
    files = {suffix: paper.written(drawing, found, suffix) for suffix in paper.FORMATS}
    assert files == {suffix: paper.written(drawing, paper.picture(drawing, 3.25), suffix) for suffix in paper.FORMATS}
    with Image.open(io.BytesIO(files[".png"])) as image:
        assert image.width == 975 and image.info["Title"] == drawing.title and "Software" not in image.info
    svg = files[".svg"].decode()
    shown = re.sub(r"<[^>]*>", "\n", svg)
    assert all(text in shown for text in texts(drawing)) and "<text" in svg and "<dc:date>" not in svg
    pdf = files[".pdf"]
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF") and b"CreationDate" not in pdf
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf  # TrueType, embedded
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", pdf)
    assert box and float(box[1]) == pytest.approx(72 * 3.25)


def test_what_is_drawn_is_what_the_rows_say(tmp_path):
    table = figures["curve"]().compute(_planted(tmp_path), None)
    axes = paper.picture(figures["curve"]().drawing(table)).axes[0]
    rows = [row for row in table.to_pylist() if row["model"] == "lenet"]
    (line,) = axes.get_lines()[:1]
    for row in rows:  # a stair begins where the row does, and has its height
        at = np.isclose(line.get_xdata(), row["epsilon"])
        assert at.any() and line.get_ydata()[at][-1] == row["robust"]
    corners = axes.collections[0].get_paths()[0].vertices  # the band of the interval
    for key in ("low", "high"):
        assert {row[key] for row in rows} <= set(corners[:, 1].tolist())
    (bars,) = axes.containers  # fc: only budgets were tried
    own = [row for row in table.to_pylist() if row["model"] == "fc"]
    (ends,) = bars.lines[2]
    segments = np.array([segment[:, 1] for segment in ends.get_segments()])
    assert segments == pytest.approx(np.array([[row["low"], row["high"]] for row in own]))
    assert bars.lines[0].get_ydata().tolist() == [row["robust"] for row in own]
    assert axes.get_xlim() == (0, rows[0]["end"]) and axes.get_ylim() == (0, 1)


def _planted(folder):
    plant(folder, "deepfool", [0.1, 0.2, 0.2, INF])
    plant(folder, "fc", [0.1] * 4, eps=0.1, model="fc")
    return run_of(folder)


def test_a_plane_lies_as_its_rows_do(tmp_path):
    drawing = drawing_of("decision_regions", tmp_path)
    found = paper.picture(drawing)
    axes = found.axes[0]
    (image,) = axes.get_images()
    colours = {name: np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c, name in
               ((key.colour, key.text) for key in drawing.keys)}  # fmt: skip
    pixels = np.asarray(image.get_array())
    assert (pixels[1, 0] == colours["no"]).all()  # the first row is the lower left corner
    assert (pixels[[0, 0, 1], [0, 1, 1]] == colours["yes"]).all()
    assert image.get_extent() == [-3, 3, -3, 3]
    assert [text.get_text() for text in axes.texts] == ["1", "0"]  # the image above all; the second lies beyond
    assert "2: far (beyond the frame)" in drawing.notes


def test_a_difference_is_amplified_around_grey_by_what_is_said():
    row = _rows_of("examples").to_pylist()[0]
    table = pa.Table.from_pylist([row | {"adversarial": np.float32([0, 0, 0.05, -0.1]).tobytes()}])
    (gallery,) = figures["examples"]().drawing(table).blocks
    clean, attacked, change = gallery.strips
    assert change.name == "change x 5"
    assert change.tiles[0].pixels[..., 0].ravel().tolist() == [128, 128, 191, 0]  # half up
    assert attacked.tiles[0].pixels[..., 0].ravel().tolist() == [0, 0, 13, 0]
    assert clean.tiles[0].pixels.max() == 0


def test_the_same_samples_under_every_attack(tmp_path):
    table = figures["examples"](images=2).compute(two(tmp_path / "r"), None)
    rows = table.to_pylist()
    assert [(row["model"], row["sample"]) for row in rows] == [
        (m, s) for m in ("fc", "lenet") for s in ("s000", "s001")
    ]
    with pytest.raises(UsageError, match=r"no 'lene' there; did you mean 'lenet'"):
        figures["examples"](model="lene").compute(read(tmp_path / "r"), None)


def test_frames_say_what_came_of_an_image_and_names_which_class_is_which():
    row = _rows_of("examples").to_pylist()[0]
    row |= {"adversarial": np.zeros(4, np.float32).tobytes(), "after": "1"}
    outcomes = [{"before": "7"}, {"before": "7", "after": "7", "success": False}, {"before": "1"}]
    rows = [row | {"sample": str(i)} | changes for i, changes in enumerate(outcomes)]
    drawing = figures["examples"]().drawing(pa.Table.from_pylist(rows))
    (gallery,) = drawing.blocks
    _, attacked, _ = gallery.strips
    meant = {key.colour: key.text for key in drawing.keys}
    assert [meant[tile.frame] for tile in attacked.tiles] == [
        "right before, and the attack reached its goal", "right before, and it did not", "wrong before any attack",
    ]  # fmt: skip
    assert gallery.above == ("true: 7",) * 3 and attacked.tiles[0].below[0] == "\u2192 1"


def test_images_that_were_right_before_come_first(tmp_path):
    cell = cell_row("c", "lenet", "pgd", norm="linf", eps=0.1, goal="label")
    right = [i != 0 for i in range(20)]
    write(tmp_path, cell, images=3, clean_correct=right, clean_pred=[0 if ok else 1 for ok in right], adv_pred=2)
    Store(tmp_path).write_run({"models": ["lenet"]})
    rows = figures["examples"](images=2).compute(read(tmp_path), None).to_pylist()
    assert [row["sample"] for row in rows] == ["s001", "s002"]


def test_where_only_the_clean_accuracy_is_known_there_is_no_panel(tmp_path):
    plant(tmp_path, "deepfool", [0.1, 0.2, 0.2, INF])
    plant(tmp_path, "fgsm", [0.1] * 4, norm="l2", attack="fgsm", params={"fraction": 0.5})
    drawing = figures["curve"]().drawing(figures["curve"]().compute(run_of(tmp_path), None))
    assert [panel.title for panel in drawing.blocks[0].panels] == ["mnist, linf (n = 4)"]


def test_marks_that_would_cover_each_other_are_one():
    plane = _plane("prediction", [0, 1, 1, 1] * 2)
    facts = json.loads(plane.schema.metadata[META])
    places = [(1.0, 1.0), (1.1, 1.1), (-2.0, 0.0), (0.9, 1.0)]
    facts |= {"marks": [{"name": "x", "u": u, "v": v, "off": "2"} for u, v in places]}
    drawing = figures["decision_regions"]().drawing(plane.replace_schema_metadata({META: json.dumps(facts)}))
    marks = drawing.blocks[0].panels[0].marks
    assert [mark.text for mark in marks] == ["0", "1\u20132, 4", "3"]
    assert (marks[1].x, marks[1].y) == pytest.approx((1.0, 3.1 / 3))


def test_pictures_that_would_be_too_small_stand_in_groups():
    tile = Tile(np.zeros((4, 4, 3), np.uint8), "x", ("Stop",))
    drawing = Drawing("t", "s", (Gallery("many", (Strip("a", (tile,) * 12), Strip("b", (tile,) * 12))),))
    narrow, wide = paper.picture(drawing), paper.picture(drawing, 7.0)
    for found in (narrow, wide):
        tall = found.get_size_inches()[1]
        boxes = [axes.get_position() for axes in found.axes]
        assert len(boxes) == 24 and all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
        assert min(box.width * found.get_size_inches()[0] for box in boxes) >= 0.44
        assert [box.height * tall for box in boxes] == pytest.approx([boxes[0].height * tall] * 24)
    rows = [len({round(axes.get_position().y0, 6) for axes in found.axes}) for found in (narrow, wide)]
    assert rows[0] > rows[1] == 2


def test_a_name_is_no_markup_and_lines_differ_in_grey():
    lines = tuple(Line(f"$\\frac{i}$ <b>", np.array([0.0, 1.0]), np.array([0.0, 1.0]), i) for i in range(16))
    panel = Panel("$x^2$", Axis.of("a_b", 1.0), Axis.of("", 1.0), lines)
    drawing = Drawing("t & t", "s", (Panels((panel,)),))
    found = paper.picture(drawing)
    svg = paper.written(drawing, found, ".svg").decode()
    assert "$x^2$" in svg and "t &amp; t" in svg
    looks = {
        (line.get_color(), str(line.get_linestyle()), str(line._dash_pattern)) for line in found.axes[0].get_lines()
    }
    assert len(looks) == 16 and len({dash for *_, dash in looks}) == 4


def test_python_and_the_shell_give_the_same_file(tmp_path):
    results = _planted(tmp_path / "r")
    Store(results.folder).write_run(dict(results.run) | {"objects": ["mine"]})  # no suite is needed for what is stored
    view = rbl.load(results.folder).plot("curve", tmp_path / "python.pdf")
    shell = tmp_path / "shell.pdf"
    assert (
        exit_code(lambda: cli.main(["figure", str(results.folder), "curve", "-o", str(shell)], standalone_mode=False))
        == 0
    )
    assert shell.read_bytes() == (tmp_path / "python.pdf").read_bytes()
    assert view.axes[0].get_ylim() == (0, 1) and view._repr_png_().startswith(b"\x89PNG")
    view.axes[0].set_title("mine")
    assert view.save(tmp_path / "own.svg").read_text().count(">mine<") == 1
    with pytest.raises(UsageError, match=r"own\.jpg: expected a figure as \.pdf, \.png, \.svg, got '\.jpg'"):
        view.save(tmp_path / "own.jpg")


def test_the_page_s_svg_needs_no_matplotlib(tmp_path, monkeypatch, capsys):
    results, out = _planted(tmp_path / "r"), tmp_path / "x.svg"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ends = lambda *more: exit_code(
        lambda: cli.main(["figure", str(results.folder), "curve", "-o", *more], standalone_mode=False)
    )
    assert ends(str(out)) == 0 and out.read_text().startswith("<svg")
    assert ends(str(out), "--width", "5") == ends(str(tmp_path / "x.png")) == 2
    assert "need matplotlib, which is not installed; pip install 'robustbench-lite[plot]'" in capsys.readouterr().err
    assert ends(str(tmp_path / "x.gif")) == 2
    assert "expected a figure as .pdf, .png, .svg, got '.gif'" in capsys.readouterr().err
