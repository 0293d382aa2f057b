"""What README, docs and notebooks show is so: blocks of a page are run in their order, in a folder of its own.

Python and commands run, examples with a prompt print what they say, YAML that is a suite (or keys of one) is valid, and
is a file for the commands below it where its first line names one. A block that is not run says why in the line above
it, `<!-- not run: REASON -->`, or the page for all of its own, `<!-- no block is run: REASON -->`. Blocks that install
need not: `.ci/run` begins with them.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from robustbench_lite.attacks import attacks
from robustbench_lite.cli.verbs import cli
from robustbench_lite.errors import SuiteError
from robustbench_lite.suite._settings import SETTINGS
from robustbench_lite.suite.builder import load
from robustbench_lite.tables import references
from tests.forks import finished
from tests.helpers import ROOT
from tests.typed import PICTURE

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS, ROOT / "examples" / "ci_gate" / "README.md"]
BLOCK = re.compile(r"(?:^<!-- not run: (.+?) -->\n)?^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NONE_RUN = re.compile(r"^<!-- no block is run: (.+?) -->$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.\w+)\n")
COMMAND = re.compile(r"(?:python -m robustbench_lite|(?<!install )(?<![\w/.-])robustbench-lite) ([a-z].*)")

# what is there before a page is run: a module, a file, results that the page says are yours
GIVEN = {
    "results-format.md": 'rbl.run("deepfool")',
    "suites.md": 'pathlib.Path("first.yaml").write_text(PAGE.split("```yaml\\n")[1].split("```")[0])',
    "CONTRIBUTING.md": "from robustbench_lite.attacks import Promise",
    "ci.md": "my_module = rbl.models.load('lenet_mnist')",
    "README.md": 'model = rbl.models.load("lenet_mnist")\nx, y = rbl.datasets.load("mnist", samples=3)',
    "checkpoint.md": "from tests.typed import few_of_cifar10\nfew_of_cifar10()",
}
AFTER = {
    "ci.md": """
