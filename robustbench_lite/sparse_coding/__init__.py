"""Multi-layer convolutional sparse coding: signals of known representations, pursuits, what is promised of them."""

from robustbench_lite.sparse_coding.adversary import adversarial_noise, random_noise
from robustbench_lite.sparse_coding.basis_pursuit import basis_pursuit, layered_basis_pursuit, optimality_gap
from robustbench_lite.sparse_coding.design import Design, designs, incoherent, orthogonal, sparse
from robustbench_lite.sparse_coding.dictionary import Dictionary, normalised
from robustbench_lite.sparse_coding.local import energy, patch_sparsity, shrunk, stripe_sparsity
from robustbench_lite.sparse_coding.model import Layers, Signals
from robustbench_lite.sparse_coding.pursuit import PURSUITS, Pursuit, PursuitName
from robustbench_lite.sparse_coding.stability import MODELS, Measured, Setup, Under, measure, stability, sweep
from robustbench_lite.sparse_coding.theorems import (
    Promise,
    layered_basis_pursuit_promises,
    thresholding_levels,
    thresholding_promises,
    unique,
)
from robustbench_lite.sparse_coding.theorems import stability as stability_bounds
from robustbench_lite.sparse_coding.thresholding import cnn, layered_thresholding, threshold

__all__ = [
    "MODELS",
    "PURSUITS",
    "Design",
    "Dictionary",
    "Layers",
    "Measured",
    "Promise",
    "Pursuit",
    "PursuitName",
    "Setup",
    "Signals",
    "Under",
    "adversarial_noise",
    "basis_pursuit",
    "cnn",
    "designs",
    "energy",
    "incoherent",
    "layered_basis_pursuit",
    "layered_basis_pursuit_promises",
    "layered_thresholding",
    "measure",
    "normalised",
    "optimality_gap",
    "orthogonal",
    "patch_sparsity",
    "random_noise",
    "shrunk",
    "sparse",
    "stability",
    "stability_bounds",
    "stripe_sparsity",
    "sweep",
    "threshold",
    "thresholding_levels",
    "thresholding_promises",
    "unique",
]
