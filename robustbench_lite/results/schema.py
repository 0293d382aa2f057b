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
    "IMAGES",
    "META",
    "SAMPLES",
    "SCHEMA_VERSION",
    "Caveat",
    "Row",
    "always",
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


META = {b"robustbench_lite.schema": str(FILE_VERSION).encode()}
_text, _real, _int, _bool = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_ADDED = {"label_rank", "sources", "copies_features"}  # the first that older files may lack, with all that follow


def always(name: str, kind: pa.DataType) -> pa.Field:
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
        always("cell", _text),
        always("suite", _text),
        always("dataset", _text),
        always("sample", _text),  # content hash of the image: the same in every source and order
        always("label", _int),  # the true label
        ("target", _int),  # null when untargeted
        always("source", _text),  # the classifier(s) that the attack saw, joined by "+"
        always("model", _text),  # the classifier that this row scores
        ("weights", _text),  # content hash of the scored classifier's weights
        always("attack", _text),  # the registered name
        always("variant", _text),  # what tables call it: the name, plus the parameters that tell two of them apart
        ("params", _text),  # every parameter, canonical JSON
        ("norm", _text),  # the norm that the attack bounds or minimises: l1, l2, linf; null: none
        ("eps", _real),  # the budget; null: a minimal perturbation
        always("goal", _text),  # what success is measured against: label, prediction, target
        always("clean_pred", _int),
        always("clean_correct", _bool),
        ("clean_confidence", _real),
        always("adv_pred", _int),
        ("adv_confidence", _real),
        always("success", _bool),  # the judge's verdict, in a fresh forward pass
        always("success_8bit", _bool),  # the same after rounding to 8 bits
        ("margin", _real),  # > 0 exactly when the goal is reached: logit gap in the goal's direction
        always("near_tie", _bool),  # |margin| so small that another batch size may decide otherwise
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
        always("status", _text),  # "ok", or why the attack on this sample failed
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
        ("second_opinion", _int),  # what a second classifier takes an image for that was made; null: none is asked
        ("second_opinion_confidence", _real),
        ("clean_second_opinion", _int),  # the same of the clean image
        ("control_second_opinion", _int),  # the same of the image that control_pred is about
        ("certified", _bool),  # proven: nothing within the budget fools the classifier; null: nothing was asked
        ("certified_margin", _real),  # a lower bound of the label's logit above every other one within the budget
        ("skipped", _text),  # why the sample was not attacked: it is proven, and by what; null: it was attacked
        ("certified_class", _int),  # what the scored classifier is proven to answer near the clean image; -1: abstained
        ("certified_radius", _real),  # the l2 radius within which; null, as the class: it comes with no certificate
        ("claimed", _bool),  # what an attack of another library takes for a success itself; null: it is one of ours
    ],
    metadata=META,
)

CELLS = pa.schema(
    [
        always("cell", _text),
        always("suite", _text),
        always("dataset", _text),
        ("data", _text),  # canonical JSON of the selection, with the hash of the sample ids
        always("n", _int),
        always("source", _text),
        always("models", pa.list_(_text)),  # the classifiers that were scored
        ("weights", _text),  # canonical JSON: classifier -> content hash
        always("attack", _text),
        always("variant", _text),
        always("params", _text),
        ("version", _int),  # of the attack's code
        ("norm", _text),
        ("eps", _real),
        always("goal", _text),
        ("seed", _int),
        always("status", _text),  # "ok" or "failed"
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
        ("certify", _text),  # the method by which samples were to be proven; null: none
        ("seconds_certify", _real),  # what that took of samples that no cell before had needed; null: none
    ],
    metadata=META,
)

ARTIFACTS = pa.schema(  # what an attack made for all samples together: a universal perturbation, a sticker, ...
    [
        always("cell", _text),
        always("name", _text),
        always("shape", pa.list_(pa.int32())),
        always("values", pa.binary()),  # float32 little-endian
    ],
    metadata=META,
)

IMAGES = pa.schema(
    [
        always("cell", _text),
        always("sample", _text),
        always("shape", pa.list_(pa.int32())),  # C, H, W
        always("clean", pa.binary()),  # uint8, C x H x W
        always("adversarial", pa.binary()),  # float32 little-endian, C x H x W: the exact candidate that was judged
    ],
    metadata=META,
)
