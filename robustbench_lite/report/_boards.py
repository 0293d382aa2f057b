"""Leaderboards as the template draws them, with the texts that their copy buttons give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_lite.tables.base import Column, Table
from robustbench_lite.tables.render import render
from robustbench_lite.tables.values import label, number, share
from robustbench_lite.text import duration, listed, percent, significant

if TYPE_CHECKING:
    from robustbench_lite.report._shown import View
    from robustbench_lite.report.leaderboard import Board, Standing

__all__ = ["drawn"]

_STYLES = ("markdown", "latex", "csv")
_COLUMNS = (
    Column("rank", "rank", numeric=False),
    Column("model", "classifier", numeric=False),
    Column("run", "run", numeric=False),
    Column("robust", "robust, worst case", "%", interval=True),
    Column("clean", "clean", "%", interval=True),
    Column("passes", "passes per image"),
    Column("attacks", "attacks", numeric=False),
    Column("trust", "trust", numeric=False),
)
_HELP = {"first": "only", "tied": "tied", "worse": "worse", "red": "red", "apart": "only"}  # classes of the style sheet


def drawn(board: Board, view: View, place: int) -> dict[str, Any]:
    """One board; `place` names it on the page."""
    ranks = _ranks(board)
    rows = [_row(one, rank, view) for one, rank in zip(board.standings, ranks, strict=True)]
    if rows and any(one.state == "worse" for one in board.standings):
        rows[0]["state"] = "best"
    return {
        "id": f"board{place}",
        "name": board.name,
        "answer": board.answer,
        "cautions": board.cautions,
        "rows": rows,
        "runs": len({one.run for one in board.standings}),
        "copies": {style: render(_table(board, ranks), style) for style in (() if view.rows else _STYLES)},
    }


def _ranks(board: Board) -> list[str]:
    """By the number; who cannot be told from the first shares the first place, what does not stand has none."""
    return [
        "" if one.red else "1" if one.state in {"first", "tied"} else str(place)
        for place, one in enumerate(board.standings, 1)
    ]


def _row(one: Standing, rank: str, view: View) -> dict[str, Any]:
    level, trust = one.trust
    robust, clean = one.robust, one.clean
    return {
        "rank": rank,
        "model": one.model,
        "run": one.called,
        "href": view.cell(one.run, one.model, one.cells[0]),
        "state": _HELP[one.state],
        "beside": one.beside,
        "robust": robust,
        "value": percent(robust.value),
        "interval": f"[{percent(robust.low)}, {percent(robust.high)}]",
        "n": robust.n,
        "at": f"{100 * robust.value:.2f}%",
        "low": f"{100 * robust.low:.2f}%",
        "width": f"{100 * (robust.high - robust.low):.2f}%",
        "clean": percent(clean.value),
        "of_clean": f"[{percent(clean.low)}, {percent(clean.high)}]",
        "clean_value": clean.value,
        "passes": one.passes,
        "cost": significant(one.passes, 3),
        "time": duration(one.seconds),
        "attacks": listed(one.attacks, 3),
        "level": level,
        "trust": trust,
        "red": one.red,
    }


def _table(board: Board, ranks: list[str]) -> Table:
    rows = [
        {
            "rank": label(rank),
            "model": label(one.model),
            "run": label(one.called),
            "robust": share(one.robust),
            "clean": share(one.clean),
            "passes": number(one.passes),
            "attacks": label(listed(one.attacks, 8)),
            "trust": label(f"{one.trust[1]}: {one.red}" if one.red else one.trust[1]),
        }
        for rank, one in zip(ranks, board.standings, strict=True)
    ]
    return Table("leaderboard", board.name, _COLUMNS, tuple(rows))
