from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_lite.errors import RobustbenchError, UsageError
from robustbench_lite.tables.base import Column, Table, Value, tables
from robustbench_lite.tables.render import chosen, render, transposed, without_intervals
from robustbench_lite.tables.render.fold import fold, wide
from robustbench_lite.tables.render.text import LEAST
from robustbench_lite.text import TABLE_FORMATS, for_latex
from tests.synthetic import example

FORMATS = TABLE_FORMATS


def table(name="name", *, group="", footnotes=(), **changes):
    columns = (
        Column("group", "group", numeric=False, group=True),
        Column("name", "name", numeric=False),
        Column("rate", "rate", "%", interval=True),
        Column("n", "n"),
    )
    rate = Value("50.0 [20.0, 80.0]", 50.0, 20.0, 80.0, 10)
    row = (Value(group, kind="label"), Value(name, kind="label"), changes.get("rate", rate), Value("10", 10))
    return Table("test", "A title", columns, rows_of(columns, [row]), tuple(footnotes))


def rows_of(columns, rows):
    """Rows by the keys of the columns."""
    return tuple({column.key: value for column, value in zip(columns, row, strict=True)} for row in rows)


def test_a_row_has_a_value_for_every_column_and_for_no_other():
    columns = (Column("a", "a"), Column("b", "b"))
    for row in ({"a": Value("1")}, {"a": Value("1"), "b": Value("2"), "c": Value("3")}):
        with pytest.raises(ValueError, match=r"a row and the columns differ in [bc]$"):
            Table("t", "t", columns, (row,))
    with pytest.raises(ValueError, match="two columns have the same key: a, a"):
        Table("t", "t", (columns[0], columns[0]), ())


def test_the_order_of_a_row_says_nothing():
    columns = (Column("a", "a"), Column("b", "b"))
    one, other = ({key: Value(key, 1.0) for key in keys} for keys in ("ab", "ba"))
    for style in FORMATS:
        assert render(Table("t", "t", columns, (one,)), style) == render(Table("t", "t", columns, (other,)), style)


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
    lines = render(Table("t", "t", columns, rows_of(columns, rows)), "text").splitlines()[4:8]
    assert [line.index(text) + len(text) for line, text in zip(lines, ("0.121", "0.11", "12.5", "—"), strict=True)] == [
        5
    ] * 4


def test_wide_and_combining_characters_keep_the_columns():
    two = (Column("a", "a", numeric=False), Column("b", "b", numeric=False))
    rows = tuple((Value(name), Value("end")) for name in ("模型", "abcd", "e\u0301abc"))
    lines = render(Table("t", "t", two, rows_of(two, rows)), "text").splitlines()[4:7]
    assert lines == ["模型  end", "abcd  end", "e\u0301abc  end"]


def test_long_names_are_folded_in_text_and_whole_for_programs():
    name = "a" * 150 + "=1" + "b" * 150
    text = render(table(name), "text")
    assert max(map(len, text.splitlines())) < 100
    assert name in "".join(line.strip() for line in text.replace("50.0 [20.0, 80.0]  10", "").splitlines())
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
    published = Table("t", "t", columns, rows_of(columns, rows))
    assert "x, published" in render(published, "text") and "*x, published*" in render(published, "markdown")
    assert "\\textit{1}" in render(published, "latex")
    assert "\x1b[2mx, published" in render(published, "text", color=True)
    assert render(published, "csv").splitlines()[1] == "x,1.0,published,Table 1"


def test_narrow_terminals_lose_intervals_and_are_told():
    text = render(table("a_name_of_some_length_", footnotes=["why"]), "text", width=40)
    assert "[20.0" in text and "left out" not in text  # the name is folded instead
    columns = (*table().columns, Column("other", "another", "%", interval=True))
    wider = Table("test", "A title", columns, (table().rows[0] | {"other": Value("7.0 [1.0, 9.0]", 7.0, 1.0, 9.0, 9)},))
    text = render(wider, "text", width=40)
    assert "50.0" in text and "7.0" in text and "[20.0" not in text
    assert "left out for want of room: intervals; 43 columns show all, and so does --format csv" in " ".join(
        text.split()
    )
    assert "[20.0" in render(wider, "text", width=43) and "left out" not in render(wider, "text", width=43)


