"""What must hold of a classifier before it is attacked: outputs are logits, and the same however they are asked for.

Asked for in batches of 1, 7 and B, twice, and with gradients on and off. What is refused here breaks the contract for
certain; what only looks like it is a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustbench_lite.engine.judge import look
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.engine.pictures import Pictures
from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed
from robustbench_lite.guards.memory import chunked
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Scorer", "differences", "doubts_about", "drawn", "looked", "spread"]

_PROBE = 32  # images, drawn over the whole data set
_FEWER = 8  # of large ones, of which one takes as long as many small ones
_LARGE = 3 * 96 * 96
_ROUNDING = {"float32": 1e-3, "float64": 1e-3, "float16": 1e-2, "bfloat16": 6e-2}  # of the logits' spread
_CLAMPED = 0.1  # of the outputs at one end: more is no chance


@dataclass(frozen=True)
class Scorer:
    """How a classifier is asked: by which name, where, and how many images together."""

    name: str
    module: nn.Module
    device: torch.device
    size: int

    def logits(self, x: Pictures, size: int | None = None) -> torch.Tensor:
        """Logits (N, K) of images x (N, C, H, W), on the CPU, as the judge asks."""
        return look(self.module, x, self.device, size or self.size)

    def recorded(self, x: torch.Tensor) -> torch.Tensor:
        """The same as an attack asks: gradients are recorded."""

        def some(part: slice) -> torch.Tensor:
            return logits_of(self.module, x[part].to(self.device).requires_grad_()).detach().cpu()

        with torch.enable_grad():
            parts, _ = chunked(some, len(x), self.size)
        return torch.cat(parts)


def looked(scorer: Scorer, x: Pictures, classes: int | None = None) -> torch.Tensor:
    """Logits (N, K) of all clean images x (N, C, H, W), on the CPU; of `classes` where that is known.

    Raises ModelError where the contract is broken.
    """
    name = scorer.name
    with blamed(name, ModelError, "inspect"):
        training = [path or "the model" for path, part in scorer.module.named_modules() if part.training]
        if training:
            raise ModelError(f"{name}: {training[0]} is in training mode although eval() was called")
        logits = scorer.logits(x)
        dtype = _dtype(scorer, x[:1])
        _check_outputs(name, logits, classes, dtype)
        _check_consistent(name, scorer, x, logits, dtype)
    return logits


def _check_outputs(name: str, logits: torch.Tensor, classes: int | None, dtype: str) -> None:
    if logits.ndim != 2 or logits.shape[1] != (classes or logits.shape[1]):
        raise ModelError(f"{name}: expected logits (N, {classes or 'K'}), got {tuple(logits.shape)}")
    broken = int((~logits.isfinite().all(1)).sum())
    if broken:
        raise ModelError(f"{name}: logits are not finite on {broken} of {len(logits)} clean images")
    sums, close = logits.double().sum(1), _ROUNDING[dtype] / 3
    if bool((logits >= 0).all() & ((sums - 1).abs() < close).all()):
        raise ModelError(f"{name}: outputs are probabilities (rows sum to 1), expected logits; remove the softmax")


def _check_consistent(name: str, scorer: Scorer, x: Pictures, logits: torch.Tensor, dtype: str) -> None:
    """Raises ModelError where logits depend on the call, on the batch, or on whether gradients are recorded."""
    index = drawn(x)
    probe, reference = x[index], logits[index]
    allowed = _allowed(logits, reference, dtype)
    if gap := _gap(scorer.logits(x[: scorer.size]), logits[: scorer.size], allowed):
        raise ModelError(
            f"{name}: two calls on the same images give different logits ({gap}); a random layer (dropout, noise) is "
            "active; say `expectation: 20` on this classifier in a suite, or expectation=20 in a call: gradients and "
            "verdicts are then those of the mean over so many draws"
        )
    company = torch.cat([probe, *[0.5 * probe.flip(-1)] * (_FEWER // len(probe))])  # where there are few images
    for size in dict.fromkeys((1, 7, scorer.size)):
        if gap := _gap(scorer.logits(company, size)[: len(probe)], reference, allowed):
            raise ModelError(
                f"{name}: logits change with the batch size or with the other images of a batch ({gap}, in batches of "
                f"{size}); a layer mixes the samples of a batch"
            )
    if gap := _gap(scorer.recorded(probe), reference, allowed):
        raise ModelError(
            f"{name}: logits change when gradients are recorded ({gap}); it looks at torch.is_grad_enabled() or "
            "requires_grad, and an attack would see another classifier than the judge"
        )


def drawn(x: Pictures) -> torch.Tensor:
    """Places (m,) of the images that are asked about again, over the whole data set."""
    most = _PROBE if math.prod(x.shape[1:]) <= _LARGE else _FEWER
    return torch.linspace(0, len(x) - 1, min(most, len(x))).round().long()


def spread(logits: torch.Tensor) -> float:
    """By how much logits (N, K) differ, between images or between the first class and the middle one.

    Medians: a class that is switched off at -1e9, or an offset of all, says nothing.
    """
    between_images = (logits.amax(0) - logits.amin(0)).median()
    between_classes = (logits.amax(1) - logits.median(1).values).median()
    return float(torch.maximum(between_images, between_classes))


def differences(other: torch.Tensor, reference: torch.Tensor, dtype: str = "float32") -> str:
    """How two answers (N, K) to the same images differ by more than rounding, in words; empty where they do not."""
    return _gap(other, reference, _allowed(reference, reference, dtype))


def _allowed(logits: torch.Tensor, reference: torch.Tensor, dtype: str) -> torch.Tensor:
    """By how much (K,) a logit may move: a part of the logits' spread, and what a float does not hold of it."""
    return _ROUNDING[dtype] * spread(logits) + 8 * torch.finfo(torch.float32).eps * reference.abs().amax(0)


