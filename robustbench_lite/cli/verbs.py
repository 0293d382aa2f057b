"""The command line: the only place that prints results, decides exit codes and wires the rooms together."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click

from robustbench_lite import __version__
from robustbench_lite.cli.compare import compare, format_option, merge, report
from robustbench_lite.cli.completion import COMPLETING, completion, names
from robustbench_lite.cli.conclude import conclude, open_page, print_words
from robustbench_lite.cli.exit import exit_code, say, write
from robustbench_lite.cli.gate import baseline, check
from robustbench_lite.cli.init import init
from robustbench_lite.cli.options import (
    Named,
    device_option,
    limit_option,
    results_option,
    run_options,
    suite_options,
    trust_option,
)
from robustbench_lite.cli.terminal import printable, wide_option, width
from robustbench_lite.cli.train import train
from robustbench_lite.errors import ExitCode
from robustbench_lite.text import plural, visible

__all__ = ["main"]

KINDS = (
    "models", "generators", "defenses", "attacks", "datasets", "tables", "figures", "operations", "dictionaries",
    "suites", "checks", "words",
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="robustbench-lite")
def cli() -> None:
    """Benchmark the robustness of image classifiers: run suites, print the papers' tables, verify what is stored."""


@cli.command(short_help="Run a suite and print its tables.")
@suite_options
@device_option
@run_options
@wide_option
@click.option("--open", "opened", is_flag=True, help="Write the report when the cells are done, and open it.")
def run(suite: Path, overrides: tuple[str, ...], *, wide: bool, opened: bool, **options: Any) -> None:
    """Run SUITE; what is in the store already is not run again. Prints the suite's tables."""
    from robustbench_lite.cli.progress import observer
    from robustbench_lite.runner.run import Options, run_suite
    from robustbench_lite.suite.builder import load

    loaded = load(suite, overrides)
    command = shlex.join(["robustbench-lite", *sys.argv[1:]])
    told = observer()
    with told if isinstance(told, AbstractContextManager) else nullcontext():
        results = run_suite(loaded, Options(command=command, **options), told)
    code = conclude(results, loaded, options["device"], options["shard"], wide=wide)
    if opened:
        open_page(results)
    if code:
        raise SystemExit(code)


@cli.command(short_help="Check a suite, its files and weights; nothing runs.")
@suite_options
def validate(suite: Path, overrides: tuple[str, ...]) -> None:
    """Check SUITE, its files and whether weights fit: every problem with its line and column; nothing runs."""
    from robustbench_lite.suite.builder import load

    loaded = load(suite, overrides, files=True)
    parts = [(loaded.data, "dataset"), (loaded.models, "classifier"), (loaded.attacks, "attack")]
    others = [(loaded.generators, "generator"), (loaded.sparse_coding, "sparse coding")]
    parts = [*(parts if loaded.attacks else []), *(one for one in others if one[0])]
    counts = ", ".join(plural(len(part), word, word if word == "sparse coding" else "") for part, word in parts)
    click.echo(f"{suite}: valid ({counts})")


@cli.command(short_help="Show the cells of a suite and how long they take.")
@suite_options
@device_option
@results_option
@limit_option
@format_option
@wide_option
@click.option("--cells", is_flag=True, help="Every cell, where text would fold them to classifiers and attacks.")
def plan(suite: Path, overrides: tuple[str, ...], style: str, *, wide: bool, cells: bool, **options: Any) -> None:
    """Show the cells of SUITE: which are in the store, and about how long the others take."""
    from robustbench_lite.runner.plan_grid import SCREEN, folded
    from robustbench_lite.runner.preview import preview
    from robustbench_lite.runner.run import Options
    from robustbench_lite.suite.builder import load

    planned = preview(load(suite, overrides), Options(**options))
    many = style == "text" and not cells and len(planned.rows) > SCREEN
    _print(printable(folded(planned) if many else planned, style, wide=wide))


@cli.command(short_help="Print a table of results.")
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("name", shell_complete=names("tables"))
@format_option
@wide_option
@click.option("--columns", metavar="KEY,KEY", help="These columns, in this order; their keys are the head of the CSV.")
@click.option("--no-intervals", is_flag=True, help="Numbers without their intervals.")
@click.option("--transpose", is_flag=True, help="A column for every row.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Write it to this file.")
def table(results: Path, name: str, out: Path | None, style: str, *, wide: bool, **options: Any) -> None:
    """Print table NAME of RESULTS (a folder that `run` has written); `list tables` has the names."""
    from robustbench_lite.results.store import read
    from robustbench_lite.tables.base import tables
    from robustbench_lite.tables.render import render

    made = _shaped(tables.make(name, read(results)), **options)
    if out is None:
        _print(printable(made, style, wide=wide))
        if style == "text":
            print_words([made])
    else:
        write(out, render(made, style))
        click.echo(str(out))


def _shaped(made: Any, columns: str | None, *, no_intervals: bool, transpose: bool) -> Any:
    from robustbench_lite.tables.render import chosen, transposed, without_intervals

    made = chosen(made, [key.strip() for key in columns.split(",")]) if columns else made
    made = without_intervals(made) if no_intervals else made
    return transposed(made) if transpose else made


