"""A cell and its samples as one classifier scored them, with the facts that its readers ask for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.results._caveats import caveats_of
from robustbench_lite.results._columns import Columns, as_array
from robustbench_lite.results._limits import limits
from robustbench_lite.results.schema import Caveat, Row, size_column

__all__ = ["NOT_RUN", "Evaluation", "caveats_of", "parsed", "through"]

NOT_RUN = "not run yet"
Flags = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """One cell and its samples as scored by one classifier.

    `evaluation["l2"]` is a column (n,), to be read only: flags are bool, reals float64, NaN where nothing is stored.
    """

    cell: Row
    model: str
    rows: pa.Table
    columns: Columns | None = field(default=None, repr=False, compare=False)  # in which `rows` begin at `start`
    start: int = 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """A column; many ask for the same ones, so that it is made once, and nobody may write to it."""
        if name not in self._columns:
            part = None if self.columns is None else self.columns.part(name, self.start, len(self))
            column = as_array(self.rows[name]) if part is None else part
            column.flags.writeable = False
            self._columns[name] = column
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        return {}

    def __len__(self) -> int:
        """How many samples were scored."""
        return len(self.rows)

    # what was asked of the attack

    @property
    def id(self) -> str:
        """The cell's id."""
        return str(self.cell["cell"])

    @property
    def dataset(self) -> str:
        return str(self.cell["dataset"])

    @property
    def attack(self) -> str:
        """The registered name; empty: none was stored."""
        return str(self.cell["attack"] or "")

    @property
    def variant(self) -> str:
        """What tables call the attack."""
        return str(self.cell["variant"])

    @property
    def norm(self) -> str | None:
        """The norm that the attack bounds or minimises; None: no norm describes it."""
        norm: str | None = self.cell["norm"]
        return norm

    @property
    def epsilon(self) -> float | None:
        """The budget in that norm; None: there is none."""
        epsilon: float | None = self.cell["eps"]
        return epsilon

    @property
    def targeted(self) -> bool:
        return bool(self.cell["goal"] == "target")

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """Every parameter of the attack."""
        return parsed(self.cell["params"])

    @property
    def minimal(self) -> bool:
        """Whether the attack looks for the smallest perturbation, so that there are sizes."""
        return self.epsilon is None and self.norm is not None

    @property
    def fraction(self) -> float | None:
        """The share of the samples that one size for all of them shall fool; None: each sample has its own size."""
        return self.params.get("fraction") or None

    @property
    def unbounded(self) -> bool:
        """Whether each sample may be changed as much as it takes: a minimal attack, but not with one size for all."""
        return self.minimal and self.fraction is None

    @property
    def clipped(self) -> bool:
        """Whether images stay in [0, 1]."""
        return self.params.get("clip") is not False

    @property
    def fitted(self) -> bool:
        """Whether one perturbation for all images was fitted on others, or would have been."""
        return self.cell["fit_n"] is not None or (not self.ok and isinstance(self.params.get("fit"), int))

    @property
    def limits(self) -> str:
        """What the attack may do that no norm says, in words: rotations, corruptions, a generator; else empty."""
        return limits(self.params)

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """Every parameter of the source of the samples, as far as it is known: after the run has planned them."""
        return parsed(self.cell["data"])

    # who was attacked

    @property
    def sources(self) -> tuple[str, ...]:
        """The classifiers that the attack saw."""
        return tuple(self.cell["sources"] or [self.cell["source"]])

    @property
    def targets(self) -> tuple[str, ...]:
        """The classifiers that were scored."""
        return tuple(self.cell["models"] or [self.cell["source"]])

    @property
    def white_box(self) -> bool:
        """Whether the attack saw the scored classifier, be it among others."""
        return self.model in self.sources

    @property
    def own(self) -> bool:
        """Whether the attack saw the scored classifier and no other."""
        return self.sources == (self.model,)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The scored classifiers that the attack did not see."""
        return tuple(model for model in self.targets if model not in self.sources)

    @property
    def through(self) -> str:
        """Whose adversarials the classifier saw, in few words; empty: its own."""
        return "" if self.own else through(self.cell)

    @property
    def title(self) -> str:
        """The classifier, and whose adversarials it saw where they are not its own."""
        return self.model if self.own else f"{self.model}, attacked through {self.through}"

    # what came of it

    @property
    def caveats(self) -> tuple[Caveat, ...]:
        """What a reader must know before believing a number."""
        return caveats_of(self.cell)

    @cached_property
    def trouble(self) -> str:
        """Why no number of this cell may be shown; empty where all may. One failed sample withholds the cell."""
        if self.cell["status"] == NOT_RUN:
            return NOT_RUN
        if self.cell["status"] != "ok":
            return f"failed: {self.cell['error'] or 'no reason was stored'}"
        failed = [status for status in self.rows["status"].to_pylist() if status != "ok"]
        if failed:
            return f"failed: {len(failed)} of {len(self)} samples: {failed[0]}"
        return "" if len(self) else "failed: no samples are stored"

    @property
    def ok(self) -> bool:
        return not self.trouble

    @cached_property
    def samples(self) -> list[str]:
        """(n,) the ids."""
        return list(self.rows["sample"].to_pylist())

    @cached_property
    def correct(self) -> Flags:
        """(n,) classified as its label after the attack, or made into an image that is not of it, says another."""
        return np.asarray((self["adv_pred"] == self["label"]) | ~self.agreed, np.bool_)

    @cached_property
    def agreed(self) -> Flags:
        """(n,) a second classifier says that the image is of its label, or none was asked."""
        opinion = self["second_opinion"]
        return np.asarray((opinion == self["label"]) | (opinion == None), np.bool_)  # noqa: E711  (element by element)

    @cached_property
    def robust(self) -> Flags:
        """(n,) classified as its label before and after the attack."""
        return np.asarray(self["clean_correct"] & self.correct, np.bool_)

    @property
    def success(self) -> Flags:
        """(n,) the judge says that the attack reached its goal."""
        return self["success"]

    @property
    def size(self) -> Reals:
        """(n,) ||r|| in the attack's norm; there has to be one."""
        return np.asarray(self[size_column(str(self.norm))], np.float64)

    @property
    def relative_size(self) -> Reals:
        """(n,) ||r|| / ||x|| in the norm that is minimised, or linf, else in l2; not finite where x is black."""
        if self.norm == "linf":
            return self["rho_linf"]
        own = f"rho_{self.norm}" if self.minimal and self.norm in {"l1", "l0"} else "rho"
        return self["rho" if self.rows[own].null_count else own]  # older runs have no other

    @cached_property
    def needed(self) -> Reals:
        """(n,) the relative size that it took to succeed, infinite where the attack failed."""
        return np.where(self.success, self.relative_size, np.inf)

    @property
    def seconds_alone(self) -> float | None:
        """Of a sample at batch size 1; None: it was not timed."""
        seconds = self.cell["seconds_alone"]
        return None if seconds is None or math.isnan(seconds) else float(seconds)

    @property
    def passes(self) -> int:
        """Forward and backward passes of the attack, of all samples together."""
        return int((self.cell["forwards"] or 0) + (self.cell["backwards"] or 0))

    # in random views

    @cached_property
    def viewed(self) -> bool:
        """Whether its samples were scored in random views, or would have been."""
        if self.ok:
            return bool((self["draws"] != None).all())  # noqa: E711  (element by element)
        return self.params.get("under") is not None or self._before_a_camera

    @property
    def _before_a_camera(self) -> bool:
        """Whether the samples are textures of objects, of which classifiers only ever see views."""
        return "object" in self.data and "photographs" not in self.data

    def share_of_views(self, column: str) -> Reals:
        """(n,) per sample the share of its views that `column` counts: draws_target, clean_draws_label, ..."""
        return np.asarray(self[column].astype(np.float64) / self["draws"].astype(np.float64))

    def adversariality(self, prefix: str = "") -> Reals:
        """(n,) the share of views in which the attacker has what he wants; of the original with the prefix `clean_`."""
        if self.targeted:
            return self.share_of_views(f"{prefix}draws_target")
        return 1 - self.share_of_views(f"{prefix}draws_label")


def parsed(text: str | None) -> Mapping[str, Any]:
    """A JSON object, to be read only; no text: an empty one."""
    return MappingProxyType(json.loads(text or "{}"))


def through(cell: Row) -> str:
    """The sources in few words: all but the one classifier that was scored and not seen."""
    sources, models = cell["sources"] or [cell["source"]], cell["models"] or []
    unseen = [model for model in models if model not in sources]
    if len(sources) > 1 and len(unseen) <= 1 and set(sources) <= set(models):
        return f"all but {unseen[0]}" if unseen else "all"
    return " + ".join(sources)
