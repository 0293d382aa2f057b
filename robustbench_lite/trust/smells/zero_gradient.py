"""Did the attack have gradients to follow?"""

from __future__ import annotations

import numpy as np

from robustbench_lite.trust.smell import Case, Finding, doubt, fine, register

_MOST = 0.05
_WHY = (
    "Where a gradient is exactly zero, because activations saturate, a quantiser has no slope or float32 underflows, a "
    "gradient attack stands still and the classifier looks robust without being so. A classifier that is fooled "
    "already may also have none left: only samples that were not broken count."
)
_REMEDY = "Attack with a loss that does not saturate, with random restarts, or without gradients (square)."


@register("zero_gradient", "gradients", _WHY, _REMEDY)
def zero_gradient(case: Case, everything: tuple[Case, ...]) -> Finding:  # noqa: ARG001
    seen = case.seen or case.scored
    broken = np.any([one.success for one in seen], axis=0)
    stuck = (seen[0]["zero_gradient"] > 0) & ~broken
    text = f"{int(stuck.sum())} of {len(stuck)} samples met a zero gradient and were not broken"
    return doubt(text) if stuck.mean() > _MOST else fine(text)
