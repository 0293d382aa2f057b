"""What cells leave that attack nothing: a generator that is made and judged, a sparse code that is measured.

Columns are only added, as in schema.py.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from robustbench_lite.results.schema import META, always

__all__ = ["BETWEEN", "GENERATED", "GENERATORS", "INTERVALS", "MADE", "SPARSE_CODING", "SUMMED", "TRAINING", "Kind"]

_text, _real, _int, _bool = pa.string(), pa.float64(), pa.int64(), pa.bool_()

_COMPARED = ("classifier_score", "frechet", "unevenness", "precision", "recall", "ms_ssim", "swd")
INTERVALS = (*_COMPARED, *(f"{score}_real" for score in _COMPARED), "nearer", "nearer_features")  # scores that have one

GENERATORS = pa.schema(  # a row per cell that makes and judges a generator; `_real`: what real images get in its place
    [
        always("cell", _text),
        always("suite", _text),
        always("name", _text),  # what tables call it
        ("dataset", _text),  # what it makes, in a word
        always("architecture", _text),  # the registered names
        always("objective", _text),
        ("bundled", _text),  # the generator with weights that was judged; null: it was trained here
        ("recipe", _text),  # canonical JSON of everything that decides the training; null: it is bundled
        ("size", pa.list_(pa.int32())),  # of an image: C, H, W; of a point: 2
        ("data", _text),  # canonical JSON: content hashes of the images that it was trained on, and judged on
        ("judge", _text),  # the classifier by which images are scored
        ("judge_weights", _text),  # content hash of its weights
        ("seed", _int),  # of the images that are judged
        ("train_seed", _int),
        always("status", _text),  # "ok" or "failed"
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
        ("copies_features", _real),  # the same in the judge's features
        ("nearer_features", _real),
        ("modes", _int),  # of a mixture
        ("covered", _int),
        ("high_quality", _real),  # share within three standard deviations of a mode
        ("scores", _text),  # canonical JSON of every score, SWD by level among them
        ("device", _text),
        ("provenance", _text),
        ("seconds_stages", _text),  # canonical JSON: stage -> seconds
        *((f"{score}{end}", _real) for score in INTERVALS for end in ("_low", "_high")),  # 95 %; null: too few images
    ],
    metadata=META,
)

TRAINING = pa.schema(  # a row per logged step of a training
    [
        always("cell", _text),
        always("step", _int),  # of the generator
        always("images", _int),  # real ones seen so far
        always("seconds", _real),  # of training so far
        ("critic_loss", _real),
        ("generator_loss", _real),
        ("penalty", _real),
        ("wasserstein", _real),  # the critic's mean score of real images less that of generated ones
        ("side", _int),  # pixels of an image by now, of a generator that grows; null: not looked at here
        ("score", _real),  # of a few images, by the judge; of points the share of high quality; null: not taken here
        ("swd", _real),  # of as few, mean over levels
        ("covered", _int),  # modes of a mixture
    ],
    metadata=META,
)

BETWEEN = 8  # images from one latent of a pair to the other: pair i has the numbers from 8 i on
SUMMED = 13  # images of a sum of latents: three thick ones of a class and their mean, thin ones, those of another; it

GENERATED = pa.schema(  # a few images of each generator, made of the same latents all along
    [
        always("cell", _text),
        always("kind", _text),  # generated, real, neighbour (of it, in training), between (two latents), arithmetic
        always("step", _int),  # of the generator, when it made them
        always("number", _int),
        always("shape", pa.list_(pa.int32())),  # C, H, W; (2,) of points
        ("pixels", pa.binary()),  # uint8, C x H x W; null: a point
        ("point", pa.list_(_real)),  # null: an image
        ("distance", _real),  # l2 from the generated image, of a neighbour
    ],
    metadata=META,
)

SPARSE_CODING = pa.schema(  # a row per layer of a measured pursuit; one without a layer where the cell failed
    [
        always("cell", _text),
        always("suite", _text),
        always("name", _text),  # what is measured, in a few words
        always("model", _text),  # what tables call the dictionaries
        ("setup", _text),  # canonical JSON: dictionaries with their parameters, positions, sparsity
        always("pursuit", _text),  # hard, soft, relu, basis_pursuit
        ("iterations", _int),  # of FISTA
        always("noise", _real),  # local energy ||E||^P_{2,inf}
        always("set_for", _real),  # the local energy for which thresholds or penalties were chosen
        ("signals", _int),
        ("steps", _int),  # of the adversary's ascent
        ("seed", _int),
        always("status", _text),  # "ok" or "failed"
        ("error", _text),
        ("stage", _text),  # when it failed: load, measure, store; null: it did not
        ("traceback", _text),
        ("layer", _int),  # from 1; null: the cell failed
        ("coherence", _real),  # mu(D)
        ("stripe", _int),  # ||G||^S_{0,inf}, the most of all signals
        ("patch", _int),  # ||G||^P_{0,inf}
        ("promised", _real),  # share of signals to which a bound is promised
        ("support", _real),  # share of signals to which the support is promised
        ("bound", _real),  # the largest that is promised to a signal; null: none is
        ("random_worst", _real),  # errors ||G' - G||^P_{2,inf} under random noise
        ("random_mean", _real),
        ("random_recovered", _real),  # share of signals of which the support is found exactly
        ("random_tightness", _real),  # the largest error in units of its own signal's bound; null: none has one
        ("random_broken", _int),  # signals for which a bound or a support was promised and not kept
        ("adversarial_worst", _real),  # the same under the adversary's noise
        ("adversarial_mean", _real),
        ("adversarial_recovered", _real),
        ("adversarial_tightness", _real),
        ("adversarial_broken", _int),
        ("atoms_shape", pa.list_(pa.int32())),  # m, C, H, W
        ("atoms", pa.binary()),  # float32 little-endian: each atom of this layer as it appears in a signal
        ("device", _text),
        ("provenance", _text),  # canonical JSON: versions, machine, times
        ("seconds", _real),  # of the whole cell
    ],
    metadata=META,
)


class Kind(NamedTuple):
    """A kind of such cells: what one is called, its parts (its own rows in the last), where run.json has their ids."""

    word: str
    parts: tuple[str, ...]
    planned: str


MADE = {  # by the key of a suite, under which run.json has what they are called
    "generators": Kind("generator", ("training", "generated", "generators"), "generator_cells"),
    "sparse_coding": Kind("sparse coding", ("sparse_coding",), "sparse_coding_cells"),
}