WIDE = (
    Column("name", "name", numeric=False),
    Column("kept", "kept", "%", interval=True),
    Column("second", "second", priority=2),
    Column("third", "third", priority=3),
    Column("n", "n", priority=2),
)


def wide_table(rows=3, name="classifier_of_some_length"):
    values = [
        (Value(f"{name}{i}"), Value(f"{i}.0 [1.0, 2.0]", i, 1.0, 2.0), Value(f"{i}e5"), Value(f"{i}e9"), Value("7"))
        for i in range(rows)
    ]
    return Table("test", "A title", WIDE, rows_of(WIDE, values))


def test_what_says_the_same_in_every_row_is_said_once_before_anything_is_lost():
    assert "in every row" not in render(wide_table(), "text", width=80)
    lines = render(wide_table(name="classifier"), "text", width=44).splitlines()
    assert lines[1] == "in every row: n 7" and "third" in lines[3] and "left out" not in "\n".join(lines)


def test_columns_are_left_out_by_priority_and_named():
    text = " ".join(render(wide_table(name="classifier"), "text", width=41).split())
    assert "left out for want of room: third;" in text and "[1.0, 2.0]" in text and "second" in text
    shown = " ".join(render(wide_table(name="c" * 24), "text", width=40).split())
    assert "left out for want of room: intervals, third;" in shown and "0e5" in shown


def test_a_matrix_numbers_its_columns_and_then_is_stacked():
    names = [f"classifier{i}" for i in range(9)]
    columns = (Column("row", "sources", numeric=False), *(Column(n, n, "%", named=True) for n in names))
    body = tuple((Value(f"-{n}"), *(Value(f"{k}.5", k + 0.5) for k in range(9))) for n in names)
    matrix = Table("test", "A matrix", columns, rows_of(columns, body))
    assert "#1" not in render(matrix, "text", width=130)
    text = render(matrix, "text", width=80)
    assert "#9=classifier8" in text and text.count("-classifier3") == 1
    stacked = render(matrix, "text", width=48)
    assert stacked.count("-classifier3") == 2 and all(f"{k}.5" in stacked for k in range(9))
    assert "left out" not in stacked


letters = st.sampled_from("ab1_-/,. \u6a21")
words = st.text(letters, min_size=1, max_size=40).filter(lambda t: t == t.strip() and "  " not in t)


@st.composite
def random_tables(draw):
    """Any mix of names and numbers, under headings or not."""
    columns, makers = [Column("c0", draw(words), numeric=False)], [words]
    if draw(st.booleans()):
        columns.insert(0, Column("g", "group", numeric=False, group=True))
        makers.insert(0, words)
    for i in range(draw(st.integers(0, 7))):
        kind = draw(st.sampled_from(["name", "number", "interval", "named"]))
        priority = draw(st.sampled_from([1, 2, 3]))
        columns.append(
            Column(f"c{i + 1}", draw(words), numeric=kind != "name", interval=kind == "interval", priority=priority,
                   named=kind == "named")
        )  # fmt: skip
        makers.append(words if kind == "name" else st.floats(-1e6, 1e6).map(lambda x: f"{x:.3f}"))
    rows = []
    for _ in range(draw(st.integers(0, 5))):
        texts = [draw(maker) for maker in makers]
        rows.append({
            column.key: Value(f"{text} [{text}, {text}]", 1.0, 0.0, 2.0) if column.interval else Value(text)
            for text, column in zip(texts, columns, strict=True)
        })  # fmt: skip
    return Table("test", draw(words), tuple(columns), tuple(rows), (draw(words),))


@given(random_tables(), st.integers(60, 200) | st.integers(1, 59))
def test_no_line_is_wider_than_the_terminal(drawn, width):
    assert max(map(wide, render(drawn, "text", width).splitlines())) <= max(width, LEAST)


