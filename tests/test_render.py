from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_lite.errors import UsageError
from robustbench_lite.render import render
from robustbench_lite.table import Column, Table, Value, tables
from tests.synthetic import example

FORMATS = ("text", "markdown", "latex", "csv", "json")


def table(name="name", *, group="", footnotes=(), **changes):
    columns = (
        Column("group", "group", numeric=False, group=True),
        Column("name", "name", numeric=False),
        Column("rate", "rate", "%", interval=True),
        Column("n", "n"),
    )
    rate = Value("50.0 [20.0, 80.0]", 50.0, 20.0, 80.0, 10)
    row = (Value(group, kind="label"), Value(name, kind="label"), changes.get("rate", rate), Value("10", 10))
    return Table("test", "A title", columns, (row,), tuple(footnotes))


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", ["rho_adv", "accuracy", "cost"])
def test_every_table_renders_in_every_format(tmp_path, name, style):
    text = render(tables.make(name, example(tmp_path)), style, width=100)
    assert text.endswith("\n") and not text.endswith("\n\n") and "\x1b" not in text


@pytest.mark.parametrize(("name", "least"), [("rho_adv", 80), ("accuracy", 80), ("cost", 90)])
def test_tables_fit_into_a_terminal(tmp_path, name, least):
    for width in (least, 100, 120):
        assert max(map(len, render(tables.make(name, example(tmp_path)), "text", width).splitlines())) <= width


@pytest.mark.parametrize("style", FORMATS)
def test_an_empty_table_renders(style):
    empty = Table("test", "Nothing", (Column("a", "a", numeric=False), Column("b", "b")), ())
    assert render(empty, style)


def test_an_unknown_format_is_a_sentence():
    with pytest.raises(UsageError, match="did you mean 'json'"):
        render(table(), "jsn")


def test_numbers_stand_above_each_other_whatever_follows_them():
    columns = (Column("a", "a"),)
    rows = [(Value(text),) for text in ("0.121 [0.109, 0.134]", "0.11", "12.5 [1]", "—")]
    lines = render(Table("t", "t", columns, tuple(rows)), "text").splitlines()[4:8]
    assert [line.index(text) + len(text) for line, text in zip(lines, ("0.121", "0.11", "12.5", "—"), strict=True)] == [
        5
    ] * 4


def test_wide_and_combining_characters_keep_the_columns():
    two = (Column("a", "a", numeric=False), Column("b", "b", numeric=False))
    rows = tuple((Value(name), Value("end")) for name in ("模型", "abcd", "e\u0301abc"))
    lines = render(Table("t", "t", two, rows), "text").splitlines()[4:7]
    assert lines == ["模型  end", "abcd  end", "e\u0301abc  end"]


def test_long_names_keep_both_ends_in_text_and_are_whole_for_programs():
    name = "a" * 150 + "=1" + "b" * 150
    text = render(table(name), "text")
    assert max(map(len, text.splitlines())) < 100 and "aaa…bbb" in text
    assert name in render(table(name), "csv") and name in render(table(name), "json")


def test_a_group_is_a_heading_for_people_and_a_column_for_programs():
    grouped = table(group="resnet")
    assert "\nresnet\n  name" in render(grouped, "text")
    assert "| **resnet** |  |  |" in render(grouped, "markdown")
    assert "\\multicolumn{3}{l}{resnet}" in render(grouped, "latex")
    assert next(csv.DictReader(io.StringIO(render(grouped, "csv"))))["group"] == "resnet"


def test_published_values_stand_apart():
    columns = (Column("a", "a", numeric=False), Column("b", "b"))
    rows = ((Value("x", kind="published"), Value("1", 1.0, kind="published", note="Table 1")),)
    published = Table("t", "t", columns, rows)
    assert "x, published" in render(published, "text") and "*x, published*" in render(published, "markdown")
    assert "\\textit{1}" in render(published, "latex")
    assert "\x1b[2mx, published" in render(published, "text", color=True)
    assert render(published, "csv").splitlines()[1] == "x,1.0,published,Table 1"


