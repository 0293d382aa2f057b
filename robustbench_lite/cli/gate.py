"""The verbs of the gate, `baseline` and `check`; like `verbs.py`, which adds them, they print and decide exit codes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from robustbench_lite.cli.exit import say
from robustbench_lite.cli.options import Named
from robustbench_lite.cli.terminal import colorful, width
from robustbench_lite.text import GATE_FORMATS, plural

__all__ = ["baseline", "check"]

_SUMMARY = 2**20  # bytes of a job summary, the limit of GitHub


@click.command(short_help="Write what `check` compares with.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="File, such as baselines/ci.parquet.")
def baseline(results: Path, out: Path) -> None:
    """Write what `check` compares with: RESULTS, per cell and sample, in one small file for git."""
    from robustbench_lite.gate.baseline import baseline_of, write_baseline
    from robustbench_lite.results.store import read

    made = baseline_of(read(results))
    write_baseline(made, out)
    click.echo(str(out))
    say(f"{plural(len(made.scores), 'gate')}, {out.stat().st_size / 1000:.1f} kB")
    for one in made.scores:
        for doubt in one.doubts:
            say(f"warning: {one.name}: this number does not stand; {doubt}")


@click.command(short_help="Fail where results are less robust than before.")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--baseline", "file", required=True, type=click.Path(path_type=Path), help="What `baseline` has written.")
@click.option(
    "--format",
    "style",
    type=Named(GATE_FORMATS),
    default="text",
    metavar="FORMAT",
    help=f"How it is printed: {', '.join(GATE_FORMATS)}; github also appends to the job summary.",
)
@click.option("--max-drop", type=float, help="Points of robust accuracy that may be lost.")
@click.option("--max-distance-drop", type=float, help="Percent by which mean distances may fall.")
@click.option("--min-robust-accuracy", type=float, help="Floor in percent.")
@click.option("--min-rho", type=float, help="Floor of mean rho.")
@click.option("--max-cost", type=float, help="Most passes per sample that an attack may take.")
@click.option("--confidence", type=float, help="Share of runs without a change that pass.")
@click.option("--mode", type=click.Choice(("test", "point")), help="point: chance fails too.")
@click.option("--distance", type=click.Choice(("rho", "l2")), help="The distance of minimal attacks.")
def check(results: Path, file: Path, style: str, **options: Any) -> None:
    """Fail where RESULTS are less robust than the baseline: beyond the margin, and certainly.

    Limits come from the suite's `gate:`; options replace them, except those of single cells.
    """
    from robustbench_lite.errors import BaselineError
    from robustbench_lite.gate.baseline import read_baseline
    from robustbench_lite.gate.pairing import check as compare
    from robustbench_lite.gate.render import render_report, summary
    from robustbench_lite.gate.rules import gate_of
    from robustbench_lite.gate.scores import scores_of
    from robustbench_lite.results.store import read

    before, found = read_baseline(file), read(results)
    if not found.run:
        why = next((text for text in found.problems if "run.json" in text), f"{results / 'run.json'}: missing")
        raise BaselineError(f"{why}; the limits of the gate are in it: run the suite again")
    gate = gate_of(found.run.get("gate"), {name: value for name, value in options.items() if value is not None})
    report = compare(before, scores_of(found), gate)
    click.echo(render_report(report, style, width(), color=colorful()), nl=False)
    if style == "github" and (path := os.environ.get("GITHUB_STEP_SUMMARY")):
        used = Path(path).stat().st_size if Path(path).exists() else 0
        _append(Path(path), summary(report, _SUMMARY - used - 1))
    for verdict in report.of("incomparable"):
        say(f"error: {verdict.name}: {verdict.reasons[0]}")
    for problem in found.problems:
        say(f"warning: {problem}")
    if report.exit_code:
        raise SystemExit(report.exit_code)


def _append(path: Path, text: str) -> None:
    """Add to the job summary; where that is not possible, say so and go on: the verdict counts."""
    try:
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        say(f"warning: GITHUB_STEP_SUMMARY: {path} cannot be written ({error.strerror})")
