"""The table of stability: every measured layer, and a promise that was not kept is red."""

from __future__ import annotations

from robustbench_lite.tables import stability_table, tables
from robustbench_lite.tables.render import render
from tests.sparse_coding.rows import results_of, row, stored


def test_what_is_measured_stands_in_the_table():
    table = stability_table([row(layer=1), row(layer=2, bound=float("nan"), promised=0.0)])
    first, second = table.rows
    assert (first["layer"].text, second["layer"].text) == ("1", "2")
    assert first["bound"].value == 0.5 and second["bound"].kind == "missing"
    assert second["bound"].note == "nothing is promised for this noise"
    assert first["adversarial_recovered"].value == 75 and first["adversarial_recovered"].n == 8
    assert first["broken"].text == "0" and "RED" not in render(table, "text")


def test_a_promise_that_was_not_kept_is_red():
    table = stability_table([row(), row(adversarial_broken=2, random_broken=1)])
    kept, broken = table.rows
    assert (kept["broken"].mark, broken["broken"].mark, broken["broken"].value) == ("", "RED", 3)
    text = render(table, "text")
    assert "RED: hard, layer 1 of mine: a promise was not kept 3 times" in " ".join(text.split())


def test_stored_rows_are_the_table_of_a_suite(tmp_path):
    failed = stored("bad", status="failed", error="there is no threshold", layer=None, pursuit="relu")
    table = tables.make("stability", results_of(tmp_path, stored(layer=1), stored(layer=2, bound=None), failed))
    assert [row["layer"].text for row in table.rows] == ["1", "2", "—"]
    assert table.rows[0]["set_for"].value == 0.01 and table.rows[1]["bound"].kind == "missing"
    assert table.rows[2]["pursuit"].mark == "[1]" and "[1] there is no threshold" in table.footnotes


def test_results_without_sparse_coding_say_so(tmp_path):
    table = tables.make("stability", results_of(tmp_path))
    assert not table.rows and "there is no sparse coding in these results" in render(table, "text")
