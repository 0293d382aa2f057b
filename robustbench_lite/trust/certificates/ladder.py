"""Which images no attack within a budget can change the verdict on: proven, sample by sample.

The ladder of methods, each tried on what those before it left: interval bounds (Gowal et al.,
https://arxiv.org/abs/1810.12715), linear bounds of the logits over intervals (CROWN-IBP, https://arxiv.org/abs/1906.06316),
linear bounds throughout (CROWN, https://arxiv.org/abs/1811.00866), and those with the lower slopes chosen by gradient
ascent (https://arxiv.org/abs/2011.13824).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from robustbench_lite.engine.inputs import checked_images, checked_labels, checked_members
from robustbench_lite.engine.judge import look
from robustbench_lite.errors import ModelError, UsageError
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.frozen import frozen
from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.bounds import Bounds, Inner, Node, bounds_of, value_of
from robustbench_lite.trust.certificates.read import nodes_of
from robustbench_lite.trust.certificates.region import Region
from robustbench_lite.trust.certificates.relaxations import RectifierLines

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.threat.norms import Ball

__all__ = ["METHODS", "NORMS", "Certificate", "Method", "certify"]

Method = Literal["ibp", "crown_ibp", "crown", "alpha_crown"]
METHODS: tuple[Method, ...] = get_args(Method)
NORMS = ("linf", "l2", "l1")
_INNER: dict[str, Inner] = {"ibp": "intervals", "crown_ibp": "intervals"}
_STEPS, _RATE = 20, 0.2  # of the ascent in the slopes
_TOGETHER = 32  # images whose bounds are found together
_AGREE = 1e-3  # of the largest logit: how far what was read may be from what the module says


@dataclass(frozen=True, repr=False)
class Certificate:
    """What is proven of N images, on the CPU: `proven` (N,), and `margin` (N,), float64.

    The logit of the label is above every other by more than `margin` on every image in [0, 1] within `epsilon`, as the
    judge measures it, however float32 rounds. Once it is above 0 no better bound is looked for. `by` (N,): the method
    that proved it; empty: none.
    """

    proven: torch.Tensor
    margin: torch.Tensor
    by: tuple[str, ...]
    norm: str
    epsilon: float
    seconds: float

    def __len__(self) -> int:
        return len(self.proven)

    def __repr__(self) -> str:
        where = f"{self.norm} at most {self.epsilon:.6g}"
        return f"<Certificate: {int(self.proven.sum())} of {len(self)} images proven, {where}; {self.seconds:.2f} s>"


def certify(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    norm: Ball = "linf",
    epsilon: float,
    method: Method = "crown",
) -> Certificate:
    """Proofs that `model` gives images x (N, C, H, W) in [0, 1] their labels y (N,) wherever an attack may move them.

    Raises UsageError for what cannot be, ModelError for a classifier with a layer of which no bound is known.
    """
    (module,) = checked_members([model])
    _check(norm, epsilon, method)
    images = checked_images(x)
    started = time.perf_counter()
    with deterministic(), torch.inference_mode(mode=False), frozen(module):
        device = next((one.device for one in module.parameters()), images.device)
        logits = look(module, images, device, 256).double()
        labels = checked_labels(y, len(images), logits.shape[1])
        nodes = _read(module, images, logits)
        margin, by = _climbed(nodes, images, labels, logits, norm, epsilon, method)
    return Certificate(margin > 0, margin, tuple(by), norm, epsilon, time.perf_counter() - started)


def _check(norm: str, epsilon: float, method: str) -> None:
    if norm not in NORMS:
        raise UsageError(f"norm: expected one of {', '.join(NORMS)}, got {norm!r}; of others nothing is proven")
    if method not in METHODS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if not (isinstance(epsilon, int | float) and 0 < epsilon < float("inf")):
        raise UsageError(f"epsilon: expected a size above 0, for images in [0, 1], got {epsilon!r}")


def _read(module: nn.Module, x: torch.Tensor, logits: torch.Tensor) -> tuple[Node, ...]:
    """The classifier as parts, on the CPU. Raises ModelError where they do not say what it says on clean images."""
    name = getattr(module, "name", "") or type(module).__name__
    try:
        nodes = nodes_of(module, tuple(x.shape[1:]))
    except ModelError as error:
        raise ModelError(f"certify: {name}: {error}") from None
    for start in range(0, len(x), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        point, said = x[part].double(), logits[part]
        around = bounds_of(nodes, Region(point, "linf", 0.0), "intervals")
        gap = (said - value_of(nodes, point)).abs()
        inside = (around.low[-1] <= said) & (said <= around.high[-1]) & (gap <= _AGREE * said.abs().max())
        if not bool(inside.all()):
            raise ModelError(
                f"certify: {name}: its logits differ by up to {float(gap.max()):.3g} from those of its layers one by "
                "one in float32; are there hooks, another precision, a changed forward?"
            )
    return nodes


def _climbed(
    nodes: tuple[Node, ...],
    x: torch.Tensor,
    labels: torch.Tensor,
    logits: torch.Tensor,
    norm: Ball,
    epsilon: float,
    method: Method,
) -> tuple[torch.Tensor, list[str]]:
    """The largest margins (N,) that the methods up to this one prove, and by which; none where the label is wrong."""
    own = logits.gather(1, labels[:, None])[:, 0]
    best = logits.scatter(1, labels[:, None], float("-inf")).amax(1)
    margin, by = (own - best).clamp_max(0.0), [""] * len(x)
    margin = torch.where(margin < 0, margin, float("-inf"))
    for name in METHODS[: METHODS.index(method) + 1]:
        left = ((logits.argmax(1) == labels) & ~(margin > 0)).nonzero()[:, 0]
        for some in torch.split(left, _TOGETHER) if len(left) else ():
            region = Region(x[some].double(), norm, epsilon)
            found = _margins(nodes, region, labels[some], name)
            margin[some] = margin[some].maximum(found)
            for i in some[found > 0].tolist():
                by[i] = name
    return margin, by


def _margins(nodes: tuple[Node, ...], region: Region, labels: torch.Tensor, method: Method) -> torch.Tensor:
    """A lower bound (n,) of the label's logit above the largest other one over the region of each image."""
    bounds = bounds_of(nodes, region, _INNER.get(method, "linear"))
    if method == "ibp":
        low, high = bounds.low[-1], bounds.high[-1]
        others = high.scatter(1, labels[:, None], float("-inf")).amax(1)
        return low.gather(1, labels[:, None])[:, 0] - others
    w, owner = _differences(labels, nodes[-1].shape[0])
    with torch.no_grad():
        found = torch.cat([bounds.least(len(nodes) - 1, *some) for some in _parts(w, owner, 1024)])
    if method == "alpha_crown":
        found = found.maximum(_ascended(bounds, w, owner, found))
    return found.view(len(labels), -1).amin(1)


