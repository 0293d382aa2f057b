"""The last steps of every loader: normalisation inside, eval mode, frozen parameters, a content hash, a probe."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.model import Card, Classifier
from robustbench_lite.models.bounds import check_file, check_tensors

if TYPE_CHECKING:
    from torch import nn

__all__ = ["channels_last", "content_hash", "finish", "load_state", "read_weights", "sha256_of"]


def finish(card: Card, net: nn.Module) -> Classifier:
    """A classifier that keeps the contract: logits (N, K) from images in [0, 1]. Raises ModelError where it cannot."""
    from robustbench_lite.models.archs.normalized import Normalized  # its class statement needs torch

    channels = card.size[0]
    for name, values in (("mean", card.mean), ("std", card.std)):
        if len(values) not in {1, channels}:
            raise ModelError(f"{card.name}: {name} has {len(values)} values for {channels} channels")
    if any(value <= 0 for value in card.std):
        raise ModelError(f"{card.name}: std must be positive, got {list(card.std)}")
    module = Normalized(net, card.mean, card.std).eval().requires_grad_(requires_grad=False)
    _probe(card, module)
    return Classifier(card.name, card, module, content_hash(net))


def channels_last(net: nn.Module) -> nn.Module:
    """The same network with its weights channels last.

    On the CPU a forward and backward pass of ours is then 1.0 to 1.9 times as fast. Not for modules of other people: a
    `view` in their code may not stand it.
    """
    out: nn.Module = net.to(memory_format=torch.channels_last)
    return out


def _probe(card: Card, module: nn.Module) -> None:
    """One grey image shows what the outputs look like before anything is attacked."""
    try:
        with torch.no_grad():
            out = module(torch.full((2, *card.size), 0.5))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{card.name}: fails on an image of size {list(card.size)}: {text}") from None
    if not isinstance(out, torch.Tensor) or tuple(out.shape) != (2, card.classes):
        shape = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise ModelError(f"{card.name}: expected logits (N, {card.classes}), got {shape}")


def content_hash(net: nn.Module) -> str:
    """16 hex digits over names, types, shapes and bytes of parameters and buffers; file names do not matter."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path, what: str) -> dict[str, torch.Tensor]:
    """A state dict from .safetensors, or from .pt/.pth without running code. Raises ModelError otherwise."""
    check_file(path, what)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # imports torch

            state = load_file(path)
        elif path.suffix in {".pt", ".pth", ".bin", ".ckpt", ".tar", ".th"}:
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            raise ModelError(f"{what}: expected a .safetensors, .pt or .pth file, got '{path.name}'")
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  (unpicklers fail in every way there is)
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"{what}: '{path.name}' holds more than weights or is damaged, and was not loaded ({type(error).__name__}: "
            f"{reason[:120]}); save it as .safetensors"
        ) from None
    return _plain(state, what, path)


def _plain(state: object, what: str, path: Path) -> dict[str, torch.Tensor]:
    """The tensors by name: training scripts wrap them in `state_dict`, DataParallel prefixes them with `module.`."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ModelError(f"{what}: expected a state dict of tensors in '{path.name}'")
    check_tensors(state.values(), path.stat().st_size, what, path.name)
    return {
        str(name).removeprefix("module."): value.float() if value.is_floating_point() else value
        for name, value in state.items()
    }


def load_state(net: nn.Module, state: dict[str, torch.Tensor], what: str) -> None:
    """Load strictly; the sentence names what is missing, unexpected or of another shape."""
    own = net.state_dict()
    # counters of training batches, which published files often leave out, as PyTorch itself allows
    state = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")} | state
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    odd = [
        f"{k} {tuple(state[k].shape)} for {tuple(own[k].shape)}"
        for k in own.keys() & state.keys()
        if own[k].shape != state[k].shape
    ]
    complaints = [
        f"{word} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for word, names in (("missing", missing), ("unexpected", extra), ("wrong shape", sorted(odd)))
        if names
    ]
    if complaints:
        raise ModelError(f"{what}: the weights do not fit the architecture: {'; '.join(complaints)}")
    net.load_state_dict(state)