@given(random_tables(), st.integers(40, 200), st.data())
def test_different_names_never_print_equal(drawn, width, data):
    """Two rows whose names are exchanged, and two columns, make another text."""
    at = "c0"
    if len({row[at].text for row in drawn.rows}) > 1:
        first = drawn.rows[0]
        other = next(row for row in drawn.rows if row[at].text != first[at].text)
        swap = {first[at].text: other[at].text, other[at].text: first[at].text}
        rows = tuple(row | {at: replace(row[at], text=swap.get(row[at].text, row[at].text))} for row in drawn.rows)
        assert render(replace(drawn, rows=rows), "text", width) != render(drawn, "text", width)
    i = data.draw(st.integers(0, len(drawn.columns) - 1))
    if drawn.rows and not drawn.columns[i].group and any(row[drawn.columns[i].key].text for row in drawn.rows):
        renamed = replace(drawn.columns[i], title=drawn.columns[i].title + "x")
        columns = (*drawn.columns[:i], renamed, *drawn.columns[i + 1 :])
        assert render(replace(drawn, columns=columns), "text", width) != render(drawn, "text", width)


@given(words, st.integers(4, 60))
def test_folding_loses_nothing(text, size):
    lines = fold(text, size)
    assert "".join(lines) == text and all(wide(line) <= size for line in lines)


# --- shapes


def test_columns_can_be_chosen_and_names_stay():
    made = chosen(table(group="resnet"), ["n", "rate"])
    assert [column.key for column in made.columns] == ["group", "name", "n", "rate"]
    with pytest.raises(UsageError, match="table test has no column 'rates'; did you mean 'rate'\\?"):
        chosen(table(), ["rates"])


def test_intervals_can_be_left_out_everywhere():
    plain = without_intervals(table())
    assert "[" not in render(plain, "text") and "50.0" in render(plain, "text")
    assert render(plain, "csv").splitlines()[0] == "group,name,rate,n,kind,note"


def test_a_transposed_table_has_a_column_for_every_row():
    turned = transposed(two_headings())
    assert [column.title for column in turned.columns] == ["group", "", "a", "b", "a #2"]
    rows = [[row[column.key].text for column in turned.columns] for row in turned.rows]
    assert rows == [
        ["one", "rate (%)", "50", "40", ""], ["one", "n", "10", "10", ""],
        ["two", "rate (%)", "30", "", "20"], ["two", "n", "10", "", "10"],
    ]  # fmt: skip
    assert "\\textbf{50}" in render(turned, "latex")


def two_headings():
    columns = (
        Column("group", "group", numeric=False, group=True),
        Column("name", "name", numeric=False),
        Column("rate", "rate", "%", better="higher"),
        Column("n", "n"),
    )
    rows = [("one", "a", 50), ("one", "b", 40), ("two", "a", 30), ("two", "a", 20)]
    values = [
        (Value(g, kind="label"), Value(name, kind="label"), Value(str(rate), rate), Value("10", 10))
        for g, name, rate in rows
    ]
    return Table("test", "A title", columns, rows_of(columns, values))


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


def test_latex_keeps_the_footnotes_and_their_size_to_them():
    text = render(table(footnotes=["5 % of all"]), "latex")
    assert "{\\footnotesize\\sloppy 5 \\% of all\\par}" in text
    assert text.count("\\footnotesize") == text.count("{\\footnotesize")


def balanced(text):
    """Whether every brace, environment and formula is closed where TeX would look for it."""
    depth = formula = 0
    for command, char in re.findall(r"(\\[a-zA-Z]+|\\.)|([{}$])", text):
        depth += {"{": 1, "}": -1}.get(char, 0)
        formula += char == "$"
        assert depth >= 0 and not (command == "\\\\" and (depth or formula % 2))
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == 1
    return depth == 0 and formula % 2 == 0


@given(st.text(), st.text(), st.text(), st.sampled_from([1, 40]))
def test_latex_is_balanced_whatever_it_says(name, group, note, times):
    assert balanced(render(table(times * name, group=times * group, footnotes=[note]), "latex"))


