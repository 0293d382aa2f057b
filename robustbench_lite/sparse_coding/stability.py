"""How far representations move under noise, random and adversarial, beside what the theorems promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.adversary import adversarial_noise, random_noise
from robustbench_lite.sparse_coding.design import Design, Incoherent, Orthogonal, Sparse
from robustbench_lite.sparse_coding.local import energy
from robustbench_lite.sparse_coding.model import Layers, Signals
from robustbench_lite.sparse_coding.pursuit import Pursuit, PursuitName
from robustbench_lite.sparse_coding.theorems import Promise
from robustbench_lite.threat import Draw, keys

__all__ = ["MODELS", "Measured", "Setup", "Under", "measure", "stability", "sweep"]

_SLACK = 1e-9  # of a bound: what float64 and a solver that stops may add


@dataclass(frozen=True)
class Setup:
    """A model, layer by layer from the signal inwards, and the signals that are drawn from it."""

    designs: tuple[Design, ...]
    positions: int  # of atoms in the deepest representation, along each axis
    sparsity: tuple[int, ...]  # nonzeros of a stripe, at most, layer by layer

    @property
    def unfit(self) -> str:
        """Why this is no model, in a sentence; empty: it may be one."""
        if len(self.sparsity) != len(self.designs) or not self.designs:
            return f"expected as many limits of sparsity as dictionaries, got {len(self.sparsity)}, {len(self.designs)}"
        channels = (1, *(one.atoms for one in self.designs))
        said = (one.unfit(many) for one, many in zip(self.designs, channels, strict=False))
        return next(filter(None, said), "")

    def params(self) -> dict[str, Any]:
        """All that decides which signals are drawn, their number and seed aside."""
        written = [{one.registered: one.params()} for one in self.designs]
        return {"dictionaries": written, "positions": self.positions, "sparsity": list(self.sparsity)}

    def build(self) -> Layers:
        """The dictionaries. Raises ValueError where there are none of these parameters."""
        if self.unfit:
            raise ValueError(self.unfit)
        return _layers(self.designs)

    def signals(self, count: int, seed: int = 0) -> tuple[Layers, Signals, Draw]:
        """`count` non-negative signals, and the source of everything else that is random about them."""
        layers, draw = self.build(), Draw(keys(seed, "sparse_coding", [str(i) for i in range(count)]))
        return layers, layers.draw(draw, (self.positions, self.positions), self.sparsity), draw


@cache
def _layers(designs: tuple[Design, ...]) -> Layers:
    built, channels = [], 1
    for one in designs:
        built.append(one.build(channels))
        channels = one.atoms
    return Layers(tuple(built))


MODELS = {
    "orthogonal": Setup((Orthogonal(side=3), Sparse(count=6, side=6, corner=2)), 8, (9, 2)),
    "overlapping": Setup(
        (Incoherent(count=4, side=6, stride=2), Sparse(count=4, side=8, stride=2, corner=3)), 9, (3, 1)
    ),
}


@dataclass(frozen=True)
class Under:
    """Errors ||.||^P_{2,inf} under one sort of noise."""

    worst: float
    mean: float
    recovered: float  # share of signals whose support is found exactly
    tightness: float  # the largest error in units of its bound, where there is one; nan: nowhere
    broken: int  # signals for which a bound or a support was promised and not kept


@dataclass(frozen=True)
class Measured:
    """One layer of one pursuit."""

    model: str
    pursuit: PursuitName
    layer: int
    noise: float  # local energy
    signals: int
    coherence: float
    stripe: int
    patch: int
    promised: float  # share of signals for which there is a bound
    support: float  # share of signals for which the support is promised
    bound: float  # the largest of the promised ones; nan: nothing is promised
    random: Under
    adversarial: Under

    def row(self) -> dict[str, Any]:
        """One mapping of plain values; those under noise begin with `random_` and `adversarial_`."""
        plain = asdict(self)
        under = {f"{sort}_{key}": value for sort in ("random", "adversarial") for key, value in plain.pop(sort).items()}
        return plain | under


def stability(
    model: str, pursuits: Sequence[PursuitName], noise: float, signals: int = 100, seed: int = 0, steps: int = 20
) -> list[Measured]:
    """Every layer of every pursuit on signals of one of MODELS. Raises ValueError for noise past the theorem."""
    layers, drawn, draw = MODELS[model].signals(signals, seed)
    found = []
    for name in pursuits:
        found += measure(Pursuit.set_for(name, layers, drawn, noise), drawn, noise, draw, steps)
    return [replace(one, model=model) for one in found]


def sweep(
    model: str,
    pursuit: PursuitName,
    noise: float,
    times: Sequence[float],
    signals: int = 50,
    seed: int = 0,
    steps: int = 10,
) -> list[Measured]:
    """A pursuit that is set for `noise` under so many times as much."""
    layers, drawn, draw = MODELS[model].signals(signals, seed)
    fixed = Pursuit.set_for(pursuit, layers, drawn, noise)
    found = [one for factor in times for one in measure(fixed, drawn, factor * noise, draw, steps)]
    return [replace(one, model=model) for one in found]


def measure(pursuit: Pursuit, signals: Signals, noise: float, draw: Draw, steps: int) -> list[Measured]:
    """Each layer under noise of this local energy: random, and the worst of `steps` of ascent on the deepest error."""
    layers, last = pursuit.layers, len(pursuit.layers)
    outer, inner = layers.patch(0), layers.patch(last)
    casual = random_noise(signals.x, outer, noise, draw)

    def errors(e: torch.Tensor) -> torch.Tensor:
        return energy(pursuit.solve(signals.x + e)[-1] - signals.codes[-1], inner)

    hostile = adversarial_noise(casual, errors, outer, noise, steps)
    sorts = [tuple(_under(pursuit, signals, e, noise)) for e in (casual, hostile)]
    return [
        Measured(
            model="",
            pursuit=pursuit.name,
            layer=i,
            noise=noise,
            signals=len(signals.x),
            coherence=layers.coherence[i - 1],
            stripe=int(facts.stripe.max()),
            patch=int(facts.patch.max()),
            promised=_share(promise.holds),
            support=_share(promise.support),
            bound=float(promise.bound[promise.holds].max()) if bool(promise.holds.any()) else float("nan"),
            random=at_random,
            adversarial=at_worst,
        )
        for i, (facts, promise, at_random, at_worst) in enumerate(
            zip(pursuit.facts, pursuit.promises(noise), *sorts, strict=True), 1
        )
    ]


def _under(pursuit: Pursuit, signals: Signals, e: torch.Tensor, noise: float) -> Iterator[Under]:
    found = pursuit.solve(signals.x + e)
    for i, (code, true, promise) in enumerate(zip(found, signals.codes, pursuit.promises(noise), strict=True), 1):
        yield _judged(energy(code - true, pursuit.layers.patch(i)), (code != 0) == (true != 0), promise)


def _judged(error: torch.Tensor, alike: torch.Tensor, promise: Promise) -> Under:
    recovered = alike.flatten(1).all(1)
    broken = (error > promise.bound * (1 + _SLACK) + _SLACK) | (promise.support & ~recovered)
    ratio = (error / promise.bound)[promise.holds]
    return Under(
        float(error.max()),
        float(error.mean()),
        _share(recovered),
        float(ratio.max()) if len(ratio) else float("nan"),
        int(broken.sum()),
    )


def _share(true: torch.Tensor) -> float:
    return float(true.double().mean())