def _gap(other: torch.Tensor, reference: torch.Tensor, allowed: torch.Tensor) -> str:
    """How two answers differ, in words; empty where that is rounding."""
    if other.shape != reference.shape:
        return f"{tuple(other.shape)} instead of {tuple(reference.shape)}"
    far = ~((other - reference).abs() <= allowed)
    if not bool(far.any()):
        return ""
    most = float((other - reference).abs()[far].max()) / max(spread(reference), 1e-30)
    flipped = int((other.argmax(1) != reference.argmax(1)).sum())
    return f"by up to {100 * most:.2g} % of their spread, {flipped} of {len(reference)} predictions change"


def _dtype(scorer: Scorer, x: torch.Tensor) -> str:
    """The coarsest type that is computed in, also inside of autocast: what rounding is like."""
    from torch.overrides import TorchFunctionMode

    seen: set[str] = set()

    class Watch(TorchFunctionMode):  # sees what Python calls, and costs no import (a dispatch mode costs seconds)
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                seen.add(str(out.dtype))
            return out

    with suppress(Exception), torch.no_grad(), Watch():  # compiled modules may refuse to be watched
        scorer.module(x.to(scorer.device))
    known = {name.removeprefix("torch.") for name in seen} & _ROUNDING.keys() or {"float32"}
    return max(known, key=lambda name: _ROUNDING[name])


def doubts_about(logits: torch.Tensor) -> Iterator[str]:
    """What makes the outputs (N, K) on clean images look like something else than logits, a sentence each."""
    low, high = float(logits.min()), float(logits.max())
    sums = logits.double().sum(1)
    if low >= 0 and high <= 1:
        yield (
            "outputs lie in [0, 1]: sigmoid or softmax outputs instead of logits? gradients vanish where they "
            "saturate, and the classifier looks more robust than it is"
        )
    elif 0 <= low <= 0.1 * float(sums.mean()) / logits.shape[1] and float(sums.max() - sums.min()) <= 2e-2 * high:
        yield (
            f"outputs are not negative and every row sums to {float(sums.mean()):.4g}: a scaled softmax instead of "
            "logits? gradients vanish where it saturates, and the classifier looks more robust than it is"
        )
    live = logits[:, logits.amax(0) > logits.amin(0)]  # a class that is switched off is always the same
    for end, name in ((low, "smallest"), (high, "largest")):
        count = int((live == end).sum())
        share = count / max(live.numel(), 1)
        if count > 2 and share > _CLAMPED:
            yield (
                f"outputs are cut off: {100 * share:.0f} % are exactly the {name} one, {end:.4g}, instead of logits? "
                "gradients vanish there, and the classifier looks more robust than it is"
            )
