"""The warnings of a stored cell, each with its kind."""

from __future__ import annotations

from robustbench_lite.results.schema import Caveat, Row

__all__ = ["caveats_of"]

_WORDINGS = {"is far from the card's": "clean_accuracy", "instead of logits?": "outputs"}  # before kinds were stored


def caveats_of(cell: Row) -> tuple[Caveat, ...]:
    """The warnings of a cell; runs of before there were kinds are told by their wording."""
    texts = cell["warnings"] or []
    kinds = cell["warning_kinds"] or [_kind_of(text) for text in texts]
    return tuple(Caveat(kind, text) for kind, text in zip(kinds, texts, strict=True))


def _kind_of(text: str) -> str:
    return next((kind for part, kind in _WORDINGS.items() if part in text), "other")
