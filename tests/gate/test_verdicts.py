"""What `check` prints, in five formats, under names that try to break each of them."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.gate.baseline import baseline_of
from robustbench_lite.gate.pairing import check
from robustbench_lite.gate.power import detectable
from robustbench_lite.gate.render import render_report, summary
from robustbench_lite.gate.rules import gate_of
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.results.store import read
from robustbench_lite.text import GATE_FORMATS
from tests.gates import robust, write

HOSTILE = (
    "</testcase><b>&amp;]]>",
    "\x1b[31mred\x00\x08\ufffe",
    "::error::injected",
    "a|b`c`*d* @team #1",
    "line\nbreak\r100%,x:y",
    "\u202eesrever \ud800",
    "名" * 60,
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every hostile name is a classifier; half of them fail."""
    folder = tmp_path_factory.mktemp("hostile")
    scores = {}
    for side, lose in (("a", 0), ("b", 20)):
        write(folder / side, robust(lose=lose))
        (scores[side],) = scores_of(read(folder / side))
    rename = lambda one, name: type(one)(**{**vars(one), "facts": one.facts | {"model": name, "variant": f"{name}!"}})
    after = [rename(scores["b" if i % 2 else "a"], name) for i, name in enumerate(HOSTILE)]
    before = baseline_of(read(folder / "a"))
    before = type(before)(tuple(rename(scores["a"], name) for name in HOSTILE), before.about)
    return check(before, after, gate_of(None))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """24 classifiers, each two points worse than the one before."""
    folder = tmp_path_factory.mktemp("many")
    for i in range(24):
        write(folder / "a", robust(), f"m{i:02}")
        write(folder / "b", robust(lose=2 * i), f"m{i:02}")
    return check(baseline_of(read(folder / "a")), scores_of(read(folder / "b")), gate_of(None))


def test_junit_parses_under_hostile_names(hostile):
    root = ET.fromstring(render_report(hostile, "junit").encode())
    cases = root.findall("./testsuite/testcase")
    assert len(cases) == len(HOSTILE)
    assert len(root.findall(".//failure")) == int(root.attrib["failures"]) == len(HOSTILE) // 2
    assert root.find(".//b") is None
    assert any(case.attrib["name"].startswith("</testcase><b>&amp;]]>") for case in cases)


def test_json_is_json(hostile):
    content = json.loads(render_report(hostile, "json"))
    assert content["exit_code"] == 1
    assert {verdict["status"] for verdict in content["verdicts"]} == {"failed", "passed"}
    finding = content["verdicts"][0]["findings"][0]
    assert (finding["lost"], finding["won"], finding["n"], finding["drop"]) == (20, 0, 100, 20.0)
    assert finding["p"] == pytest.approx(2**-20)


def test_github_takes_no_command_from_a_name(hostile):
    lines = render_report(hostile, "github").splitlines()
    assert len(lines) == len(HOSTILE) // 2
    for line in lines:
        assert line.startswith("::error title=Robustness%3A ")
        head = line.removeprefix("::error title=").split("::", 1)[0]
        assert not set(head) & set(":,\n\r")
        assert all(part[:2] in {"25", "0A", "0D", "3A", "2C"} for part in head.split("%")[1:])


def test_github_shows_the_ten_worst(many):
    lines = render_report(many, "github").splitlines()
    assert len(lines) == 10
    assert "m23" in lines[0]
    assert "m22" in lines[1]
    assert "the 9 worst are shown" in lines[-1]


def test_markdown_has_no_markup_from_a_name(hostile):
    text = render_report(hostile, "markdown")
    assert "<b>" not in text
    assert "@team" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "verdict" not in line]
    assert len(rows) == len(HOSTILE)
    assert all(row.replace("\\|", "").count("|") == 12 for row in rows)


def test_a_summary_stays_within_its_room(many):
    whole = render_report(many, "markdown")
    assert summary(many, 2**20) == whole
    for room in (0, 60, 61, 500, 1000, len(whole.encode()) - 1):
        text = summary(many, room)
        assert len(text.encode()) <= room
        assert not text or "The rest does not fit here" in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_text_fits_the_terminal_and_has_no_control_characters(hostile, many, width):
    for report in (hostile, many):
        text = render_report(report, "text", width)
        assert max(map(len, text.splitlines())) <= width
        assert not {char for char in text if ord(char) < 32} - {"\n"}
    assert render_report(many, "text").splitlines()[2].startswith("FAIL   m23")


def test_text_says_everything_about_a_gate(many):
    words = " ".join(render_report(many, "text").split())
    assert "robust accuracy fell by 46.0 points, more than 0.5" in words
    assert "robust accuracy 60.0 -> 14.0 %: -46.0 points [" in words
    power = detectable(100, 0, 0.05 / 24, 0.5)
    assert f"46 lost, 0 won of n=100; p=1e-14, adjusted 3e-13; detects {power:.1f} points" in words
    assert "Holm over 24 tests, confidence 0.95" in words


def test_colours_are_only_where_they_are_asked_for(many):
    assert "\x1b[31mFAIL" in render_report(many, "text", color=True)
    assert "\x1b" not in render_report(many, "text")


def test_an_improvement_is_offered(tmp_path):
    write(tmp_path / "a", robust(lose=20))
    write(tmp_path / "b", robust())
    report = check(baseline_of(read(tmp_path / "a")), scores_of(read(tmp_path / "b")), gate_of(None))
    text = render_report(report, "text")
    assert text.startswith("1 gate passed; 1 improved\n")
    assert "robustbench-lite baseline RESULTS -o BASELINE" in " ".join(text.split())
    assert "baseline RESULTS" in render_report(report, "markdown")


def test_what_does_not_stand_is_said_in_every_format_and_offered_in_none(tmp_path):
    write(tmp_path / "a", robust(lose=20))
    write(tmp_path / "b", robust(), zero_gradient=3)
    report = check(baseline_of(read(tmp_path / "a")), scores_of(read(tmp_path / "b")), gate_of(None))
    for style in GATE_FORMATS:
        text = " ".join(render_report(report, style).split())
        assert "this number does not stand, which the baseline's did" in text.replace("\\", ""), style
        assert "baseline RESULTS -o" not in text
    assert json.loads(render_report(report, "json"))["verdicts"][0]["red"] == ["zero_gradient"]


def test_few_samples_and_medians_have_no_interval(tmp_path):
    write(tmp_path / "a", robust(8, 1.0), attack="fgsm")
    write(tmp_path / "b", robust(8, 1.0, lose=3), attack="fgsm")
    write(tmp_path / "a", robust(40), attack="deepfool", failures=30)
    write(tmp_path / "b", robust(40), attack="deepfool", failures=10, scale=0.5)
    report = check(baseline_of(read(tmp_path / "a")), scores_of(read(tmp_path / "b")), gate_of(None))
    words = " ".join(render_report(report, "text", 120).split())
    assert "robust accuracy 100.0 -> 62.5 %: -37.5 points 3 lost" in words
    assert "median rho inf -> 0.0" in words and "by the sign test, failures as infinite" in words
    assert "nan" not in render_report(report, "markdown") + words
    json.loads(render_report(report, "json"))


def test_another_format_is_refused(many):
    assert all(render_report(many, style) for style in GATE_FORMATS)
    with pytest.raises(UsageError, match="unknown format 'yaml'"):
        render_report(many, "yaml")
