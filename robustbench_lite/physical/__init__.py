"""Objects and signs before a camera: meshes, poses, photographs, what a printer can print."""

from robustbench_lite.physical.camera import OVER, STATIONARY, Camera, Placement, approach, to_corners
from robustbench_lite.physical.mesh import Mesh, read_obj, unit
from robustbench_lite.physical.paints import OBJECTS, made, painted
from robustbench_lite.physical.roadside import BACKGROUND_NUMBERS
from robustbench_lite.physical.scene import Scene, expose
from robustbench_lite.physical.shots import Drawn, Photographed, Poses, Shots, paste
from robustbench_lite.physical.sign import outline, stop_sign

__all__ = [
    "BACKGROUND_NUMBERS",
    "OBJECTS",
    "OVER",
    "STATIONARY",
    "Camera",
    "Drawn",
    "Mesh",
    "Photographed",
    "Placement",
    "Poses",
    "Scene",
    "Shots",
    "approach",
    "expose",
    "made",
    "outline",
    "painted",
    "paste",
    "read_obj",
    "stop_sign",
    "to_corners",
    "unit",
]
