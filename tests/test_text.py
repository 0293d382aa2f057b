"""Text of unknown origin: nothing of it moves a cursor, turns a line round, hides, or holds up the run."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from robustbench_lite.cli.progress import Bars, Lines
from robustbench_lite.cli.verbs import main
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.plan import Cell
from robustbench_lite.suite.builder import load
from robustbench_lite.text import (
    for_annotation,
    for_annotation_title,
    for_attribute,
    for_csv,
    for_html,
    for_latex,
    for_markdown,
    for_script,
    for_xml,
    lines,
    p_equals,
    p_value,
    signed,
    significant,
    visible,
)
from tests.helpers import ROOT
from tests.runner.test_run import SUITE

HOSTILE = "\x1b[31mred\x1b[0m \u202egnihsihp \u200bzero\ufeff \u3164blank \ufe0f\u034f \ud800 \x07\r \u2066 \U000e0041"
HARMLESS = "Größe 8/255 · naïve — 日本語 “quoted” e\u0301"


def is_safe(text: str) -> bool:
    return not any(unicodedata.category(char) in {"Cc", "Cf", "Cs"} for char in text if char != "\n")


def test_what_cannot_be_seen_is_shown_as_its_code_point():
    assert visible("a\x1b[1m\u202eb\u200b\u3164\ufe0f\ud800") == "a<U+001B>[1m<U+202E>b<U+200B><U+3164><U+FE0F><U+D800>"
    assert is_safe(visible(HOSTILE))
    assert visible(HARMLESS) == HARMLESS
    assert visible("one\ntwo") == "one<U+000A>two"
    assert lines("one\ntwo\x1b") == "one\ntwo<U+001B>"


def test_what_is_too_long_keeps_its_beginning_and_its_end():
    text = visible("begin " + "x" * 50_000_000 + " end")
    assert len(text) < 21_000
    assert text.startswith("begin xxx")
    assert text.endswith("xxx end")
    assert "49,980,010 characters left out" in text
    assert visible("y" * 20_000) == "y" * 20_000
    assert len(lines("z\n" * 1_000_000)) < 21_000


@given(st.text(max_size=50))
def test_what_was_made_visible_stays_as_it_is(text):
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("length", [20_000, 20_001, 20_050, 10**6])
def test_what_was_shortened_stays_as_it_is(length):
    """Or the number of characters that are missing would be wrong."""
    assert visible(visible("z" * length)) == visible("z" * length)


@given(st.text())
def test_no_escape_lets_a_control_or_direction_character_through(name):
    for escape in (for_markdown, for_latex, for_csv, for_html, for_attribute, for_annotation, for_annotation_title):
        assert is_safe(escape(name)) and "\n" not in escape(name), escape


@given(st.text())
def test_names_end_neither_an_element_nor_a_script_nor_an_attribute(name):
    assert not set("<>") & set(for_html(name))
    assert not set("<>&") & set(for_script({name: [name]})) and json.loads(for_script({name: [name]})) == {name: [name]}
    whole = ET.fromstring(f"<a b={for_attribute(name)}>{for_html(name)}</a>")
    assert whole.text in {visible(name), None} and whole.get("b") == visible(name)
    assert ET.fromstring(f"<a>{for_html(for_xml(name))}</a>") is not None


def test_an_annotation_ends_neither_its_line_nor_its_title():
    assert for_annotation("50 %\n::error::") == "50 %25<U+000A>::error::"
    assert for_annotation_title("a: b, 5 %") == "a%3A b%2C 5 %25"


def test_escapes_and_numbers_of_grey_levels_are_made_in_one_place():
    """Whatever format is written, the room that writes it asks `text`."""
    ours = re.compile(r"\\x1b\[|&amp;|&lt;|u003c|%0A|%3A|saxutils|textbackslash|[}]/255")
    package = ROOT / "robustbench_lite"
    others = {package / "suite" / "attacks.py", package / "engine" / "attack.py"}  # stored names; what was meant
    elsewhere = {package / "text.py", *others}
    assert not [str(path) for path in set(package.rglob("*.py")) - elsewhere if ours.search(path.read_text())]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.0, 3, "0"), (0.12345, 3, "0.123"), (12.345, 3, "12.3"), (1234.5, 2, "1234"), (3e-7, 3, "3.00e-07"),
     (float("inf"), 3, "inf"), (-0.5, 2, "-0.50")],
)  # fmt: skip
def test_significant_digits(value, digits, text):
    assert significant(value, digits) == text


def test_p_values_are_never_zero_and_differences_never_minus_zero():
    assert (p_value(0.0), p_value(0.04), p_equals(1e-9), p_equals(0.2)) == ("< 0.001", "0.04", "p < 0.001", "p = 0.2")
    assert (signed(-0.0), signed(1.25), signed(-0.001, ".2g")) == ("+0.0", "+1.2", "-0.001")


def a_cell(name: str) -> Cell:
    suite = load(SUITE)
    return Cell("id", "small", name, "{}", 1, (name,), (name,), suite.attacks[0].attack, name, 0, {})


@pytest.mark.parametrize("text", [HOSTILE, "x\u202e" * 25_000_000], ids=["hostile", "50 MB"])
def test_progress_shows_it_safely_on_a_terminal_and_in_a_log(text):
    cell = a_cell(text)
    failed = CellReport(cell, {"status": "failed", "error": text})
    names = ("seconds", "seconds_inspect", "seconds_timing", "seconds_judge", "n", "forwards", "backwards")
    seconds = dict.fromkeys(names, 1.0)
    warned = CellReport(cell, {"status": "ok", "warnings": [text], **seconds}, samples=pa.table({"success": [True]}))
    log, screen = io.StringIO(), io.StringIO()
    bars = Bars(Console(file=screen, force_terminal=True, width=100))
    for told in (Lines(log), bars):
        told.planned((cell,), set())
        told.calibrated({text: {"failed": [text]}})
        told.started(cell)
        told.finished(failed)
        told.finished(warned)
    assert is_safe(log.getvalue())
    assert len(log.getvalue()) < 400_000
    assert "\u202e" not in screen.getvalue()
    assert "\x1b[31mred" not in screen.getvalue()
    assert len(screen.getvalue()) < 400_000


@pytest.mark.parametrize("verb", ["table", "validate", "verify"])
def test_error_lines_show_it_safely(verb, capsys, tmp_path):
    path = str(tmp_path / "\x1b[31m\u202ename\u200b.yaml")
    with pytest.raises(SystemExit) as ended:
        main([verb, path, *(["accuracy"] if verb == "table" else [])])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert is_safe(error)
    names = {"<U+001B>[31m<U+202E>name<U+200B>.yaml", r"\x1b[31m\u202ename\u200b.yaml"}
    assert names & {part for line in error.splitlines() for part in line.split("/")[-1].split(":")}


def test_a_usage_error_and_a_bug_show_it_safely(capsys, monkeypatch):
    with pytest.raises(SystemExit):
        main(["list", HOSTILE.replace("\ud800", "")])
    assert is_safe(capsys.readouterr().err)
    monkeypatch.setattr("robustbench_lite.cli.catalogue.listing", lambda _: 1 / len(HOSTILE[:0]))
    with pytest.raises(SystemExit) as ended:
        main(["list", "models"])
    assert ended.value.code == 5
    assert "ZeroDivisionError" in capsys.readouterr().err
