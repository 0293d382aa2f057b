"""What README and docs show is so: Python runs, and every command line is one that the program takes."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest

from robustbench_lite.cli.verbs import cli
from tests.helpers import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:python -m robustbench_lite|(?<!install )(?<![\w/.-])robustbench-lite) ([a-z].*)")

# what is there before a page is run: shipped suites on few samples, and what the page says is yours
BEFORE = """
import functools, pathlib, sys, types
import robustbench_lite as rbl
from robustbench_lite import api
api.run = functools.partial(api.run, **{"limit": 3, "timing": False})
"""
GIVEN = {
    "results-format.md": 'rbl.run("deepfool")',
    "suites.md": 'pathlib.Path("first.yaml").write_text(PAGE.split("```yaml\\n")[1].split("```")[0])',
    "CONTRIBUTING.md": "from robustbench_lite.attacks import Promise",
    "ci.md": "my_module = rbl.models.load('lenet_mnist')",
    "README.md": 'model = rbl.models.load("lenet_mnist")\nx, y = rbl.datasets.load("mnist", samples=3)',
}
AFTER = {
    "ci.md": """
from robustbench_lite.gate.baseline import baseline_of, write_baseline
from robustbench_lite.pytest_plugin.fixture import Robustness
robustness = Robustness(pathlib.Path("kept"))
suite = {"version": 1, "name": "mine", "data": {"mnist": {"samples": 200}}, "attacks": [{"pgd": {"epsilon": 0.1}}]}
pathlib.Path("baselines").mkdir()
write_baseline(baseline_of(robustness.run(suite, model=my_module)), pathlib.Path("baselines/mine.parquet"))
test_robust(robustness)
"""
}


def blocks(page: Path, *kinds: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")) if kind in kinds]


def program(page: Path) -> str:
    """All Python of a page as one program; examples with a prompt are compared with what is printed."""
    lines = [BEFORE, f"PAGE = {page.read_text(encoding='utf-8')!r}", GIVEN.get(page.name, "")]
    lines += [f"exec(compile({textwrap.dedent(text)!r}, {page.name!r}, 'exec'))" for text in blocks(page, "python")]
    return "\n".join([*lines, AFTER.get(page.name, "")])


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program(page)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "pycon")], ids=lambda page: page.name)
def test_examples_with_a_prompt_print_what_they_say(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(blocks(page, "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert not runner.summarize(verbose=False).failed, "".join(said)


def commands() -> list[tuple[str, str]]:
    """(page, arguments) of every command line in a block of code or between single quotes."""
    found = []
    for page in [*PAGES, ROOT / "examples" / "ci_gate" / "README.md"]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        spans = [span.replace("\n", " ") for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
        for line in [*(line for block in BLOCK.findall(text) for line in block[1].splitlines()), *spans]:
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
