"""Attacks of others, for tests: what each does is known exactly. Imported afresh by `call:`."""

from __future__ import annotations

import random

import numpy as np
import torch

STEP = 0.25


def honest(model, images, labels, epsilon):
    """Up the difference of the two logits of a classifier with weights +-1: exact, one pass each way."""
    leaf = images.clone().requires_grad_()
    logits = model(leaf)
    gap = logits.sum(1) - 2 * logits.gather(1, labels[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(gap.sum(), leaf)
    return (images + epsilon * gradient.sign()).clamp(0, 1)


def towards(model, images, targets, step=STEP):
    return (images + step * (2 * targets.float() - 1).view(-1, 1, 1, 1)).clamp(0, 1)


def liar(model, images, labels):
    """Changes nothing and says that all succeed."""
    return images, torch.ones(len(images), dtype=torch.bool)


def nothing_but_nan(model, images, labels):
    return images * float("nan")


def too_far(model, images, labels):
    return images + 0.5


def flat(model, images, labels):
    return images.flatten(1)


def picky(model, images, labels, epsilon):
    """Cannot stand images that are dark in the first pixel."""
    if (images[:, 0, 0, 0] < 0.05).any():
        raise ValueError("too dark")
    return honest(model, images, labels, epsilon)


def careless(model, images, labels, epsilon):
    """Writes into what it was given."""
    made = honest(model, images, labels, epsilon)
    images.fill_(7), labels.fill_(0)
    torch.set_default_dtype(torch.float64)
    model.train()
    return made


def confused(model, images, labels, epsilon):
    """Takes every label for the other class, and so walks away from the boundary."""
    return honest(model, images, 1 - labels, epsilon)


def drawn(model, images, labels):
    """From each of the three global generators."""
    theirs = torch.from_numpy(np.random.rand(len(images), 1, 1, 1))  # noqa: NPY002
    noise = torch.rand(images.shape) + theirs + random.random()
    return (images + 0.01 * noise).clamp(0, 1)


def shy(model, images, labels):
    """Asks about every image once together, then about the first of them alone, without a gradient."""
    model(images), model(images[:1])
    return images


def broken(model, images, labels):
    raise RuntimeError("always")
