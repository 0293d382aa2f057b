"""The words that a new user meets, each in a sentence or two: for `describe WORD`, the page and docs/glossary.md."""

from __future__ import annotations

import re

__all__ = ["WORDS", "explained", "markdown", "meant"]

WORDS = {
    "attack": "A method that changes an image so that a classifier errs. It proposes; the judge decides.",
    "variant": (
        "An attack with its parameters as a suite configures it, such as pgd(norm=l2, epsilon=0.5). Two variants of "
        "one attack are two rows of every table."
    ),
    "cell": (
        "One experiment: one attack variant on one classifier (or several together) and one data set. It is stored "
        "whole or not at all, under a hash of everything that changes its outcome."
    ),
    "suite": "A YAML file that names data, classifiers, attacks and tables; every combination is a cell.",
    "card": (
        "What a classifier states about itself: architecture, normalisation, classes, licence, and the accuracy that "
        "it must reach on clean images; a run compares."
    ),
    "sources": (
        "The classifiers that an attack could see. Its images may be shown to others too, which were not among them."
    ),
    "white box": "The attack sees the classifier that is scored: its outputs and their gradients.",
    "black box": "The classifier that is scored was not seen by the attack: the images were made for others.",
    "threat model": (
        "What the attacker may do: how an image is changed and by how much at most. Only numbers of one threat model "
        "are compared with each other."
    ),
    "budget": (
        "How large a change may be (epsilon), in a norm: linf is the largest change of a pixel, l2 the Euclidean "
        "length, on images in [0, 1]; 8/255 are eight steps of an 8-bit image."
    ),
    "minimal attack": "An attack without a budget: it looks for the smallest change that fools the classifier.",
    "goal": (
        "When an attack has succeeded. Goal label: the prediction is not the true class; goal prediction: not the "
        "class predicted before; goal target: it is a given class."
    ),
    "judge": (
        "The part that scores every changed image again in a fresh pass and checks budget and pixel range; what breaks "
        "a rule is a failure with a reason, never a success."
    ),
    "robust accuracy": (
        "The share of all images that are classified correctly before and after the attack; with several attacks, "
        "after every one of them: a worst case, for which every success within the budget counts, whoever had it."
    ),
    "success": (
        "The share of images on which the attack reached its goal, of all, or of those that were classified correctly "
        "before."
    ),
    "rho_adv": (
        "The mean size of the smallest change found, relative to the size of the image: ||r|| / ||x||. The larger, the "
        "more robust; DeepFool's measure."
    ),
    "survives in 8 bits": (
        "An adversarial image that still fools the classifier after its pixels are rounded to 256 levels, as they are "
        "when it is saved as a PNG."
    ),
    "near tie": (
        "Two classes whose scores are so close that rounding decides. With another batch size the verdict may fall the "
        "other way; such samples are counted."
    ),
    "margin": "How far the judged class is ahead of the next one, in logits; small: the verdict is close.",
    "bracket": (
        "A test of the attack itself: on classifiers whose smallest change is known exactly it must fail just below "
        "that size and succeed just above it."
    ),
    "worst case": (
        "Robust under every attack of a run within the budget: an image counts as broken if any of them breaks it. A "
        "robust accuracy is read from it; the number of a single attack is only an upper bound."
    ),
    "smell": "A sign in the results that a number may mislead, such as gradients that are exactly zero.",
    "trust": (
        "Whether a number can be believed. Every cell is held against the checks of the table trust, each of which "
        "says ok, warning, red or cannot tell."
    ),
    "red": (
        "A check has found that the number does not stand: it is no headline, no improvement and no new baseline. "
        "Table trust says why, and what to do."
    ),
    "warning": (
        "Yellow on a page: a check has found what a reader must know; the number stands. Say it beside the number."
    ),
    "cannot tell": "A check that these results cannot decide, such as more steps where nothing ran longer. No fault.",
    "zero gradient": (
        "A gradient of exactly zero, which gives an attack no direction: saturation or masking, not robustness."
    ),
    "view": "An image as it looks after a random transformation; some attacks must succeed in most views.",
    "published": "A number from a paper, shown for comparison and never measured here; its source stands with it.",
    "interval": (
        "The numbers in brackets, such as [2.8, 12.5]: the range of values that the samples do not rule out, at 95 % "
        "confidence."
    ),
    "tied": "A paired test on the same samples cannot tell the two apart; another set of images may reverse them.",
    "local energy": (
        "The largest Euclidean length of a patch of an image, of noise or of an error: what the theorems of sparse "
        "coding bound (docs/sparse_coding.md)."
    ),
    "stripe": (
        "All atoms of a sparse representation that overlap one position; how many of them are not zero decides what is "
        "promised."
    ),
    "gate": "A limit that a merge must keep, checked against a baseline that was stored before.",
    "baseline": "A run as a small file for git, per cell and sample: `baseline` writes it, `check` compares with it.",
    "calibration": (
        "What a run does first: every attack is tried, as it is configured, on classifiers whose answer is known "
        "exactly (the bracket)."
    ),
    "passes": "Forwards and backwards through a classifier, counted per image: what an attack costs on any machine.",
    "shard": "A part of a cell's samples, stored as soon as it is done, so that a run can go on where it stopped.",
    "RMSD": "Root mean square deviation: the mean size of a change per pixel, on the scale from 0 to 255.",
}

_ALSO = {  # other words for these
    "yellow": "warning", "doubt": "red", "does not stand": "red", "in 8 bits": "survives in 8 bits", "rho": "rho_adv",
    "epsilon": "budget", "eps": "budget", "robust": "robust accuracy", "minimal perturbation": "minimal attack",
    "source": "sources", "calibrating": "calibration", "pass": "passes", "finding": "smell", "check": "smell",
}  # fmt: skip
_PLAIN = frozenset({"attack", "goal", "interval", "published", "success", "tied", "trust", "warning", "baseline"})
_FORMS = {"cell": "cells?", "near tie": "near[ _-]ties?", "sources": "sources?", "survives in 8 bits": "in 8 bits",
          "view": "views?", "interval": "intervals?", "smell": "smells?", "variant": "variants?", "card": "card",
          "minimal attack": "minimal (attack|perturbation)s?", "zero gradient": "(zero|0) grad(ient)?s?",
          "red": "RED|red|does not stand", "worst case": "worst cases?", "shard": "shards?"}  # fmt: skip


def meant(text: str) -> str:
    """The word of the glossary that somebody has typed, in whatever spelling or number; empty: none."""
    spoken = {_spoken(word): word for word in [*WORDS, *_ALSO]}
    word = next((spoken[form] for form in _forms(_spoken(text)) if form in spoken), "")
    return _ALSO.get(word, word)


def _spoken(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


def _forms(spoken: str) -> list[str]:
    return [spoken, spoken.removesuffix("s"), re.sub("ies$", "y", spoken)]


def explained(text: str) -> list[str]:
    """The words of the glossary, in its order, that occur in a text and say more than they do anywhere."""
    return [
        word
        for word in WORDS
        if word not in _PLAIN and re.search(rf"(?<!\w){_FORMS.get(word, re.escape(word))}(?!\w)", text)
    ]


def markdown() -> str:
    """docs/glossary.md."""
    lines = [f"**{word}**: {meaning}" for word, meaning in WORDS.items()]
    head = "# Words\n\nEvery word is also explained by `robustbench-lite describe WORD`, and on every page of `report`."
    return "\n\n".join([head, *lines]) + "\n"
