"""Leaderboards as RobustBench's model-info files: MODEL.json in DATASET/Linf or L2, for its own leaderboard tools.

https://github.com/RobustBench/robustbench/tree/master/model_info
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from robustbench_lite.report.leaderboard import Board, Standing
from robustbench_lite.text import bracketed, budget, listed, percent

__all__ = ["model_infos", "slug"]

_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}
# nobody has told us
_UNKNOWN = (
    "link",
    "authors",
    "additional_data",
    "venue",
    "architecture",
    "reported",
    "number_forward_passes",
)


def model_infos(found: Sequence[Board]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each file lies, and what it says. Left out: numbers that do not stand, images that leave [0, 1]."""
    taken: set[str] = set()
    for board in found:
        for one in board.standings:
            if not one.red and board.clipped and board.norm in _NORMS:
                parts = (budget(board.epsilon).replace("/", "_"), board.dataset, _NORMS[board.norm], one.model)
                path = "/".join(map(slug, parts))
                path = path if path not in taken else f"{path}-{slug(one.called)}"
                taken.add(path)
                yield f"{path}.json", _info(board, one)


def _info(board: Board, one: Standing) -> dict[str, Any]:
    """Shares in percent as text, as RobustBench has them; `external`: of all attacks together, not AutoAttack alone."""
    value, low, high = (percent(part, 2) for part in (one.robust.value, one.robust.low, one.robust.high))
    said = f"robust accuracy {bracketed(value, low, high)} (95 % interval), n={one.robust.n}"
    alone = {} if one.autoattack is None else {"autoattack_acc": percent(one.autoattack, 2)}
    return {
        **dict.fromkeys(_UNKNOWN),
        "name": one.model,
        "dataset": board.dataset,
        "eps": budget(board.epsilon),
        "clean_acc": percent(one.clean.value, 2),
        "external": value,
        **alone,  # absent where AutoAttack was not run: its tools then take `external`
        "footnote": f"{said}, worst case over {listed(one.attacks, 8)}, run by robustbench_lite",
    }


def slug(name: str) -> str:
    """A name that is a file's on every system."""
    return re.sub(r"[^A-Za-z0-9_.=,()+-]+", "_", name).strip(".")[:80] or "_"
