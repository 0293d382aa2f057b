"""The judge: an attack proposes, this decides. Fresh forward passes, the contract checked, every distance measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.engine.pictures import Pictures
from robustbench_lite.engine.views import pairs
from robustbench_lite.errors import AttackError
from robustbench_lite.guards.memory import chunked
from robustbench_lite.guards.transfer import sent
from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import size_column
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm, size
from robustbench_lite.threat.rows import per_row
from robustbench_lite.threat.setting import Views
from robustbench_lite.threat.ties import tie

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NOT_FINITE", "Panel", "Verdicts", "eight_bit", "finite", "judge", "look", "pooled", "rank"]

NOT_FINITE = "logits not finite"
_NUMBERS = 2**20  # of images that are measured at once: in float64 they stay in the caches, whatever the shard
_SHARES = 64  # how finely a perturbation is shrunk until its rounded image is within the budget


@dataclass
class Verdicts:
    """Per sample (N,), on the CPU. `fault` is empty or says how the candidate breaks the contract."""

    logits: torch.Tensor
    predictions: torch.Tensor
    confidences: torch.Tensor
    second: torch.Tensor  # the class after the predicted one, and its confidence
    second_confidences: torch.Tensor
    success: torch.Tensor
    success_8bit: torch.Tensor
    margin: torch.Tensor
    near_tie: torch.Tensor
    sizes: dict[str, torch.Tensor]  # l0 (pixels), l0_components, l1, l2, linf, rho, rho_linf, ..., rmsd (0-255)
    fault: list[str]

    def size(self, norm: Norm) -> torch.Tensor:
        """The sizes (N,) in a norm."""
        return self.sizes[size_column(norm)]

    def reject(self, which: torch.Tensor, fault: str) -> None:
        """The rows `which` (N,) have this fault as well: no success."""
        self.fault = [own or fault * bad for own, bad in zip(self.fault, which.tolist(), strict=True)]
        self.agree(~which, ~which)

    def agree(self, which: torch.Tensor, saved: torch.Tensor) -> None:
        """No success but in the rows `which` (N,); none in 8 bits but in the rows `saved` (N,)."""
        self.success, self.success_8bit = self.success & which, self.success_8bit & saved


def look(module: nn.Module, x: Pictures, device: torch.device, batch_size: int) -> torch.Tensor:
    """Logits (N, K) of images (N, C, H, W) on the CPU, without gradients, in batches: smaller ones without memory."""
    with torch.no_grad():
        parts, _ = chunked(lambda part: logits_of(module, sent(x[part], device)), len(x), batch_size)
    return torch.cat(parts).cpu()


def finite(logits: torch.Tensor, of: str) -> torch.Tensor:
    """The same logits (N, K). Raises AttackError where one is not finite."""
    if broken := int((~logits.isfinite().all(1)).sum()):
        raise AttackError(f"{NOT_FINITE} on {broken} of {len(logits)} {of}")
    return logits


def pooled(logits: torch.Tensor, n: int) -> torch.Tensor:
    """Log of the mean probabilities (n, K) of n samples, from the logits (n * views, K) of their views, row by row."""
    views = logits.double().view(n, -1, logits.shape[1])
    return (views.log_softmax(2).logsumexp(1) - math.log(views.shape[1])).float()


@dataclass(frozen=True)
class Panel:
    """Scores images in fresh random views: `draws` of each, the same for all images and attacks of a seed and sample.

    No attack draws from here. At most `most` views are in memory at once.
    """

    views: Views
    module: nn.Module
    device: torch.device
    most: int
    draws: int
    seed: int
    ids: list[str]

    @cached_property
    def _keys(self) -> torch.Tensor:
        """A key for each image (N,): the ids are hashed once, however many chunks of views there are."""
        return keys(self.seed, "judge", self.ids)

    def columns(
        self, x: torch.Tensor, candidates: torch.Tensor, labels: torch.Tensor, goal: Goal
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """How often (N,) the candidates and the clean images x (N, C, H, W) are taken for what; columns of SAMPLES.

        And the rows (N,) with a view whose logits are not finite: their counts say nothing.
        """
        names = {"label": labels} | ({"target": goal.label} if goal.targeted else {})
        out = {"draws": torch.full_like(labels, self.draws)}
        broken = torch.zeros_like(labels, dtype=torch.bool)
        for prefix, images in (("", candidates), ("clean_", x)):
            counts, bad = self.count(images, torch.stack(list(names.values()), 1))
            broken |= bad
            out |= {f"{prefix}draws_{name}": column for name, column in zip(names, counts.unbind(1), strict=True)}
        return out, broken

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Log of the probabilities (N, K), averaged over the views of each image x (N, C, H, W); CPU.

        Keeps N x draws x K numbers: 0.4 MB for each object, 100 views and 1000 classes.
        """
        return pooled(torch.cat([self._see(x, *pair) for pair in pairs(len(x), self.draws, self.most)]), len(x))

    def _see(self, x: torch.Tensor, row: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        """Logits (m, K) of the views with these numbers (m,) of the images in these rows (m,) of x; CPU."""

        def some(part: slice) -> torch.Tensor:
            place, draw = sent(x[row[part]], self.device), Draw(sent(self._keys[row[part]], self.device))
            return logits_of(self.module, self.views.see(place, draw, sent(number[part], self.device)))

        with torch.no_grad():
            parts, _ = chunked(some, len(row), self.most)
        return torch.cat(parts).cpu()

    def count(self, x: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """In how many views of each image x (N, C, H, W) each of its classes (N, L) is predicted: (N, L), CPU.

        And whether the logits of a view are not finite (N,).
        """
        found, broken = torch.zeros_like(classes), torch.zeros(len(x), dtype=torch.bool)
        for row, number in pairs(len(x), self.draws, self.most):
            logits = self._see(x, row, number)
            broken[row[~logits.isfinite().all(1)]] = True
            predicted = logits.argmax(1)
            found.index_add_(0, row, (predicted[:, None] == classes[row]).to(found.dtype))
        return found, broken


def judge(
    attack: Attack,
    classify: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    candidates: torch.Tensor,
    goal: Goal,
    found: torch.Tensor | None = None,
) -> Verdicts:
    """Verdicts on candidates (N, C, H, W) for the clean images x, all on the CPU; `classify` gives logits (N, K).

    `found` (N, D) are the numbers that the attack says it made them with.
    """
    fault = _faults(attack, x, candidates)
    if found is not None:
        fault = [own or other for own, other in zip(fault, attack.faults(x, candidates, found), strict=True)]
    logits, fault = _scored(classify, x, candidates, fault)
    sound = torch.tensor([not text for text in fault])
    saved, savable = torch.empty_like(x), torch.empty(len(x), dtype=torch.bool)
    for part in _parts(x):
        saved[part], savable[part] = eight_bit(attack, x[part], candidates[part])
    margin = goal.margin(logits)
    top = logits.double().softmax(1).topk(2, dim=1)
    return Verdicts(
        logits=logits,
        predictions=logits.argmax(1),
        confidences=top.values[:, 0],
        second=top.indices[:, 1],
        second_confidences=top.values[:, 1],
        success=goal.reached(logits) & sound,
        success_8bit=goal.reached(classify(saved)) & savable & sound,
        margin=margin,
        near_tie=margin.abs() <= goal.pair(logits, tie),
        sizes=_sizes(x, candidates),
        fault=fault,
    )


def _scored(
    classify: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, candidates: torch.Tensor, fault: list[str]
) -> tuple[torch.Tensor, list[str]]:
    """Logits (N, K), all finite, and the faults with that of candidates whose logits are not.

    Where a candidate has a fault, the clean image is what the logits say something of.
    """

    def look_at(fault: list[str]) -> torch.Tensor:
        sound = torch.tensor([not text for text in fault])
        return classify(torch.where(per_row(sound, x), candidates, x))

    logits = look_at(fault)
    finite = logits.isfinite().all(1).tolist()
    if all(finite):
        return logits, fault
    fault = [text if ok else text or NOT_FINITE for text, ok in zip(fault, finite, strict=True)]
    return look_at(fault), fault


def eight_bit(attack: Attack, x: torch.Tensor, candidates: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The images (N, C, H, W) as they are saved with 8 bits, within the attack's budget; and where there are such (N,).

    Halves are rounded up. Where rounding leaves the budget, linf: the nearest level within it; l1 and l2: the
    perturbation is shrunk until its rounded image is within.
    """
    x, wanted = x.double(), candidates.double().nan_to_num().clamp(0, 1)
    norm = attack.threat
    if norm is None or attack.budget is None:
        return _rounded(wanted).float(), torch.ones(len(x), dtype=torch.bool)
    most = allowed(attack.budget)
    if norm == "linf":
        low, high = (255 * (x - most)).ceil(), (255 * (x + most)).floor()
        saved = (255 * _rounded(wanted)).round().maximum(low).minimum(high).clamp(0, 255) / 255
    else:
        saved = _shrunk(x, wanted, norm, most)
    return saved.float(), size(saved - x, norm) <= most


def _shrunk(x: torch.Tensor, wanted: torch.Tensor, norm: Norm, most: float) -> torch.Tensor:
    """The rounded images of x + share (wanted - x), the largest share in steps of 1/64 where they are within `most`."""
    share, saved = torch.ones(len(x), dtype=x.dtype), _rounded(wanted)
    for _ in range(_SHARES):
        beyond = size(saved - x, norm) > most
        if not bool(beyond.any()):
            break
        share = torch.where(beyond, share - 1 / _SHARES, share)
        saved = _rounded(x + per_row(share, x) * (wanted - x))
    return saved


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """To the nearest of 256 levels, halves up, as images are saved."""
    return (255 * x + 0.5).floor() / 255


def _faults(attack: Attack, x: torch.Tensor, candidates: torch.Tensor) -> list[str]:
    flat = candidates.flatten(1)
    finite = flat.isfinite().all(1)
    outside = ((flat.amin(1) < 0) | (flat.amax(1) > 1)) & attack.boxed
    beyond, used = torch.zeros_like(finite), torch.zeros(len(x))
    if attack.threat is not None and attack.budget is not None:
        used = torch.cat([size((candidates[part] - x[part]).double(), attack.threat) for part in _parts(x)])
        beyond = used > allowed(attack.budget)
    return [
        "candidate not finite"
        if not finite[i]
        else "candidate leaves [0, 1]"
        if outside[i]
        else f"{attack.threat} size {float(used[i]):.6g} exceeds epsilon {attack.budget:.6g}"
        if beyond[i]
        else ""
        for i in range(len(x))
    ]


def _parts(x: torch.Tensor) -> Iterator[slice]:
    """Rows of images x (N, C, H, W), some at a time."""
    count = max(1, min(len(x), x.numel() // _NUMBERS))
    return (slice(len(x) * i // count, len(x) * (i + 1) // count) for i in range(count))


def _sizes(x: torch.Tensor, candidates: torch.Tensor) -> dict[str, torch.Tensor]:
    found = [_measured(x[part], candidates[part]) for part in _parts(x)]
    return {name: torch.cat([one[name] for one in found]) for name in found[0]}


def _measured(x: torch.Tensor, candidates: torch.Tensor) -> dict[str, torch.Tensor]:
    x, r = x.double(), candidates.double() - x.double()
    l0, l1, l2, linf = (size(r, norm) for norm in ("l0", "l1", "l2", "linf"))
    return {
        "l0": (r != 0).any(1).flatten(1).sum(1),
        "l0_components": l0.long(),
        "l1": l1,
        "l2": l2,
        "linf": linf,
        "rho": l2 / size(x, "l2"),
        "rho_linf": linf / size(x, "linf"),
        "rho_l0": l0 / size(x, "l0"),
        "rho_l1": l1 / size(x, "l1"),
        "rmsd": 255 * l2 / x[0].numel() ** 0.5,
    }


def rank(logits: torch.Tensor, label: torch.Tensor) -> list[int]:
    """How many classes score above `label` (N,) in logits (N, K)."""
    ranks: list[int] = (logits > logits.gather(1, label[:, None])).sum(1).tolist()
    return ranks
