"""What an attacker may do and wants: norms, the box, the goal; records with a row per sample, and their draws."""

from robustbench_lite.threat.box import (
    climb,
    clip,
    nearest_within,
    project_within,
    shortest_within,
    steepest_within,
    stretched_within,
)
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.ids import content_id, float_ids, pixel_id, pixel_ids, unique_ids
from robustbench_lite.threat.norms import Ball, Norm, dual_size, project, sample, size, steepest
from robustbench_lite.threat.rows import per_row, put
from robustbench_lite.threat.setting import Setting, Views
from robustbench_lite.threat.ties import rounding, tie

__all__ = [
    "Ball",
    "Draw",
    "Goal",
    "Norm",
    "Setting",
    "Views",
    "climb",
    "clip",
    "content_id",
    "dual_size",
    "float_ids",
    "keys",
    "nearest_within",
    "per_row",
    "pixel_id",
    "pixel_ids",
    "project",
    "project_within",
    "put",
    "rounding",
    "sample",
    "shortest_within",
    "size",
    "steepest",
    "steepest_within",
    "stretched_within",
    "tie",
    "unique_ids",
]
