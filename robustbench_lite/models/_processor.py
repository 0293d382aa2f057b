"""What an image processor of transformers does, in the terms of a card, and held against the processor itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.models._published import Published
from robustbench_lite.models.base import Preprocess

__all__ = ["processed"]

_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers
_CLOSE = 1e-3  # of normalised pixels
_ALIKE = 2 / 255  # of pixels on average: they are rounded


def processed(source: Published, folder: Path, config: Any, transformers: Any) -> dict[str, Any]:
    """`size`, `mean`, `std`, `interpolation` and `preprocess` of a card. Raises ModelError where they are unknown."""
    channels = getattr(config, "num_channels", 3)
    if not any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        return _stated(source, channels, getattr(config, "image_size", None))
    one = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    steps = _steps(one, source.title)
    mean, std = _normalisation(one)
    seen = {
        "size": (channels, *steps.crop),
        "mean": source.mean or mean,
        "std": source.std or std,
        "interpolation": steps.interpolation,
        "preprocess": steps,
    }
    if source.mean is None and source.std is None:
        _hold(one, mean, std, (channels, *steps.crop), source.title)
    if source.preprocess is not None:
        _hold_scaled(one, steps, (channels, *_larger(steps)), source.title)
    return seen


def _stated(source: Published, channels: int, side: Any) -> dict[str, Any]:
    """Without a processor's file the suite says it."""
    size = source.size or ((channels, side, side) if isinstance(side, int) else None)
    missing = [key for key, value in (("mean", source.mean), ("std", source.std), ("size", size)) if value is None]
    if missing:
        raise ModelError(f"{source.title}: it comes without preprocessor_config.json; state {', '.join(missing)}")
    return {"size": size, "mean": source.mean, "std": source.std}


def _steps(one: Any, what: str) -> Preprocess:
    size, crop = one.size, getattr(one, "crop_size", None) if getattr(one, "do_center_crop", False) else None
    part = getattr(one, "crop_pct", None)  # ConvNeXt's: scaled to more than is cut out
    resize: int | tuple[int, int] | None = None
    if size is not None and size.height and size.width:
        resize = size.height, size.width
    elif size is not None and size.shortest_edge:
        whole = size.shortest_edge
        cropped = part is not None and whole < 384
        resize = int(whole / part) if cropped else (whole, whole) if part is not None else whole
        crop = crop or type(size)(height=whole, width=whole)
    if resize is None and crop is None:
        raise ModelError(
            f"{what}: its image processor does not say which size; state `size`, `mean`, `std`, got {size}"
        )
    out = (crop.height, crop.width) if crop is not None else resize
    assert isinstance(out, tuple)
    scaled = resize if resize is not None and one.do_resize else out
    return Preprocess(resize=scaled, crop=out, interpolation=_FILTERS[int(one.resample if one.do_resize else 2)])


def _normalisation(one: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """For images in [0, 1]: the processor multiplies grey values by its factor, some shift them, then mean and std."""
    factor = 255 * (one.rescale_factor if one.do_rescale else 1.0)
    shift = 1.0 if one.do_rescale and getattr(one, "rescale_offset", False) else 0.0
    mean, std = (one.image_mean, one.image_std) if one.do_normalize else ((0.0,), (1.0,))
    return tuple((value + shift) / factor for value in mean), tuple(value / factor for value in std)


def _hold(one: Any, mean: tuple[float, ...], std: tuple[float, ...], size: tuple[int, ...], what: str) -> None:
    """Raises ModelError where the processor does more to an image of its size than normalise it (swaps channels)."""
    grey = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    off = {"do_resize": False, "do_center_crop": False}
    theirs = one(images=torch.from_numpy(grey), return_tensors="pt", input_data_format="channels_first", **off)
    x = torch.from_numpy(grey).float() / 255
    own = (x - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
    other = theirs["pixel_values"][0].float()
    if other.shape != own.shape or not bool(((other - own).abs() <= _CLOSE * (1 + own.abs())).all()):
        raise ModelError(
            f"{what}: its image processor ({type(one).__name__}) does more than scale, crop and normalise; wrap the "
            "network in code of yours that does it, or state `mean` and `std` if you know them"
        )


def _larger(steps: Preprocess) -> tuple[int, int]:
    """Height and width of images that have to be scaled."""
    height, width = (steps.resize, steps.resize) if isinstance(steps.resize, int) else steps.resize
    return height + height // 3 + 1, width + width // 2 + 1


def _hold_scaled(one: Any, steps: Preprocess, size: tuple[int, ...], what: str) -> None:
    """Raises ModelError where its scaling and cropping of an image (C, H, W) are others than the card says."""
    from robustbench_lite.models.archs.preprocessed import Preprocessed  # its class statement needs torch

    smooth = torch.rand((1, size[0], 8, 8), generator=torch.Generator().manual_seed(0))
    grey = (torch.nn.functional.interpolate(smooth, size[1:], mode="bilinear") * 255).round().to(torch.uint8)
    off = {"do_normalize": False, "do_rescale": False, "return_tensors": "pt", "input_data_format": "channels_first"}
    theirs = one(images=grey[0], **off)["pixel_values"].float() / 255
    own = Preprocessed(torch.nn.Identity(), steps.resize, steps.crop, steps.interpolation)(grey.float() / 255)
    if own.shape != theirs.shape or float((own - theirs).abs().mean()) > _ALIKE:
        raise ModelError(
            f"{what}: preprocess: its image processor ({type(one).__name__}) scales or crops by a rule of its own; "
            "leave `preprocess` out, and give images of its size"
        )