def _differences(labels: torch.Tensor, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (n (K - 1), K), the label's logit less each other one, and whose each is."""
    every = torch.eye(classes, dtype=torch.float64)
    w = torch.cat([(every[label] - every)[torch.arange(classes) != label] for label in labels.tolist()])
    return w, torch.arange(len(labels)).repeat_interleave(classes - 1)


def _parts(w: torch.Tensor, owner: torch.Tensor, most: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return zip(torch.split(w, most), torch.split(owner, most), strict=True)


def _ascended(bounds: Bounds, w: torch.Tensor, owner: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """The bounds (R,) with lower slopes of their own for each row, found by ascent; rows above 0 stay as they are."""
    best, open_rows = found.clone(), (found <= 0).nonzero()[:, 0]
    for some in torch.split(open_rows, 128) if len(open_rows) else ():
        w_part, of = w[some], owner[some]
        lines = {at: line for at, line in bounds.lines.items() if isinstance(line, RectifierLines)}
        slopes = {at: line.slope[of].clone().requires_grad_() for at, line in lines.items()}
        adam = torch.optim.Adam(slopes.values(), lr=_RATE)
        for _ in range(_STEPS):
            with torch.enable_grad():
                used = {at: torch.where(lines[at].open[of], one, lines[at].slope[of]) for at, one in slopes.items()}
                reached = bounds.least(len(bounds.nodes) - 1, w_part, of, used)
                gradients = torch.autograd.grad(-reached.sum(), list(slopes.values()), allow_unused=True)
            best[some] = best[some].maximum(reached.detach())
            for one, gradient in zip(slopes.values(), gradients, strict=True):
                one.grad = gradient
            adam.step()
            with torch.no_grad():
                for one in slopes.values():
                    one.clamp_(0, 1)
    return best
