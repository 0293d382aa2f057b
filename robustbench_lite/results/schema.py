"""What is stored: one row per sample and scored classifier, one row per cell. The only schema; columns are only added.

Units: images in [0, 1]; `l0` counts pixels (all channels of a pixel together), `l0_components` every number by itself,
which is the norm l0; `rmsd` on the 0-255 scale; `seconds` of wall time. Passes and seconds belong to the attack: they
are equal on all rows that score the same adversarial image.
`rho` is ||r||_2 / ||x||_2; `rho_linf`, `rho_l1` and `rho_l0` are the same in these norms; x is the clean image.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Literal, NamedTuple

import pyarrow as pa

__all__ = [
    "ARTIFACTS",
    "CELLS",
    "FILE_VERSION",
    "GENERATED",
    "GENERATORS",
    "IMAGES",
    "SAMPLES",
    "SCHEMA_VERSION",
    "TRAINING",
    "Caveat",
    "Row",
    "earliest",
    "size_column",
]

SCHEMA_VERSION = 1  # of what rows mean: part of a cell's id
FILE_VERSION = 2  # of the files: 2 has a digest of its bytes, and no nulls where none may be
Row = dict[str, Any]


class Caveat(NamedTuple):
    """A warning in one sentence: what a reader must know before believing a number. `kind`: who looks for it."""

    kind: Literal["clean_accuracy", "outputs", "gradients", "other"]
    text: str


_META = {b"robustbench_lite.schema": str(FILE_VERSION).encode()}
_text, _real, _int, _bool = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_ADDED = {"label_rank", "sources"}  # the first columns that files of version 1 may lack, with all that follow


def _always(name: str, kind: pa.DataType) -> pa.Field:
    """A column without nulls: one in which there is a null is damaged."""
    return pa.field(name, kind, nullable=False)


def size_column(norm: str) -> str:
    """The column with sizes in a norm; `l0` was the name of the pixels that are changed before it was a norm."""
    return "l0_components" if norm == "l0" else norm


def earliest(schema: pa.Schema) -> list[str]:
    """The columns that even the oldest file has."""
    return list(takewhile(lambda name: name not in _ADDED, schema.names))


SAMPLES = pa.schema(
    [
        _always("cell", _text),
        _always("suite", _text),
        _always("dataset", _text),
        _always("sample", _text),  # content hash of the image: the same in every source and order
        _always("label", _int),  # the true label
        ("target", _int),  # null when untargeted
        _always("source", _text),  # the classifier(s) that the attack saw, joined by "+"
        _always("model", _text),  # the classifier that this row scores
        ("weights", _text),  # content hash of the scored classifier's weights
        _always("attack", _text),  # the registered name
        _always("variant", _text),  # what tables call it: the name, plus the parameters that tell two of them apart
        ("params", _text),  # every parameter, canonical JSON
        ("norm", _text),  # the norm that the attack bounds or minimises: l1, l2, linf; null: none
        ("eps", _real),  # the budget; null: a minimal perturbation
        _always("goal", _text),  # what success is measured against: label, prediction, target
        _always("clean_pred", _int),
        _always("clean_correct", _bool),
        ("clean_confidence", _real),
        _always("adv_pred", _int),
        ("adv_confidence", _real),
        _always("success", _bool),  # the judge's verdict, in a fresh forward pass
        _always("success_8bit", _bool),  # the same after rounding to 8 bits
        ("margin", _real),  # > 0 exactly when the goal is reached: logit gap in the goal's direction
        _always("near_tie", _bool),  # |margin| so small that another batch size may decide otherwise
        ("l0", _int),
        ("l1", _real),
        ("l2", _real),
        ("linf", _real),
        ("rho", _real),
        ("rho_linf", _real),
        ("rmsd", _real),
        ("forwards", _int),
        ("backwards", _int),
        ("zero_gradient", _int),  # steps in which this sample's gradient was exactly zero
        ("seconds", _real),  # this sample's share of the steps in which it was active
        _always("status", _text),  # "ok", or why the attack on this sample failed
        ("label_rank", _int),  # how many classes score above the true label on the adversarial image; 0: top-1
        ("target_rank", _int),  # the same of the target; null when untargeted
        ("control_pred", _int),  # the prediction under a random perturbation of the same size; null: not scored
        ("transform", _text),  # what was done to the image, canonical JSON: angle (degrees), dx, dy (pixels), ...
        ("draws", _int),  # fresh random views that were scored of each image; null: the attack is not seen through any
        ("draws_target", _int),  # of these, views of the adversarial image classified as the target; null: untargeted
        ("draws_label", _int),  # as the true label
        ("clean_draws_target", _int),  # the same two for the original image, in the same views
        ("clean_draws_label", _int),
        ("adv_second", _int),  # the class that the adversarial image is taken for next after adv_pred
        ("adv_second_confidence", _real),
        ("l0_components", _int),  # the norm l0: how many numbers of the image are changed; null: an older run
        ("rho_l0", _real),
        ("rho_l1", _real),
        ("broken_by", _text),  # which attack of a cascade broke the sample; null: none, or there is but one attack
        ("certified_class", _int),  # what the scored classifier is proven to answer near the clean image; -1: abstained
        ("certified_radius", _real),  # the l2 radius within which; null, as the class: it comes with no certificate
    ],
    metadata=_META,
)

CELLS = pa.schema(
    [
        _always("cell", _text),
        _always("suite", _text),
        _always("dataset", _text),
        ("data", _text),  # canonical JSON of the selection, with the hash of the sample ids
        _always("n", _int),
        _always("source", _text),
        _always("models", pa.list_(_text)),  # the classifiers that were scored
        ("weights", _text),  # canonical JSON: classifier -> content hash
        _always("attack", _text),
        _always("variant", _text),
        _always("params", _text),
        ("version", _int),  # of the attack's code
        ("norm", _text),
        ("eps", _real),
        _always("goal", _text),
        ("seed", _int),
        _always("status", _text),  # "ok" or "failed"
        ("error", _text),  # the reason, one sentence
        ("warnings", pa.list_(_text)),  # what a reader must know before believing a number
        ("notes", pa.list_(_text)),  # what the attack has to say (the epsilon that it found, ...)
        ("clean_accuracy", _real),
        ("card_accuracy", _real),  # what the card promises on this dataset; null: nothing
        ("card_test_error", _real),  # on the official test set, from the card
        ("forwards", _int),  # summed over samples
        ("backwards", _int),
        ("near_ties", _int),
        ("seconds", _real),  # wall time of the attack, without the judge
        ("seconds_forward", _real),  # of it inside forward passes
        ("seconds_backward", _real),  # of it inside backward passes
        ("seconds_judge", _real),
        ("seconds_alone", _real),  # per sample at batch size 1, median over a few samples
        ("batch_size", _int),
        ("device", _text),
        ("provenance", _text),  # canonical JSON: versions, machine, times
        ("sources", pa.list_(_text)),  # the classifiers that the attack saw
        ("classes", _int),  # how many classes there are
        ("fit_n", _int),  # images that a perturbation for all was fitted on; null: none is
        ("fit_rate", _real),  # the share of them that it fools
        ("stage", _text),  # when it failed: plan, load, inspect, attack, judge, store; null: it did not
        ("traceback", _text),  # of what was raised, as Python prints it; null: nothing was
        ("probes", _text),  # canonical JSON: content hash -> some logits on the first images, of a user's own code
        ("seconds_inspect", _real),  # loading and inspecting what no cell before had needed
        ("seconds_timing", _real),  # what it took to time samples at batch size 1; null: not timed
        ("warning_kinds", pa.list_(_text)),  # of each of `warnings`: clean_accuracy, outputs, gradients, other
        ("seconds_stages", _text),  # canonical JSON: stage -> seconds spent there, of a failed cell too
        ("spends", _bool),  # whether it ends far out in its budget where it fails; null: an older run, yes
    ],
    metadata=_META,
)

GENERATORS = pa.schema(  # a row per cell that makes and judges a generator; `_real`: what real images get in its place
    [
        _always("cell", _text),
        _always("suite", _text),
        _always("name", _text),  # what tables call it
        ("dataset", _text),  # what it makes, in a word
        _always("architecture", _text),  # the registered names
        _always("objective", _text),
        ("bundled", _text),  # the generator with weights that was judged; null: it was trained here
        ("recipe", _text),  # canonical JSON of everything that decides the training; null: it is bundled
        ("size", pa.list_(pa.int32())),  # of an image: C, H, W; of a point: 2
        ("data", _text),  # canonical JSON: content hashes of the images that it was trained on, and judged on
        ("judge", _text),  # the classifier by which images are scored
        ("judge_weights", _text),  # content hash of its weights
        ("seed", _int),  # of the images that are judged
        ("train_seed", _int),
        _always("status", _text),  # "ok" or "failed"
        ("error", _text),
        ("stage", _text),  # when it failed: load, train, sample, score, store; null: it did not
        ("traceback", _text),
        ("outcome", _text),  # trained, collapsed, not learned, diverged; null: nothing says
        ("collapsed", _bool),  # modes are missing, or a loss was no number
        ("reason", _text),  # of an outcome that is not `trained`, with the numbers and the margin
        ("n", _int),  # images that were judged
        ("steps", _int),  # of the generator
        ("images_seen", _int),  # real ones, in training
        ("seconds", _real),  # of training, without scores and samples on the way
        ("seconds_sample", _real),
        ("seconds_score", _real),
        ("classifier_score", _real),  # exp of the information that the judge's classes have on an image
        ("classifier_score_real", _real),
        ("frechet", _real),  # in the judge's features
        ("frechet_real", _real),
        ("unevenness", _real),  # total variation between the classes that occur and all alike
        ("unevenness_real", _real),
        ("precision", _real),
        ("precision_real", _real),
        ("recall", _real),
        ("recall_real", _real),
        ("ms_ssim", _real),
        ("ms_ssim_real", _real),
        ("swd", _real),  # mean over levels, times 1000
        ("swd_real", _real),
        ("parzen", _real),  # nats
        ("parzen_standard_error", _real),
        ("parzen_sigma", _real),
        ("copies", _real),  # share nearer to a training image than all but 1 in 1000 test images; null: not looked for
        ("nearer", _real),
        ("modes", _int),  # of a mixture
        ("covered", _int),
        ("high_quality", _real),  # share within three standard deviations of a mode
        ("scores", _text),  # canonical JSON of every score, SWD by level among them
        ("device", _text),
        ("provenance", _text),
        ("seconds_stages", _text),  # canonical JSON: stage -> seconds
    ],
    metadata=_META,
)

TRAINING = pa.schema(  # a row per logged step of a training
    [
        _always("cell", _text),
        _always("step", _int),  # of the generator
        _always("images", _int),  # real ones seen so far
        _always("seconds", _real),  # of training so far
        ("critic_loss", _real),
        ("generator_loss", _real),
        ("penalty", _real),
        ("wasserstein", _real),  # the critic's mean score of real images less that of generated ones
        ("side", _int),  # pixels of an image by now, of a generator that grows; null: not looked at here
        ("score", _real),  # of a few images, by the judge; of points the share of high quality; null: not taken here
        ("swd", _real),  # of as few, mean over levels
        ("covered", _int),  # modes of a mixture
    ],
    metadata=_META,
)

GENERATED = pa.schema(  # a few images of each generator, made of the same latents all along
    [
        _always("cell", _text),
        _always("kind", _text),  # generated, real, neighbour (of it among training images), between (two latents)
        _always("step", _int),  # of the generator, when it made them
        _always("number", _int),
        _always("shape", pa.list_(pa.int32())),  # C, H, W; (2,) of points
        ("pixels", pa.binary()),  # uint8, C x H x W; null: a point
        ("point", pa.list_(_real)),  # null: an image
        ("distance", _real),  # l2 from the generated image, of a neighbour
    ],
    metadata=_META,
)

ARTIFACTS = pa.schema(  # what an attack made for all samples together: a universal perturbation, a sticker, ...
    [
        _always("cell", _text),
        _always("name", _text),
        _always("shape", pa.list_(pa.int32())),
        _always("values", pa.binary()),  # float32 little-endian
    ],
    metadata=_META,
)

IMAGES = pa.schema(
    [
        _always("cell", _text),
        _always("sample", _text),
        _always("shape", pa.list_(pa.int32())),  # C, H, W
        _always("clean", pa.binary()),  # uint8, C x H x W
        _always("adversarial", pa.binary()),  # float32 little-endian, C x H x W: the exact candidate that was judged
    ],
    metadata=_META,
)
