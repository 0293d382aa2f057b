"""Textured meshes: vertices, triangles, texture coordinates; read from OBJ files, or put together from patches.

Right-handed coordinates: x to the right, y up, z towards the viewer; triangles run counter-clockwise seen from outside.
Texture coordinates (u, v) are those of OBJ: u to the right, v up; (0, 0) and (1, 1) are centres of corner texels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import no_programs, regular

__all__ = ["Floats", "Integers", "Mesh", "Patch", "joined", "read_obj", "smooth", "texels", "unit"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_LARGEST = 2**28  # bytes of an OBJ file
MARGIN = 0.008  # between patches in the texture, as a part of its side: bilinear lookup reads no neighbour's texel


@dataclass(frozen=True)
class Mesh:
    """Vertices (V, 3), faces (F, 3) of their indices, texture coordinates (V, 2) in [0, 1], unit normals (V, 3)."""

    vertices: Floats
    faces: Integers
    uv: Floats
    normals: Floats

    def __post_init__(self) -> None:
        v, count = len(self.vertices), self.faces.max(initial=-1) + 1
        shapes = [part.shape for part in (self.vertices, self.normals, self.uv)]
        if shapes != [(v, 3), (v, 3), (v, 2)] or self.faces.shape[1:] != (3,):
            raise DataError(f"mesh: expected vertices and normals (V, 3), uv (V, 2), faces (F, 3), got {shapes}")
        if not len(self.faces) or count > v or self.faces.min() < 0:
            raise DataError(f"mesh: expected faces with indices below {v}, got {len(self.faces)} up to {count - 1}")
        if not (np.isfinite(self.vertices).all() and np.isfinite(self.uv).all()):
            raise DataError("mesh: expected finite vertices and texture coordinates")
        if self.uv.min() < -1e-6 or self.uv.max() > 1 + 1e-6:
            low, high = self.uv.min(), self.uv.max()
            raise DataError(f"mesh: expected texture coordinates in [0, 1], got {low:g} to {high:g}")


def unit(mesh: Mesh) -> Mesh:
    """The mesh moved and scaled so that it just fits a sphere of radius 1 about the middle of its bounding box."""
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    vertices = mesh.vertices - middle
    radius = np.linalg.norm(vertices, axis=1).max()
    if radius == 0:
        raise DataError("mesh: expected an object with an extent, all vertices are one point")
    return replace(mesh, vertices=vertices / radius)


@dataclass(frozen=True)
class Patch:
    """A piece of surface: points (..., 3) at s and t (...) in [0, 1], and its box (left, bottom, right, top) of uv.

    Seen from outside, s runs to the right where t runs up.
    """

    name: str
    at: Callable[[Floats, Floats], Floats]
    box: tuple[float, float, float, float]
    columns: int
    rows: int

    def mesh(self) -> Mesh:
        """The patch as a grid of triangles; those that shrink to a line are left out."""
        s, t = np.meshgrid(np.linspace(0, 1, self.columns + 1), np.linspace(0, 1, self.rows + 1))
        points = self.at(s.ravel(), t.ravel())
        left, bottom, right, top = self.inner
        uv = np.stack([left + s.ravel() * (right - left), bottom + t.ravel() * (top - bottom)], 1)
        corner = (np.arange(self.rows)[:, None] * (self.columns + 1) + np.arange(self.columns)).ravel()
        up = corner + self.columns + 1
        faces = np.concatenate([np.stack([corner, corner + 1, up + 1], 1), np.stack([corner, up + 1, up], 1)])
        faces = faces[np.linalg.norm(_across(points, faces), axis=1) > 1e-12]
        return Mesh(points, faces, uv, smooth(points, faces))

    @property
    def inner(self) -> tuple[float, float, float, float]:
        left, bottom, right, top = self.box
        return left + MARGIN, bottom + MARGIN, right - MARGIN, top - MARGIN


def _across(points: Floats, faces: Integers) -> Floats:
    """Normals (F, 3) of the triangles, twice as long as their area."""
    a, b, c = (points[faces[:, i]] for i in range(3))
    out: Floats = np.cross(b - a, c - a)
    return out


def smooth(points: Floats, faces: Integers) -> Floats:
    """Unit normals (V, 3): the mean over the triangles that meet at a place, by area."""
    _, place = np.unique(points.round(9), axis=0, return_inverse=True)
    total = np.zeros((place.max() + 1, 3))
    np.add.at(total, place.ravel()[faces].ravel(), np.repeat(_across(points, faces), 3, 0))
    normals: Floats = (total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-30))[place.ravel()]
    return normals


def joined(parts: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    first = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    faces = [part.faces + start for part, start in zip(parts, first, strict=True)]
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate(faces),
        np.concatenate([part.uv for part in parts]),
        np.concatenate([part.normals for part in parts]),
    )


def texels(patches: Sequence[Patch], side: int) -> tuple[Integers, Floats]:
    """For every texel of a texture (side, side): the index of its patch, and its point (side, side, 3) on the surface.

    Texels in the margins take the nearest point of their patch, so that no seam shows.
    """
    u, v = np.meshgrid(np.linspace(0, 1, side), np.linspace(1, 0, side))  # the first row is at the top
    which, points = np.zeros((side, side), np.int64), np.zeros((side, side, 3))
    for i, patch in enumerate(patches):
        left, bottom, right, top = patch.box
        inside = (u >= left) & (u <= right) & (v >= bottom) & (v <= top)
        left, bottom, right, top = patch.inner
        s, t = np.clip((u - left) / (right - left), 0, 1), np.clip((v - bottom) / (top - bottom), 0, 1)
        which[inside], points[inside] = i, patch.at(s[inside], t[inside])
    return which, points


def read_obj(path: Path) -> tuple[Mesh, npt.NDArray[np.uint8] | None]:
    """The mesh of an OBJ file, and its texture (3, H, W) where its material names one. Raises DataError."""
    try:
        import trimesh
    except ImportError:
        raise DataError(f"{path.name}: reading OBJ files needs trimesh; pip install '.[mesh]'") from None
    no_programs()
    try:
        loaded = trimesh.load(regular(path, _LARGEST), force="mesh", process=False)
        uv = getattr(loaded.visual, "uv", None)
    except Exception as error:  # noqa: BLE001  (parsers of other people's files fail in every way there is)
        raise DataError(f"{path.name}: cannot be read as OBJ ({type(error).__name__}: {error})") from None
    if uv is None or len(uv) != len(loaded.vertices):
        raise DataError(f"{path.name}: has no texture coordinates (lines `vt`); unwrap it first")
    image = getattr(getattr(loaded.visual, "material", None), "image", None)
    texture = None if image is None else np.asarray(image.convert("RGB"), np.uint8).transpose(2, 0, 1)
    vertices, faces = np.asarray(loaded.vertices, float), np.asarray(loaded.faces, np.int64)
    return Mesh(vertices, faces, np.asarray(uv, float), smooth(vertices, faces)), texture
