"""The verbs on several results: `compare`, `report`, and `merge`, which makes them one; `verbs.py` adds them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from robustbench_lite.cli.exit import say, write
from robustbench_lite.cli.options import Named
from robustbench_lite.cli.terminal import printable, wide_option
from robustbench_lite.errors import ExitCode
from robustbench_lite.text import TABLE_FORMATS, plural

__all__ = ["compare", "format_option", "merge", "report"]


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a table is printed."""
    styles, text = Named(TABLE_FORMATS), f"How it is printed: {', '.join(TABLE_FORMATS)}."
    return click.option("--format", "style", type=styles, default="text", metavar="FORMAT", help=text)(command)


def label_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a folder is called beside others."""
    return click.option(
        "--label", "labels", multiple=True, metavar="NAME=FOLDER", help="What a folder is called; else what differs."
    )(command)


@click.command(short_help="Write results as one HTML page, or as a site.")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", default="reports/report.html", show_default=True, help="The page; a folder, FOLDER/, gets a site."
)
@label_option
def report(results: tuple[Path, ...], out: str, labels: tuple[str, ...]) -> None:
    """Write one self-contained HTML page on RESULTS...: folders that `run` has written, or that hold such folders.

    Into a folder (-o site/) as a site of small pages, with leaderboards and their JSON in RobustBench's form.
    """
    from robustbench_lite.report import page, site
    from robustbench_lite.results.naming import called, labels_of
    from robustbench_lite.results.store import read, runs

    folders = [folder for given in results for folder in runs(given)]
    every, path = called([read(folder) for folder in folders], labels_of(labels, folders)), Path(out)
    whole = out.endswith(("/", os.sep)) or path.is_dir()
    for name, text in site(every) if whole else [("", page(every))]:
        write(path / name, text)
    click.echo(str(path / "index.html" if whole else path))


@click.command(short_help="Print what changed between two results.")
@click.argument("a")
@click.argument("b")
@format_option
@wide_option
@label_option
def compare(a: str, b: str, style: str, *, wide: bool, labels: tuple[str, ...]) -> None:
    """Print what changed from results A to B, sample by sample; FOLDER:CLASSIFIER twice compares classifiers."""
    from robustbench_lite.results.naming import labels_of
    from robustbench_lite.tables.compare import compare as differences
    from robustbench_lite.tables.compare import sides, split

    named = labels_of(labels, [split(text)[0] for text in (a, b)])
    click.echo(printable(differences(*sides(a, b, named)), style, wide=wide), nl=False)


@click.command(short_help="Join the folders of runs with --shard.")
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The results folder they become.")
def merge(results: tuple[Path, ...], out: Path) -> None:
    """Join RESULTS, folders in which runs with --shard did their part of one suite, to one folder."""
    from robustbench_lite.runner.merge import merge as join

    made = join(results, out)
    for line in made.missing:
        say(f"missing: {line}")
    click.echo(f"{out}: {made.whole} of {plural(made.planned, 'cell')}")
    if made.missing:
        raise SystemExit(ExitCode.FAILED_CELLS)
