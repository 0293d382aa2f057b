"""AutoAttack as its authors have it (Croce and Hein, https://arxiv.org/abs/2003.01690); `autoattack` is ours."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.peers._library import accepted, filled, imported, unknown_args, version_of
from robustbench_lite.peers.base import Batch, Peer, Proposal, peers

__all__ = ["OfficialAutoAttack"]

_NAME = {"l1": "L1", "l2": "L2", "linf": "Linf"}
_PACKAGES = ("autoattack", "pyautoattack")  # from GitHub, from PyPI
_GIVEN = frozenset({"model", "norm", "eps", "seed", "verbose", "device"})


@peers.register("official_autoattack")
class OfficialAutoAttack(Peer):
    """AutoAttack of the package `autoattack`, else of its edition on PyPI, `pyautoattack`."""

    card: ClassVar[Card] = Card(
        title="AutoAttack, the authors' code",
        paper=(
            "Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free "
            "attacks, ICML 2020"
        ),
        arxiv="2003.01690",
        protocol="`run_standard_evaluation`. What it claims is what the classifier says of its images.",
    )

    @property
    def edition(self) -> str:
        package = _package()
        return f"{package} {version_of(package)}" if package else ""

    def problems(self) -> Iterator[tuple[str, str]]:
        if not _package():
            how = "pip install git+https://github.com/fra31/auto-attack, or pip install pyautoattack"
            yield "norm", f"{self.registered}: autoattack is not installed; {how} (docs/peers.md)"
            return
        yield from unknown_args(self.title, self._code(), self.args, _GIVEN)
        if self.norm not in _NAME:
            yield "norm", f"norm: expected linf, l2 or l1, got {self.norm}"
        if self.epsilon is None:
            yield "norm", f"epsilon: {self.title} works within a budget; state it"
        if self.target is not None:
            yield "target", f"target: {self.title} takes no targets"

    def propose(self, batch: Batch) -> Proposal:
        code, device = self._code(), str(batch.x.device)
        known = {"norm": _NAME[self.norm or ""], "eps": self.epsilon, "seed": batch.seed, "verbose": False}
        evaluation = code(batch.model, **filled(code, known | {"device": device}, self.args)).run_standard_evaluation
        size = next(name for name in ("bs", "batch_size") if name in accepted(evaluation))
        made = evaluation(batch.x, batch.goal.label, **{size: len(batch.x)})
        return Proposal(made[0] if isinstance(made, tuple) else made)  # on PyPI with what is predicted for them

    @staticmethod
    def _code() -> Any:
        return imported(_package()).AutoAttack


def _package() -> str:
    """What is installed of the two; empty: nothing."""
    return next((name for name in _PACKAGES if find_spec(name) is not None), "")
