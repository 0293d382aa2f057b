"""Options that several verbs have, and the many of `run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from robustbench_lite.cli.completion import names
from robustbench_lite.errors import did_you_mean

__all__ = ["Named", "device_option", "limit_option", "results_option", "run_options", "suite_options", "trust_option"]

Command = Callable[..., Any]


class Named(click.Choice[str]):
    """One of several names; the one that is meant is suggested."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            self.fail(f"unknown '{value}'{did_you_mean(value, self.choices)}", param, ctx)
        return super().convert(value, param, ctx)


def suite_options(command: Command) -> Command:
    command = click.argument("suite", type=click.Path(path_type=Path), shell_complete=names("suites"))(command)
    return click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a value of the suite."
    )(command)


def device_option(command: Command) -> Command:
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")(command)


def trust_option(command: Command) -> Command:
    text = "Run the code that RESULTS names; only for folders whose code you have read, or of your own runs."
    return click.option("--trust", is_flag=True, help=text)(command)


def run_options(command: Command) -> Command:
    """What changes how a suite runs, but no result."""
    for option in reversed(_RUN):
        command = option(command)
    return command


def _number(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdigit() or int(value) < 1:
        raise click.BadParameter(f"expected auto or a positive number, got {value!r}")
    return int(value)


def _auto(name: str, text: str) -> Callable[[Command], Command]:
    return click.option(name, default="auto", show_default=True, callback=_number, help=text)


results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where results are stored, a folder per suite.",
)
limit_option = click.option("--limit", type=click.IntRange(min=1), help="At most this many samples of each dataset.")
_RUN = (
    results_option,
    _auto("--batch-size", "Window of active samples."),
    limit_option,
    click.option("--fresh", is_flag=True, help="Run cells again that are in the store already."),
    click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that attack."),
    click.option(
        "--executor",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Where the processes are: on this machine, or workers of a Ray cluster.",
    ),
    click.option("--address", help="The Ray cluster; default: RAY_ADDRESS, or one on this machine."),
    click.option("--cpus", type=click.IntRange(min=1), default=1, show_default=True, help="Cores of a Ray worker."),
    click.option("--gpus", type=click.FloatRange(min=0), help="GPUs of a Ray worker; 0.5: two share one."),
    _auto("--shard-size", "Samples of a cell after which they are stored; auto: about two minutes of work."),
    click.option(
        "--shard", metavar="I/N", help="This part of every cell only; other runs on the same RESULTS do the rest."
    ),
    click.option("--cell-timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds that a cell may take."),
    click.option("--timing/--no-timing", default=True, help="Also time some samples of each cell at batch size 1."),
)