@cli.command(short_help="Score stored adversarials again, without attacking.")
@click.argument("results", type=click.Path(path_type=Path))
@device_option
@trust_option
def verify(results: Path, device: str, trust: bool) -> None:
    """Score the stored adversarials of RESULTS again, without attacking, and measure its sparse coding again."""
    from robustbench_lite.runner.verify import verify as check

    report = check(results, device, trust=trust)
    for line in (*report.skipped, *(str(entry) for entry in report.disagreements)):
        click.echo(visible(line))
    click.echo(
        f"{plural(report.rows, 'row')} re-scored, "
        f"{plural(len(report.disagreements), 'value disagrees', 'values disagree')}, "
        f"{plural(report.near_ties, 'near tie')} fell the other way"
    )
    if not report.sound:
        raise SystemExit(ExitCode.FAILED_GATE)


@cli.command(short_help="Draw a figure of results: SVG, PDF or PNG.")
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("name", shell_complete=names("figures"))
@click.option("--set", "options", multiple=True, metavar="KEY=VALUE", help="A parameter of the figure; see `describe`.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help=".pdf, .png, .svg; default: SVG beside the rows.")
@click.option("--width", type=click.FloatRange(1, 40), help="Inches, for a paper; .pdf and .png have 3.25, a column.")
@device_option
@trust_option
def figure(results: Path, name: str, options: tuple[str, ...], out: Path | None, **how: Any) -> None:
    """Draw figure NAME of RESULTS; its rows are stored in RESULTS/figures. `list figures` has the names.

    As PDF, PNG, or with a width, for a paper, which takes matplotlib (the extra `plot`); else as the page shows it.
    """
    from robustbench_lite.figures.paper import drawn
    from robustbench_lite.results.store import Store, read
    from robustbench_lite.runner.figure import rows

    width, path = how.pop("width"), out or results / "figures" / f"{name}.svg"
    record, table = rows(read(results), name, _assignments(options), **how)
    write(path, drawn(record.drawing(table), path.suffix, width))
    click.echo(str(path))
    say(f"rows are in {Store(results).write_figure(name, table)}")


def _assignments(options: tuple[str, ...]) -> dict[str, Any]:
    """KEY=VALUE, the value as YAML reads it."""
    from robustbench_lite.suite.compose import assignment

    return dict(assignment(option) for option in options)


@cli.command("list", short_help="List what can be named, of one kind or of all.")
@click.argument("kind", type=Named(KINDS), required=False, metavar="[KIND]")
@click.option("--wide", is_flag=True, help="Whole lines, however wide the terminal is.")
def list_(kind: str | None, *, wide: bool) -> None:
    """List what can be named: of one KIND, or of all.

    Kinds: models, generators, defenses, attacks, datasets, tables, figures, operations, dictionaries, suites, checks,
    words.
    """
    from robustbench_lite.cli.catalogue import inventory, listing, problems

    room = None if wide else width()
    click.echo(inventory({one: listing(one) for one in ([kind] if kind else KINDS)}, room, headed=not kind))
    for problem in problems():
        say(f"warning: {problem}")


@cli.command(short_help="Explain a name or a word of the output.")
@click.argument("name", shell_complete=names(*KINDS))
@click.option("--sheet", type=click.Path(path_type=Path), help="Draw random views of images there, as SVG.")
def describe(name: str, sheet: Path | None) -> None:
    """Explain NAME: whatever `list` has, a suite, or a word of the output such as red or 'worst case'.

    With --sheet, draw what a suite's transformations, or an operation, make of images.
    """
    from robustbench_lite.cli.catalogue import description

    click.echo(description(name))
    if sheet is not None:
        from robustbench_lite.runner.figure import contact_sheet

        write(sheet, contact_sheet(name))
        say(f"the contact sheet is in {sheet}")


@cli.command()
def schema() -> None:
    """Print the JSON schema of suite files, for editors."""
    from robustbench_lite.suite.schema import schema_text

    click.echo(schema_text(), nl=False)


@cli.command()
@suite_options
def fetch(suite: Path, overrides: tuple[str, ...]) -> None:
    """Download what SUITE needs, on a connected machine."""
    from robustbench_lite.suite.builder import load

    loaded = load(suite, overrides)
    for entry in loaded.data:
        entry.source.fetch(loaded.root)
        click.echo(visible(f"{entry.name}: ready"))
    for model in loaded.models:
        model.fetch(loaded.root)
        click.echo(visible(f"{model.title}: ready"))


@cli.command(short_help="Say what this machine has; try every attack.")
@click.option("--calibrate", is_flag=True, help="Run every attack on classifiers whose answer is known exactly.")
def doctor(calibrate: bool) -> None:
    """Say what this machine has; with --calibrate, whether every attack finds what it must."""
    from robustbench_lite.cli.doctor import environment
    from robustbench_lite.trust.bracket import bracket

    for name, text in environment():
        click.echo(f"{name:18} {text}")
    if calibrate:
        checks = wrong = 0
        for finding in bracket():
            click.echo(str(finding))
            checks += 1
            wrong += not finding.passed
        click.echo(f"{plural(checks, 'check')}, {wrong} failed")
        if wrong:
            raise SystemExit(ExitCode.FAILED_GATE)


cli.add_command(baseline)
cli.add_command(check)
cli.add_command(compare)
cli.add_command(completion)
cli.add_command(init)
cli.add_command(merge)
cli.add_command(report)
cli.add_command(train)


def _print(text: str) -> None:
    click.echo(text, nl=False)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit, with an `ExitCode`."""
    if COMPLETING in os.environ:
        cli.main(arguments, prog_name="robustbench-lite", complete_var=COMPLETING)
    raise SystemExit(exit_code(lambda: cli.main(arguments, prog_name="robustbench-lite", standalone_mode=False)))