def test_narrow_terminals_lose_intervals_and_are_told():
    text = render(table("a_name_of_some_length", footnotes=["why"]), "text", width=30)
    assert "50.0" in text and "[20.0" not in text and "--format csv" in text
    assert "[20.0" in render(table("a_name_of_some_length"), "text", width=60)


# --- escaping


def test_control_and_direction_characters_are_shown_not_obeyed():
    name = "a\x1b[31m\u202e\r\nb\u200b"
    for style in ("text", "markdown", "latex", "csv"):
        text = render(table(name, group=name, footnotes=[name]), style)
        assert not set("\x1b\u202e\r\u200b") & set(text) and "U+001B" in text
    assert json.loads(render(table(name), "json"))["rows"][0]["name"]["text"] == name


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1"])
def test_a_spreadsheet_sees_no_formula(name):
    row = next(csv.DictReader(io.StringIO(render(table(name, rate=Value("-1.5", -1.5)), "csv"))))
    assert row["name"][0] not in "=+-@\t " and row["rate"] == "-1.5"


def test_markdown_sees_no_markup():
    line = render(table("a|b`c*d_e[f](g)<script>&amp;@user#1\\"), "markdown").splitlines()[4]
    assert r"a\|b\`c\*d\_e\[f\](g)&lt;script&gt;&amp;amp;&#64;user\#1\\" in line
    assert line.replace(r"\|", "").count("|") == 4


def test_latex_sees_no_commands():
    line = render(table(r"[a&b%c$d#e_f{g}~h^i\j--k|l"), "latex").splitlines()[5]
    assert line.startswith(
        r"{}[a\&b\%c\$d\#e\_f\{g\}\textasciitilde{}h\textasciicircum{}i\textbackslash{}j-{}-k\textbar{}l &"
    )


def test_latex_keeps_the_footnotes():
    assert "\\par\\footnotesize 5 \\% of all" in render(table(footnotes=["5 % of all"]), "latex")


# --- for programs


def test_programs_get_full_precision():
    rate = Value("0.33", np.float64(1 / 3), np.float64(0.1), np.float64(0.2) * 3, np.int64(7))
    row = next(csv.DictReader(io.StringIO(render(table(rate=rate), "csv"))))
    assert [row[key] for key in ("rate", "rate_low", "rate_high", "rate_n")] == [
        "0.3333333333333333",
        "0.1",
        "0.6000000000000001",
        "7",
    ]
    entry = json.loads(render(table(rate=rate), "json"))["rows"][0]["rate"]
    assert entry["value"] == 1 / 3 and entry["n"] == 7 and entry["kind"] == "measured"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_json_is_valid_whatever_the_number(value):
    text = render(table(rate=Value("inf", value)), "json")
    entry = json.loads(text, parse_constant=pytest.fail)["rows"][0]["rate"]
    assert entry["value"] is None and entry["text"] == "inf"


def test_csv_says_what_a_row_is(tmp_path):
    rows = list(csv.DictReader(io.StringIO(render(tables.make("rho_adv", example(tmp_path)), "csv"))))
    kinds = {(row["model"], row["attack"], row["kind"]) for row in rows}
    assert ("lenet", "deepfool", "published") in kinds and ("lenet", "deepfool, unclipped", "measured") in kinds
    failed = next(row for row in rows if "logits" in row["note"])
    assert failed["kind"] == "missing" and failed["rho"] == "" and failed["n"] == "20"
    assert not any("[" in row["attack"] for row in rows)


@given(st.text(), st.text(), st.text())
def test_any_text_renders_in_every_format(name, group, note):
    odd = table(name, group=group, footnotes=[note])
    for style in FORMATS:
        text = render(odd, style, width=80)
        text.encode()
        assert len(list(csv.reader(io.StringIO(text)))) == 2 if style == "csv" else text
    assert json.loads(render(odd, "json"))["rows"]