from robustbench_lite.gate.baseline import baseline_of, write_baseline
from robustbench_lite.pytest_plugin.fixture import Robustness
robustness = Robustness(pathlib.Path("kept"))
suite = {"version": 1, "name": "mine", "data": {"mnist": {"samples": 200}}, "attacks": [{"pgd": {"epsilon": 0.1}}]}
write_baseline(baseline_of(robustness.run(suite, model=my_module)), pathlib.Path("baselines/mine.parquet"))
test_robust(robustness)
"""
}


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    file: str  # what it is saved as; empty: nothing
    excuse: str  # why it is not run; empty: it is


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    of_page = NONE_RUN.search(text)
    found = []
    for excuse, kind, body in BLOCK.findall(text):
        name = FILE.match(body)
        reason = excuse or (of_page[1] if of_page else "") or ("it installs: .ci/run" if "pip install" in body else "")
        found.append(Block(kind, body, name[1] if name else "", reason))
    return found


def pages(*kinds: str) -> list[Path]:
    return [page for page in PAGES if any(one.kind in kinds and not one.excuse for one in blocks(page))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def program(page: Path) -> str:
    """All blocks of a page that do something, as one program."""
    lines = ["from tests.typed import shown, typed", f"PAGE = {page.read_text(encoding='utf-8')!r}"]
    lines.append(GIVEN.get(page.name, ""))
    for one in blocks(page):
        text = textwrap.dedent(one.text)
        lines += [f"pathlib.Path({one.file!r}).write_text({one.text!r})"] if one.file else []
        if one.kind == "python" and not one.excuse:
            lines.append(f"exec(compile({text!r}, {page.name!r}, 'exec'))")
        elif one.kind in {"sh", "console"} and not one.excuse:
            lines.append(f"typed({text!r})")
    return "\n".join([*lines, AFTER.get(page.name, ""), f"shown(PAGE, pathlib.Path({str(page.parent)!r}))"])


@pytest.mark.parametrize("page", pages("python", "sh", "console"), ids=name)
def test_the_blocks_of_a_page_run_in_their_order(page, tmp_path):
    folder, file = tmp_path / "page", tmp_path / "program.py"
    folder.mkdir()
    file.write_text(program(page), encoding="utf-8")
    done = finished(["tests.typed", str(file)], folder, os.environ, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_every_picture_is_shown_by_a_page_that_is_run():
    pictures = {
        path for kind in ("*.png", "*.svg") for path in (ROOT / "docs").rglob(kind) if "_static" not in path.parts
    }
    run = pages("python", "sh", "console")
    assert pictures == {(page.parent / found).resolve() for page in run for found in PICTURE.findall(page.read_text())}


@pytest.mark.parametrize("page", pages("pycon"), ids=name)
def test_examples_with_a_prompt_print_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(one.text for one in blocks(page) if one.kind == "pycon")
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)


# keys that a part of a suite may do without, for they are about something else
REST = {
    "version": 1,
    "name": "part",
    "data": "fashion_mnist",
    "models": ["resnet20_fashion", "vgg_fashion"],
    "attacks": ["fgsm"],
}


def variants(text: str) -> list[str]:
    """A block that says a key twice shows several ways to say it: each by itself. Else the block."""
    key = re.compile(r"^(?=\w+:)", re.MULTILINE)
    names = re.findall(r"^(\w+):", text, re.MULTILINE)
    return [text] if len(set(names)) == len(names) else [part for part in key.split(text) if key.match(part)]


@pytest.mark.parametrize("page", pages("yaml"), ids=name)
def test_yaml_is_a_valid_suite_or_a_valid_part_of_one(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attacks, "_members", dict(attacks._load()))  # what a page registers goes with it
    for one in blocks(page):
        if one.file:
            Path(one.file).write_text(one.text, encoding="utf-8")
        if one.kind == "yaml" and not one.excuse:
            for text in variants(one.text):
                said = YAML(typ="safe", pure=True).load(text)
                assert set(said) <= set(SETTINGS), f"{name(page)}: {text}: say why it is not run"
                whole = one.file if "include" in said else said if "version" in said else REST | said
                try:
                    load(whole)
                except SuiteError as error:
                    raise AssertionError(f"{name(page)}: {error}\n{text}") from None


NUMBER = re.compile(r"[\d.]+(?: %)? \[[\d.]+, [\d.]+\]")  # with its interval
sys.path.insert(0, str(ROOT / "docs" / "_ext"))


def test_papers_and_the_index_of_results_say_what_the_pages_of_results_say():
    papers = importlib.import_module("papers")
    said = [(entry["in"], row["ours"]) for entry in papers.compared() for row in entry["rows"]]
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    said += [(re.search(r"results/\w+\.md", line)[0], line) for line in lines if "](results/" in line]
    numbers = [(page, number) for page, line in said for number in NUMBER.findall(line)]
    text = {page: (ROOT / "docs" / page).read_text(encoding="utf-8") for page, _ in numbers}
    assert not [(page, number) for page, number in numbers if number not in text[page]] and len(numbers) > 80


def test_every_stored_table_of_a_paper_is_on_the_page_of_papers_with_what_was_printed():
    papers = importlib.import_module("papers")
    assert [entry["table"] for entry in papers.compared()] == list(dict.fromkeys(e["table"] for e in papers.compared()))
    assert {entry["table"] for entry in papers.compared()} == set(references.known())
    assert all(references.load(name).shown for name in references.known())
    assert all(entry["why"].endswith(".") for entry in papers.compared())
    assert "| DeepFool, LeNet on MNIST | 0.177 [0.171,&nbsp;0.182] | 500 | 0.2 |" in papers.page()


def test_what_is_not_run_says_why_and_the_rest_is_of_a_known_kind():
    known = {"python", "pycon", "sh", "console", "yaml", "text"}
    for page in PAGES:
        for one in blocks(page):
            assert one.excuse or one.kind in known, f"{name(page)}: ```{one.kind} is not run, and does not say why"
    assert sum(len(blocks(page)) for page in PAGES) > 100


def commands() -> list[tuple[str, str]]:
    """(page, arguments) of every command line in a block of code or between single quotes."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        spans = [span.replace("\n", " ") for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
        for line in [*(line for block in BLOCK.findall(text) for line in block[2].splitlines()), *spans]:
            found += [(page.name, match) for match in COMMAND.findall(line)]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda value: value)
def test_command_lines_are_taken(page, line):
    words = shlex.split(re.split(r" (?:\|\||>|\||&&) ", line)[0], comments=True)
    verb, *arguments = words
    assert verb in cli.commands, f"{page}: {line}"
    try:
        cli.commands[verb].make_context(verb, arguments, parent=click.Context(cli))
    except click.UsageError as error:
        raise AssertionError(f"{page}: {line}: {error.format_message()}") from None
