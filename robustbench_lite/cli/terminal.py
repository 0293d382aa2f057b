"""What the terminal is: how wide, whether in colour; and tables as they are printed there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from robustbench_lite.tables.base import Table

__all__ = ["colorful", "printable", "wide_option", "width"]


def width() -> int | None:
    """COLUMNS where that is set, else of the terminal; None where nobody looks, so that nothing is left out."""
    if (said := os.environ.get("COLUMNS", "")).isdigit():
        return int(said) or None
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None


def colorful() -> bool:
    """Only a terminal, and not where NO_COLOR is set to something (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def wide_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whether a table has all its columns whatever the terminal."""
    text = "All columns and intervals, however wide the terminal is."
    return click.option("--wide", is_flag=True, help=text)(command)


def printable(table: Table, style: str = "text", *, wide: bool = False) -> str:
    """The table for stdout: as wide as the terminal, or `wide` as it is; in colour where there is any."""
    from robustbench_lite.tables.render import render

    return render(table, style, None if wide else width(), color=colorful())
