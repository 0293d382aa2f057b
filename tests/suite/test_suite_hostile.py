"""Files that nobody should have written: each ends in one sentence, soon."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_lite.errors import SuiteError
from robustbench_lite.suite.builder import Suite, load
from robustbench_lite.suite.yaml import parse
from tests.suite.test_suite import HEAD, install

WHOLE = HEAD + "attacks: [pgd]\n"
LAUGHS = "a: &a [x, x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{'*' + chr(97 + i)}, x]\n" for i in range(20))
HOSTILE = {
    "empty": ("", "the file is empty"),
    "comment": ("# nothing\n", "the file is empty"),
    "list": ("[1]\n", "s.yaml:1:1: expected a mapping with version, name, data, models, attacks, got a list"),
    "two documents": (f"{WHOLE}---\na: 1\n", "s.yaml:6:1: a second document starts here, expected one"),
    "tab": ("a:\n\tb: 1\n", "s.yaml:2:1: not valid YAML: tabs cannot indent, use spaces"),
    "unclosed": ("a: [", "not valid YAML"),
    "python tag": (
        "a: !!python/object/apply:os.system ['x']\n",
        "s.yaml:1:4: tags (!name) are not supported in suites",
    ),
    "own tag": ("a: !x y\n", "tags (!name)"),
    "laughs": (LAUGHS, "s.yaml:1:4: anchors and aliases"),
    "merge key": ("a: {<<: {b: 1}}\n", "s.yaml:1:5: merge keys"),
    "yaml 1.1": (f"%YAML 1.1\n---\n{WHOLE}", "directives"),
    "twice": (f"{WHOLE}seed: 1\nseed: 2\n", "s.yaml:7:1: 'seed' is there twice; the first is at s.yaml:6:1"),
    "list as key": ("? [a]\n: 1\n", "expected a plain key"),
    "brackets": ("a: " + "[" * 3000, "nested more than 40 deep"),
    "braces": ("{a: " * 3000, "nested more than 40 deep"),
    "dashes": ("- " * 3000, "nested more than 40 deep"),
    "nul": ("a: 1\n\0\n", "s.yaml:2:1: control character U+0000 is not allowed"),
    "escaped nul": ('a: "x\\0y"\n', "s.yaml:1:4: control character U+0000 is not allowed"),
    "escaped surrogate": ('a: "\\ud800"\n', "control character U+D800"),
    "terminal escape": ('"\\e[31mred": 1\n', "s.yaml:1:1: control character U+001B"),
    "impossible escape": ('a: "\\UFFFFFFFF"\n', "not valid YAML"),
    "huge integer": (f"a: {'9' * 5000}\n", "expected a number below 2^63"),
    "hex": ("a: 0x8000000000000000\n", "expected a number below 2^63"),
    "infinity": ("a: [.inf]\n", "s.yaml:1:5: expected a finite number, got .inf"),
    "overflow": ("a: 1e999\n", "expected a finite number"),
    "not a number": ("a: .nan\n", "expected a finite number"),
    "many": ("".join(f"k{i}: 1\n" for i in range(40_000)), "more than 30000 values"),
    "fraction": (f"{HEAD}attacks: [pgd: {{epsilon: {'9' * 400}/1}}]\n", "expected"),
}


@pytest.fixture(autouse=True)
def _fakes(monkeypatch, tmp_path):
    install(monkeypatch)
    monkeypatch.chdir(tmp_path)


def said(path):
    start = time.perf_counter()
    with pytest.raises(SuiteError) as caught:
        load(path)
    assert time.perf_counter() - start < 8  # seconds on a busy machine; alone it is a fraction of one
    return caught.value.problems


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_ends_in_one_sentence(name):
    text, expected = HOSTILE[name]
    Path("s.yaml").write_text(text, encoding="utf-8")
    first = str(said("s.yaml")[0])
    assert expected in first
    assert first.startswith("s.yaml")
    assert first.isprintable()


def test_bytes_that_are_not_text_are_refused():
    Path("s.yaml").write_bytes(b"\xff\xfea\0")
    assert str(said("s.yaml")[0]) == "s.yaml: expected UTF-8 text, byte 0 is not"


def test_a_mebibyte_is_the_limit():
    Path("s.yaml").write_bytes(b"#" * ((1 << 20) + 1))
    assert str(said("s.yaml")[0]) == "s.yaml: larger than 1 MiB, which no suite is"


def test_a_byte_order_mark_is_no_problem():
    Path("s.yaml").write_text(WHOLE, encoding="utf-8-sig")
    assert load("s.yaml").name == "t"


@pytest.mark.parametrize("path", ["nowhere.yaml", "folder", "pipe", "loop", "a\0b", "s.yaml/x"])
def test_paths_that_are_not_files_are_refused(path):
    Path("folder").mkdir()
    Path("s.yaml").touch()
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    (problem,) = said(path)
    assert problem.message


@pytest.mark.parametrize("target", ["/etc/passwd", "../x.yaml", "out.yaml", "s.yaml", "none.yaml", "3"])
def test_includes_stay_in_the_folder(target, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "x.yaml").write_text(WHOLE, encoding="utf-8")
    (home / "out.yaml").symlink_to(tmp_path / "x.yaml")
    (home / "s.yaml").write_text(f"include: {target}\n", encoding="utf-8")
    (problem,) = said(home / "s.yaml")
    assert problem.place.endswith("s.yaml:1:10")
    assert problem.message.startswith("include: ")


def test_messages_stay_short():
    Path("s.yaml").write_text(f"{WHOLE}title: [{'x' * 100_000}]\n", encoding="utf-8")
    (problem,) = said("s.yaml")
    assert len(str(problem)) < 800


def outcome(source):
    """The suite, or its problems; any other exception is a bug."""
    try:
        return load(source)
    except SuiteError as error:
        return [str(problem) for problem in error.problems]


def is_clean(found):
    return isinstance(found, Suite) or (bool(found) and all(line.isprintable() for line in found))


def from_bytes(data):
    Path("s.yaml").write_bytes(data)
    return outcome("s.yaml")


@settings(max_examples=150, deadline=None, database=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_suite_or_a_sentence(data):
    assert is_clean(from_bytes(data))


@settings(max_examples=200, deadline=None, database=None)
@given(st.data())
def test_any_damage_to_a_suite_leaves_a_suite_or_a_sentence(data):
    text = HEAD + "attacks: [fgsm, pgd: {epsilon: 8/255, matrix: {steps: [1, 2]}}, {pgd: , as: x}]\ntables: [cost]\n"
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 6)))
        text = text[:start] + data.draw(st.text("{}[]:,-&*!%|>'\"?#\n\t @`0ax./", max_size=4)) + text[end:]
    assert is_clean(from_bytes(text.encode()))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, database=None)
@given(st.dictionaries(st.sampled_from(["version", "name", "data", "models", "attacks", "defaults", "tables"]), values))
def test_any_mapping_is_a_suite_or_a_sentence(mapping):
    assert is_clean(outcome(mapping))


def test_marks_count_lines_and_columns_from_one():
    marked = parse("a:\n  - b: 1\n", "f")
    assert (marked.place(("a", 0, "b")), marked.place(("a", 0, "b"), key=True)) == ("f:2:8", "f:2:5")
    assert marked.place(("a", 0, "c")) == "f:2:5"
