"""The last steps of every loader: normalisation inside, eval mode, frozen parameters, a content hash, a probe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.foreign import blamed
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Card, Classifier, Preprocess
from robustbench_lite.text import plural

if TYPE_CHECKING:
    from torch import nn

__all__ = ["channels_last", "content_hash", "finish", "sha256_of"]


def finish(card: Card, net: nn.Module, steps: Preprocess | None = None) -> Classifier:
    """A classifier that keeps the contract: logits (N, K) from images in [0, 1]. Raises ModelError where it cannot.

    `steps`: done to images of the card's size before they are normalised.
    """
    from robustbench_lite.models.archs.normalized import Normalized, TwoClasses  # they need torch

    channels = card.size[0]
    for name, values in (("mean", card.mean), ("std", card.std)):
        if len(values) not in {1, channels}:
            given, wanted = plural(len(values), "value"), plural(channels, "channel")
            raise ModelError(f"{card.name}: {name} has {given} for {wanted}")
    if any(value <= 0 for value in card.std):
        raise ModelError(f"{card.name}: std must be positive, got {list(card.std)}")
    _initialised(card, net)
    module: nn.Module = Normalized(net, card.mean, card.std).eval().requires_grad_(requires_grad=False)
    if steps is not None:
        from robustbench_lite.models.archs.preprocessed import Preprocessed  # its class statement needs torch

        module = Preprocessed(module, steps.resize, steps.crop, steps.interpolation).eval()
    _usable(card, module)
    module, two, notes = _unwrapped(card, module)
    if _has_one_logit(card, module, two):
        module, card = TwoClasses(module), card.model_copy(update={"classes": 2})
        notes += ("one logit z is read as two classes with the logits 0 and z: class 1 where z > 0",)
    return Classifier(card.name, card, module.eval(), content_hash(net), notes=notes)


def channels_last(net: nn.Module) -> nn.Module:
    """The same network with its weights channels last.

    On the CPU a forward and backward pass of ours is then 1.0 to 1.9 times as fast. Not for modules of other people: a
    `view` in their code may not stand it.
    """
    out: nn.Module = net.to(memory_format=torch.channels_last)
    return out


def _initialised(card: Card, net: nn.Module) -> None:
    lazy = [name for name, value in net.named_parameters() if torch.nn.parameter.is_lazy(value)]
    if lazy:
        raise ModelError(
            f"{card.name}: {lazy[0]} is not initialised (a lazy module); run one batch through it and load its "
            "weights before returning it"
        )


def _usable(card: Card, module: nn.Module) -> None:
    """Raises ModelError for what cannot be evaluated image by image, with the layer's name."""
    for path, part in module.named_modules():
        if part.training:
            raise ModelError(
                f"{card.name}: {_inner(path) or 'the model'} is in training mode although eval() was called; it "
                "overrides train()"
            )
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is None:  # noqa: SLF001
            raise ModelError(
                f"{card.name}: {_inner(path)} ({type(part).__name__}) has no running statistics "
                "(track_running_stats=False) and normalises by the batch: a prediction would depend on its neighbours"
            )


def _inner(path: str) -> str:
    """The name of a part as its author knows it."""
    return path.removeprefix("net").removeprefix(".")


def _has_one_logit(card: Card, module: nn.Module, two: tuple[int, ...]) -> bool:
    """Grey images show what the outputs look like before anything is attacked. Raises ModelError for another shape.

    `two`: the shape of the outputs for two of them.
    """
    one, k = _shape(card, module, 1), card.classes
    if k <= 2 and two in {(2,), (2, 1)} and one in {(), (1,), (1, 1)}:
        return True
    if two != (2, k):
        raise ModelError(f"{card.name}: expected logits (N, {k}), got {two}")
    if one != (1, k):
        raise ModelError(
            f"{card.name}: expected logits (1, {k}) for a single image, got {one}; squeeze() takes the batch away too, "
            "use flatten(1)"
        )
    return False


def _unwrapped(card: Card, module: nn.Module) -> tuple[nn.Module, tuple[int, ...], tuple[str, ...]]:
    """The logits alone, of a network that returns them in a tuple, a dictionary or an object, and how it was read.

    With the shape of what two grey images give.
    """
    from robustbench_lite.models.archs.unwrapped import Unwrapped, place_of_logits  # it needs torch

    out = _answer(card, module, 2)
    if isinstance(out, torch.Tensor):
        return module, tuple(out.shape), ()
    kind, place = type(out).__name__, place_of_logits(out)
    if place is None:
        raise ModelError(
            f"{card.name}: expected logits (N, {card.classes}), got {kind} without `logits` or a tensor of two "
            "dimensions; wrap it so that it returns its logits"
        )
    which = "`logits`" if place == "logits" else f"entry {place!r}, its first tensor of two dimensions,"
    module = Unwrapped(module, place).eval()
    return module, _shape(card, module, 2), (f"it returns {kind}, of which {which} is read as the logits",)


def _shape(card: Card, module: nn.Module, n: int) -> tuple[int, ...]:
    """Of what n grey images give."""
    out = _answer(card, module, n)
    if not isinstance(out, torch.Tensor):
        raise ModelError(f"{card.name}: expected logits (N, {card.classes}), got {type(out).__name__}")
    return tuple(out.shape)


def _answer(card: Card, module: nn.Module, n: int) -> object:
    how = "an image" if n > 1 else "a single image"
    with blamed(f"{card.name}: fails on {how} of size {list(card.size)}", ModelError, "load"), torch.no_grad():
        out: object = module(torch.full((n, *card.size), 0.5))
    return out


def content_hash(net: nn.Module) -> str:
    """16 hex digits over names, types, shapes and bytes of parameters and buffers; file names do not matter."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name}|".encode())
        for part in _parts(value):
            digest.update(part)
    return digest.hexdigest()[:16]


def _parts(value: object) -> Iterator[bytes]:
    """What an entry of a state dict consists of; quantised layers keep tuples, numbers and types in theirs."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        yield f"{tensor.dtype}|{tuple(tensor.shape)}|".encode()
        if tensor.is_quantized:
            yield repr(tensor.dequantize().tolist()).encode()
        else:
            yield tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _parts(part)
    else:
        yield f"{type(value).__name__}:{value}|".encode()


def sha256_of(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