def broad(names, rates=6):
    """Attacks with long names and many rates, all of the same suite and 10 samples."""
    columns = (
        Column("name", "attack", numeric=False),
        *(Column(f"rate{i}", "success of all samples", "%") for i in range(rates)),
        Column("n", "n", priority=2),
    )
    rows = [
        [Value(name, kind="label"), *(Value(f"{i}.5", i + 0.5) for i in range(rates)), Value("10", 10)]
        for name in names
    ]
    return Table("test", "A title", columns, rows_of(columns, rows))


def test_a_wide_table_is_folded_in_latex_and_nothing_is_lost():
    names = ["a long name of an attack, with parameters", "another name_of_it(epsilon=0.1, steps=10)"]
    text = render(broad(names), "latex")
    assert "pt wide" not in text and "\\footnotesize\\setlength" in text and balanced(text)
    assert "in every row: n 10" in text and text.count("n 10") == 1 and "& 10" not in text
    lines = text[text.index("\\midrule") :].splitlines()
    assert all(line.count("&") == 6 for line in lines if "&" in line)
    first = " ".join(line.partition("&")[0].replace("\\quad", "").strip() for line in lines if "&" in line)
    assert first.replace(" ", "") == "".join(map(for_latex, names)).replace(" ", "")
    assert [line.partition("&")[2] for line in lines].count(" 0.5 & 1.5 & 2.5 & 3.5 & 4.5 & 5.5 \\\\") == 2


def test_a_latex_table_that_no_page_holds_says_so_first():
    assert re.search(r"^% about \d+ pt wide.*--columns", render(broad(["a", "b"], 30), "latex"), re.MULTILINE)
    assert re.search(
        r"^% 6\d lines, more than a page", render(broad([str(i) for i in range(60)]), "latex"), re.MULTILINE
    )
    assert render(broad(["a", "b"], 2), "latex").count("\n%") == 0


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("pgd linf 8/255", r"pgd $\ell_\infty$ 8/255"),
        ("l2", r"$\ell_2$"),
        ("fgsm(norm=l1, epsilon=0.1)", r"fgsm(norm=$\ell_1$, $\epsilon$=0.1)"),
        ("rho_adv", r"$\hat{\rho}_{\mathrm{adv}}$"),
        ("inf", r"$\infty$"),
        ("resnet_l2", r"resnet\_l2"),
        ("my-linf-net", r"my-linf-net"),
        ("±30°", r"$\pm$30$^\circ$"),
    ],
)
def test_norms_are_mathematics_and_names_are_not(text, tex):
    assert render(table(text), "latex").splitlines()[5].startswith(f"{tex} &")


def test_the_best_of_ours_under_each_heading_is_bold():
    text = render(two_headings(), "latex")
    assert re.findall(r"\\textbf\{(\d+)\}", text) == ["50", "30"]
    assert "bold: the best of ours under each heading: highest rate (\\%); no test is behind it" in text
    one = replace(two_headings(), rows=two_headings().rows[:1])
    assert "textbf" not in render(one, "latex") and "bold" not in render(one, "latex")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs LaTeX")
def test_latex_compiles_with_booktabs_alone_and_no_wider_than_it_says(tmp_path):
    marks = '100 % of_it^~\\{}#$&<>|…·"—±°×≤≥ linf inf'
    made = {"broad": broad(["a long name of an attack, with parameters"]), "marks": table(marks, footnotes=[marks])}
    results = example(tmp_path)
    for name in tables:
        with contextlib.suppress(RobustbenchError):  # of other suites
            made[name] = tables.make(name, results)
    assert {"rho_adv", "accuracy", "cost", "curve"} <= set(made)
    said = {name: render(table, "latex") for name, table in made.items()}
    inner = "".join(f"\\typeout{{= {name}}}\\noindent {text}\\clearpage\n" for name, text in said.items())
    whole = f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}\n{inner}\\end{{document}}\n"
    (tmp_path / "t.tex").write_text(whole)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    log = done.stdout.decode(errors="replace")
    assert done.returncode == 0 and "Missing character" not in log, log[-2000:]
    parts = dict(part.partition("\n")[::2] for part in log.split("\n= ")[1:])
    assert {name for name, part in parts.items() if "Overfull \\hbox" in part} <= {
        name for name, text in said.items() if "pt wide" in text
    }


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
