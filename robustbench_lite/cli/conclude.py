"""What `run` says when the cells are done: tables and figures of the suite, what failed and why, and the exit code."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from robustbench_lite.cli.exit import say, write
from robustbench_lite.cli.terminal import printable, width
from robustbench_lite.errors import ExitCode, RobustbenchError, StoreError
from robustbench_lite.results.made import MADE
from robustbench_lite.text import listed, plural

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results
    from robustbench_lite.suite.builder import Suite
    from robustbench_lite.tables.base import Table

__all__ = ["conclude", "open_page", "print_words"]


def conclude(results: Results, suite: Suite, device: str, shard: str | None = None, *, wide: bool = False) -> int:
    """Print what came of a suite and what is next; the exit code is that of failed cells, else of the first problem.

    A table or figure that cannot be made hides no other, and no failed cell; one with a bug hides no failed cell.
    `shard`: only this part of it was run; tables are for whom all is there.
    """
    if shard is not None and (left := _left_to_others(results)):
        failed = _print_failures(results)
        say(f"shard {shard} is done; {left}: run the other shards, on {results.folder} or to be merged")
        return ExitCode.FAILED_CELLS if failed else 0
    problems: list[RobustbenchError] = []
    try:
        _print_tables(results, suite.tables, problems, wide=wide)
        problems += _undrawn(results, suite, device)
    finally:
        failed = _print_failures(results)
    for problem in problems:
        say(f"error: {problem}")
    say(f"rows are in {results.folder}")
    if reds := _reds(results):
        say(reds)
    for line in next_steps(results, failed=failed):
        say(line)
    return ExitCode.FAILED_CELLS if failed else next((problem.exit_code for problem in problems), 0)


def _reds(results: Results) -> str:
    """Of how many cells the number does not stand, and where it is said why; empty: of none."""
    from robustbench_lite.trust.smell import findings

    found = findings(results)
    red = sum(any(finding.red for _, finding in said) for _, said in found)
    if not red:
        return ""
    verb = shlex.join(["robustbench-lite", "table", str(results.folder), "trust"])
    numbers = "the number of 1 cell does" if red == 1 else f"the numbers of {red} cells do"
    return f"RED: {numbers} not stand, of {plural(len(found), 'cell')}: `{verb}` says why and what to do"


def next_steps(results: Results, *, failed: bool) -> list[str]:
    """What a reader can do now, a command a line."""
    folder = shlex.quote(str(results.folder))
    steps = [
        ("look", f"report {folder} -o {folder}.html" if failed else f"report {folder}"),
        ("compare", f"compare BEFORE {folder}"),
        ("gate", f"baseline {folder} -o baseline.parquet, later check {folder} --baseline baseline.parquet"),
    ]
    again = ["failed cells: mend what is said above; the same command runs these alone"] if failed else []
    if not any(row["status"] == "ok" for row in (*results.cell_table.to_pylist(), *results.made())):
        return again  # nothing to look at, to compare or to gate
    return [*again, *(f"{name + ':':8} robustbench-lite {verb}" for name, verb in steps)]


def open_page(results: Results) -> None:
    """Write the report beside the rows and open it in a browser; where there is none, its path is said."""
    import webbrowser

    from robustbench_lite.report.page import page
    from robustbench_lite.results.naming import called

    path = results.folder / "report.html"
    write(path, page(called([results], {})))
    try:
        shown = webbrowser.open(path.resolve().as_uri())
    except webbrowser.Error:
        shown = False
    say(f"the page is {path}" if shown else f"there is no browser here; the page is {path.resolve()}")


def _left_to_others(results: Results) -> str:
    """How many cells wait for other shards, in words; empty: none."""
    there = {row["cell"] for row in results.cell_table.to_pylist()}
    there |= {row["cell"] for row in results.made()}
    planned = [
        cell for key in ("cells", *(kind.planned for kind in MADE.values())) for cell in results.run.get(key, ())
    ]
    left = sum(cell not in there for cell in planned)
    return f"{left} of {len(planned)} cells wait for others" if left else ""


def _print_tables(results: Results, names: Sequence[str], problems: list[RobustbenchError], *, wide: bool) -> None:
    """The tables that a suite names, and what none of them shows."""
    from robustbench_lite.tables.base import tables
    from robustbench_lite.tables.render import sentence
    from robustbench_lite.tables.values import left_out

    printed: list[Table] = []
    for name in names:
        try:
            printed.append(tables.make(name, results))
        except RobustbenchError as problem:
            problems.append(problem)
        else:
            click.echo(printable(printed[-1], wide=wide))
    if unsaid := left_out(results, printed):
        verb = shlex.join(["robustbench-lite", "table", str(results.folder), "accuracy"])
        click.echo(sentence(f"{unsaid}; `{verb}` shows them", width()), nl=False)
    for note in (note for notes in (results.run.get("data_notes") or {}).values() for note in notes):
        click.echo(sentence(f"note: {note}", width()), nl=False)
    print_words(printed)


def print_words(printed: Sequence[Table]) -> None:
    """Where a reader finds what the words of these tables mean."""
    from robustbench_lite.results.glossary import explained
    from robustbench_lite.tables.render import render, sentence

    if words := explained("\n".join(render(one, "text") for one in printed)):
        text = f"words: {', '.join(words)}: `robustbench-lite describe WORD`, docs/glossary.md"
        click.echo(sentence(text, width()), nl=False)


def _undrawn(results: Results, suite: Suite, device: str) -> Iterator[RobustbenchError]:
    """Draw the figures that a suite names, where any cell is there to be drawn; why some cannot be."""
    from robustbench_lite.runner.figure import figure

    ran = any(row["status"] == "ok" for row in (*results.cell_table.to_pylist(), *results.made()))
    for name in suite.figures if ran else ():
        try:
            figure(results.folder, name, {}, device, suite=suite)
        except StoreError as problem:  # the tables are there; on a disk that nobody can write to a figure cannot be
            say(f"warning: {problem}")
        except RobustbenchError as problem:
            yield problem


def _print_failures(results: Results) -> bool:
    """Each reason with the cells that failed of it, and files that could not be read; whether any cell has failed."""
    from robustbench_lite.guards.foreign import excerpt

    rows = [*results.cell_table.to_pylist(), *results.made()]
    causes: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] != "ok":
            causes.setdefault(row["error"], []).append(row)
    for error, cells in causes.items():
        say(f"failed: {listed([_named(row) for row in cells])}: {error}")
        for line in excerpt(cells[0]["traceback"] or ""):
            say(f"  {line}")
    for problem in results.problems:
        say(f"warning: {problem}")
    return bool(causes)


def _named(row: Row) -> str:
    parts = [row["dataset"], row["name"]] if "name" in row else [row["dataset"], row["source"], row["variant"]]
    return " · ".join(parts)
