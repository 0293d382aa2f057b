"""The inception score and the Frechet inception distance, of torch-fidelity with Inception's own weights.

https://arxiv.org/abs/1606.03498 and https://arxiv.org/abs/1706.08500. No package index has the weights, and nothing is
downloaded here: whoever has the file names it, and it has to be the one that published numbers are taken with.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.models.finish import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["inception_scores"]

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"  # as torch-fidelity calls it
SHA256 = "6726825d"  # begins so, as it says in its name
_SPLITS = 10  # of the inception score: their mean and deviation, as in the paper


def inception_scores(images: torch.Tensor, real: torch.Tensor, weights: str | Path, rows: int = 64) -> dict[str, float]:
    """Of images (n, C, H, W) in [0, 1], C is 1 or 3: `inception_score`, its deviation over 10 splits, and `fid`.

    Published numbers are of 50,000 images; those of fewer are worse. Raises ModelError.
    """
    calculate = _calculate()
    path = Path(weights)
    if not path.is_file():
        raise ModelError(f"inception: expected the file {WEIGHTS} of torch-fidelity's releases, got {path}: no file")
    if not sha256_of(path).startswith(SHA256):
        raise ModelError(f"inception: {path} is not {WEIGHTS}: expected a SHA-256 that begins with {SHA256}")
    if min(len(images), len(real)) < _SPLITS:
        raise ModelError(f"inception: expected at least {_SPLITS} images of each kind, got {len(images)}, {len(real)}")
    found = calculate(
        input1=_bytes(images),
        input2=_bytes(real),
        isc=True,
        isc_splits=_SPLITS,
        fid=True,
        feature_extractor_weights_path=str(path),
        batch_size=rows,
        cuda=False,
        save_cpu_ram=True,  # images are loaded by this process
        cache=False,
        verbose=False,
    )
    return {
        "inception_score": float(found["inception_score_mean"]),
        "inception_score_deviation": float(found["inception_score_std"]),
        "fid": float(found["frechet_inception_distance"]),
    }


def _calculate() -> Callable[..., dict[str, float]]:
    """What torch-fidelity calls it. Raises ModelError where that is not installed."""
    try:
        found: Callable[..., dict[str, float]] = import_module("torch_fidelity").calculate_metrics
    except ImportError:
        raise ModelError("inception: needs torch-fidelity: pip install 'robustbench_lite[inception]'") from None
    return found


def _bytes(images: torch.Tensor) -> Any:
    """A dataset of images (3, H, W) in 8 bits, as files on a disk have them."""
    data = (images.expand(-1, 3, -1, -1) * 255).round().to(torch.uint8)
    return torch.utils.data.Subset(data, range(len(data)))  # type: ignore[arg-type]  # others would give tuples
