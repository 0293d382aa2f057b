"""What a notebook sees: results that show themselves, tables that are DataFrames, a page."""

from __future__ import annotations

import copy
import json
import pickle
from html.parser import HTMLParser

import pandas as pd
import pytest
import torch

import robustbench_lite as rbl
from robustbench_lite.api import TableView
from robustbench_lite.errors import NoResultsError, UsageError
from robustbench_lite.tables.base import Column, Table, Value
from robustbench_lite.tables.base import tables as registry
from robustbench_lite.tables.render import render
from tests.synthetic import example


class Reader(HTMLParser):
    """The texts of every row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.rstrip("\n")


@pytest.fixture
def results(tmp_path):
    example(tmp_path / "synthetic")
    return rbl.load(tmp_path / "synthetic")


def test_the_package_has_a_face():
    assert set(dir(rbl)) == {
        "Results",
        "__version__",
        "attacks",
        "certify",
        "datasets",
        "defenses",
        "generators",
        "load",
        "models",
        "run",
        "sparse_coding",
    }
    assert all(getattr(rbl, name) is not None for name in rbl.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'runs'"):
        rbl.runs  # noqa: B018


def test_results_say_what_they_are(results, tmp_path):
    assert repr(results) == f"<Results {tmp_path / 'synthetic'}: 5 cells, 80 rows of samples, 1 FAILED>"
    assert len(results.samples()) == 80 and len(results.cells()) == 5
    with pytest.raises(NoResultsError):
        rbl.load(tmp_path / "nothing")


@pytest.mark.parametrize("name", list(registry))
def test_every_table_is_a_frame_and_shows_itself(name, results):
    view, table = results.table(name), registry.make(name, results)
    assert isinstance(view, TableView) and len(view) == len(table.rows)
    assert repr(view) + "\n" == render(table, "text")
    for style in ("text", "markdown", "latex", "csv", "json"):
        assert getattr(view, f"to_{style}")() == render(table, style)
    assert isinstance(view.frame, pd.DataFrame) and len(view.frame) == len(table.rows)
    if table.rows:
        assert next(iter(view.columns)) == table.columns[0].key
        for column in table.columns:
            wanted = [row[column.key].value if column.numeric else row[column.key].text for row in table.rows]
            assert [None if pd.isna(value) else value for value in view[column.key]] == wanted
    reader = Reader()
    reader.feed(view._repr_html_())
    assert {"script", "style"}.isdisjoint(reader.tags)
    assert len(reader.rows) >= 1 + len(table.rows)


def test_a_frame_is_a_copy_and_a_view_can_be_copied(results):
    view = results.table("accuracy")
    frame = view.to_pandas()
    frame["n"] = 0
    assert (view["n"] > 0).any()
    assert repr(copy.deepcopy(view)) == repr(pickle.loads(pickle.dumps(view))) == repr(view)
    with pytest.raises(AttributeError):
        view.nothing_of_the_kind  # noqa: B018


def test_no_name_is_markup():
    evil = "<script>alert(1)</script>\"&'"
    columns = (Column("name", evil, numeric=False), Column("n", "n", interval=True))
    rows = ({"name": Value(evil, kind="label", note=evil), "n": Value("1", 1.0, 0.5, 1.5, 3)},)
    view = TableView(Table("t", evil, columns, rows, footnotes=(evil,)))
    reader = Reader()
    reader.feed(view._repr_html_())
    assert "script" not in reader.tags and reader.rows[1][0] == evil
    assert view.frame.to_dict("records") == [{"name": evil, "n": 1.0, "n_low": 0.5, "n_high": 1.5, "n_n": 3}]


def test_an_unknown_table_is_a_sentence(results):
    with pytest.raises(UsageError, match="unknown table 'acuracy'; did you mean 'accuracy'"):
        results.table("acuracy")


def test_the_page_is_written(results, tmp_path):
    path = results.report(tmp_path / "pages" / "page.html")
    text = path.read_text(encoding="utf-8")
    assert text.lstrip().startswith("<!") and "synthetic" in text
    with pytest.raises(UsageError, match="cannot be written"):
        results.report(tmp_path)


def test_a_run_from_names_alone(tmp_path, monkeypatch):
    """Shipped suite, zoo model and bundled data, from any folder."""
    monkeypatch.chdir(tmp_path)
    results = rbl.run("ci", limit=4, timing=False)
    assert results.folder.resolve() == tmp_path / "results" / "ci" and not results.problems
    assert json.loads(results.table("accuracy").to_json())["name"] == "accuracy"
    net, (x, y) = rbl.models.load("lenet_mnist"), rbl.datasets.load("mnist")
    frame = rbl.attacks.PGD(epsilon=0.1, steps=10)(net, x[:4], y[:4]).frame()
    stored = results.samples()
    same = stored[(stored["model"] == "lenet_mnist") & (stored["attack"] == "pgd")].set_index("sample")
    assert set(frame["source"]) == {"lenet_mnist"}
    ours = frame.set_index("sample").loc[same.index]
    assert len(ours) == 4 and (ours["success"] == same["success"]).all()
    assert x.dtype == torch.float32 and x.shape == (1000, 1, 28, 28) and y.dtype == torch.int64
