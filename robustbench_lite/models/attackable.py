"""What an entry asks for beside the classifier itself: other gradients, and the mean over draws of its randomness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import ModelError, UsageError
from robustbench_lite.guards.foreign import blamed
from robustbench_lite.lazy import torch
from robustbench_lite.models._stand_in import Named, imported, in_memory
from robustbench_lite.models.base import Classifier, ModelSource
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from torch import nn

__all__ = ["attackable"]

_NO_PART = (
    "expected a part of the network that gives no gradient, an nn.Module inside that returns a tensor of the shape it "
    "is given; found none: put what rounds or quantises into a module of its own, or leave this out"
)
_PROBED = 2  # random images on which gradients are tried
_ROUNDING = 0.05  # of a gradient's length, in the coarsest of types
_SHOWN = 3  # parts that a stand-in does not fit


def attackable(source: ModelSource, root: Path) -> Classifier:
    """The classifier as its entry says: gradients through a stand-in, and the mean over draws of its own randomness.

    Raises ModelError where it cannot be loaded, or where there is no part for the stand-in.
    """
    classifier = source.load(root)
    own = source.stand_in is not None or source.stand_in_memory is not None
    if own:
        classifier = _with_stand_in(classifier, source, root)
    elif source.backward is not None:
        classifier = _identity(classifier)
    if source.expectation is not None:
        classifier = _mean(classifier, source.expectation)
    if own:
        _check_alone(classifier)
    return classifier


def _identity(classifier: Classifier) -> Classifier:
    from robustbench_lite.models.archs.straight import go_straight  # its class statement needs torch

    with blamed(classifier.name, ModelError, "load"):
        detour = go_straight(classifier.module, _random(classifier), within=_net(classifier.module))
    if not detour.taken:
        raise ModelError(f"{classifier.name}: backward: identity: {_NO_PART}")
    return _with(classifier, {"backward": "identity"}, f"gradients go straight through {', '.join(detour.taken)}")


def _with_stand_in(classifier: Classifier, source: ModelSource, root: Path) -> Classifier:
    if source.stand_in and not source.trust:
        raise ModelError(f"{classifier.name}: 'backward: python:' runs code; say `trust: true` if you trust it")
    failing = f"{classifier.name}: backward: {':'.join(source.stand_in or ())}".removesuffix(": ")
    try:
        with blamed(failing, ModelError, "load"):
            if source.stand_in is None:
                return _led_through(classifier, in_memory(source.stand_in_memory))
            with imported(*source.stand_in, root) as named:
                return _led_through(classifier, named)
    except ModelError:
        raise
    except UsageError as error:
        raise ModelError(f"{failing}: {error}") from None


def _led_through(classifier: Classifier, named: Named) -> Classifier:
    from robustbench_lite.models.archs.straight import go_straight  # its class statement needs torch

    net = _net(classifier.module)
    detour = go_straight(classifier.module, _random(classifier), named.stand_in, net)
    if not detour.taken:
        found = "; ".join(detour.refused[:_SHOWN]) or "every part gives one"
        raise ModelError(
            f"{classifier.name}: backward: {named.title}: expected a part of the network that gives no gradient, and "
            f"a stand-in that makes of what that is given a tensor of the same shape: {found}"
        )
    if isinstance(named.stand_in, torch.nn.Module):
        classifier.module.add_module("stand_in", named.stand_in)  # goes to the device with it, and stays as it is
    where = ", ".join(name or "the whole network" for name in detour.taken)
    return _with(classifier, {"backward": named.code()}, f"gradients go through {named.title} in the place of {where}")


def _mean(classifier: Classifier, draws: int) -> Classifier:
    from robustbench_lite.engine.expectation import Expectation  # its class statement needs torch

    note = f"the mean over {draws} draws of its own randomness; each is an own pass, and counted as part of one"
    module = Expectation(classifier.module, draws).eval()
    with blamed(classifier.name, ModelError, "load"):
        alone = module.try_batches(_random(classifier))
    note += f"; images go through one by one, which is slow: in batches {alone}" if alone else ""
    return replace(_with(classifier, {"expectation": draws}, note), module=module, draws=draws)


def _with(classifier: Classifier, change: dict[str, object], note: str) -> Classifier:
    """Known by the change as well, of which a note tells."""
    weights = fingerprint([classifier.weights, change])
    return replace(classifier, weights=weights, notes=(*classifier.notes, note))


def _check_alone(classifier: Classifier) -> None:
    """Raises ModelError where an image's gradient depends on the others of a batch, or is another each time."""
    x = _random(classifier)
    with blamed(classifier.name, ModelError, "load"):
        together, alone = _gradient(classifier.module, x)[:1], _gradient(classifier.module, x[:1])
    if not bool((together - alone).norm() <= _ROUNDING * alone.norm()):
        raise ModelError(
            f"{classifier.name}: backward: the gradient of an image changes with the batch it is in, or from call to "
            "call; a stand-in treats every image by itself, and one that is random needs `expectation: 20`"
        )


def _gradient(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Of the sum of all logits, weighted so that no shift of them goes unseen, in x (N, C, H, W)."""
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        logits = module(leaf.clone())
        weights = torch.linspace(1, 2, logits.shape[1], dtype=logits.dtype)
        (gradient,) = torch.autograd.grad((logits * weights).sum(), leaf)
    return gradient.double()


def _random(classifier: Classifier) -> torch.Tensor:
    """A few images that are nothing but noise, the same every time."""
    return torch.rand((_PROBED, *classifier.card.size), generator=torch.Generator().manual_seed(0))


def _net(module: nn.Module) -> nn.Module:
    """The network as its author knows it, behind what `finish` puts around it."""
    from robustbench_lite.models.archs.normalized import Normalized, TwoClasses  # they need torch
    from robustbench_lite.models.archs.preprocessed import Preprocessed
    from robustbench_lite.models.archs.unwrapped import Unwrapped

    for around in (TwoClasses, Unwrapped, Preprocessed, Normalized):
        module = module.net if isinstance(module, around) else module
    return module
