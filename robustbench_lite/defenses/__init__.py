"""What stands in front of a classifier, one defence a file, each with the backward pass of who knows it."""

from robustbench_lite.defenses.bit_depth import BitDepth
from robustbench_lite.defenses.defense_gan import DefenseGAN
from robustbench_lite.defenses.jpeg import JPEG
from robustbench_lite.defenses.median import Median
from robustbench_lite.defenses.random_resize_pad import RandomResizePad
from robustbench_lite.defenses.randomized_smoothing import RandomizedSmoothing
from robustbench_lite.models.defense import Defense, defenses

__all__ = ["JPEG", "BitDepth", "Defense", "DefenseGAN", "Median", "RandomResizePad", "RandomizedSmoothing", "defenses"]
