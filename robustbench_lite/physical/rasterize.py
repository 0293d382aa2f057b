"""A z-buffer in torch: which triangle every pixel sees, and where on its texture.

No gradient in the geometry: the map from the screen to the texture is fixed once the pose is, and what is seen is
linear in the texture. Pixels are sampled at their centres, without supersampling. Arithmetic is in float64, and
independent of what else is in the batch.

Memory: fragments (pairs of a triangle and a pixel in its bounding box) are worked off in chunks of at most
`FRAGMENTS`, or one triangle's own, at most all pixels. A screen of 512 x 512 that a ball fills took 86 MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robustbench_lite.lazy import torch

__all__ = ["FRAGMENTS", "Surface", "rasterize"]

FRAGMENTS = 2**18
_EDGE = 1e-9  # how far outside a triangle still counts: rounding must not open a crack between two neighbours


@dataclass(frozen=True)
class Surface:
    """What the screen (H, W) shows: where on the texture (H, W, 2), unit normals (H, W, 3), and whether anything."""

    uv: torch.Tensor
    normal: torch.Tensor
    seen: torch.Tensor  # (H, W) bool; elsewhere uv and normal are 0


def rasterize(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    uv: torch.Tensor,
    normals: torch.Tensor,
    size: tuple[int, int],
    focal: float,
) -> Surface:
    """What a pinhole camera at the origin that looks along -z sees of a mesh: vertices (V, 3), all with z < 0.

    faces (F, 3), uv (V, 2), normals (V, 3), screen (H, W). `focal`: half the screen's width is seen at slope 1 / focal.
    """
    height, width = size
    corners = vertices.double()[faces]  # (F, 3, 3)
    slope, inverse = _affine(corners, width, height, focal)
    face = _nearest(slope, inverse, _boxes(corners, width, height, focal), size)
    seen = face >= 0
    which = face[seen]
    y, x = seen.nonzero().unbind(1)
    weight = _at(slope, which, x, y) * inverse[which]
    weight = (weight / weight.sum(1, keepdim=True)).clamp(0, 1)  # true barycentric: perspective undone
    meet = faces.index_select(0, which)
    place, normal = (_blend(weight, part.double(), meet) for part in (uv, normals))
    return Surface(_spread(place, seen), _spread(torch.nn.functional.normalize(normal, dim=1), seen), seen)


def _blend(weight: torch.Tensor, values: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """The mean (n, D) of the values (V, D) at three corners (n, 3), weighted (n, 3)."""
    first, second, third = (weight[:, i, None] * values.index_select(0, corners[:, i]) for i in range(3))
    return first + second + third


def _screen(corners: torch.Tensor, width: int, height: int, focal: float) -> torch.Tensor:
    """Pixel coordinates (F, 3, 2), x to the right and y down, the centre of the first pixel at (0, 0)."""
    flat = corners[..., :2] / -corners[..., 2:] * focal
    half = width / 2
    return torch.stack([flat[..., 0] * half + width / 2 - 0.5, -flat[..., 1] * half + height / 2 - 0.5], -1)


def _affine(corners: torch.Tensor, width: int, height: int, focal: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Barycentric coordinates on the screen as functions (F, 3, 3) of (x, y, 1), and 1 / depth of corners (F, 3)."""
    points = _screen(corners, width, height, focal)
    (x0, y0), (x1, y1), (x2, y2) = (points[:, i].unbind(1) for i in range(3))
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    first = torch.stack([y1 - y2, x2 - x1, x1 * y2 - x2 * y1], 1)
    second = torch.stack([y2 - y0, x0 - x2, x2 * y0 - x0 * y2], 1)
    third = torch.stack([y0 - y1, x1 - x0, x0 * y1 - x1 * y0], 1)
    return torch.stack([first, second, third], 1) / area[:, None, None], -1 / corners[..., 2]


def _boxes(corners: torch.Tensor, width: int, height: int, focal: float) -> torch.Tensor:
    """First column, first row, columns, rows (F, 4) of the pixels that each triangle may cover; none where flat."""
    points = _screen(corners, width, height, focal)
    last = torch.tensor([width - 1, height - 1], device=points.device)
    low = (points.amin(1) - _EDGE).ceil().clamp_min(0)
    high = torch.minimum((points.amax(1) + _EDGE).floor(), last)
    edges = points[:, 1:] - points[:, :1]
    flat = (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).abs() < 1e-12
    count = (high - low + 1).clamp_min(0).masked_fill(flat[:, None], 0)
    return torch.cat([low, count], 1).long()


def _nearest(slope: torch.Tensor, inverse: torch.Tensor, box: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The index of the nearest triangle at every pixel (H, W), the lower of equals; -1: none."""
    height, width = size
    front = slope.new_zeros(height * width)  # 1 / depth of what is nearest so far
    none = len(box)
    face = torch.full((height * width,), none, device=box.device)
    closeness = (slope * inverse[:, :, None]).sum(1)  # 1 / depth as a function of (x, y, 1)
    for index, x, y in _fragments(box):
        inside = (_at(slope, index, x, y).amin(1) >= -_EDGE).nonzero()[:, 0]
        own, column, row = (part.index_select(0, inside) for part in (index, x, y))
        near, pixel = _at(closeness, own, column, row), row * width + column
        nearer = front.scatter_reduce(0, pixel, near, "amax")
        face = torch.where(nearer > front, none, face)
        front, win = nearer, near == nearer[pixel]
        face = face.scatter_reduce(0, pixel[win], own[win], "amin")
    return torch.where(face == none, -1, face).view(height, width)


def _fragments(box: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(triangle, column, row), each (n,), of all pixels in all boxes, in chunks."""
    spans, count = [box[:, i].contiguous() for i in range(3)], box[:, 2] * box[:, 3]
    total = count.cumsum(0)
    start = 0
    while start < len(box):
        done = total[start] - count[start]
        stop = max(start + 1, int(torch.searchsorted(total, done + FRAGMENTS, right=True)))
        part = torch.arange(start, stop, device=box.device)
        index = part.repeat_interleave(count[start:stop])
        if len(index):
            place = torch.arange(len(index), device=box.device) - (total - count - done)[index]
            left, top, columns = (part.index_select(0, index) for part in spans)
            down = place // columns
            yield index, left + place - down * columns, top + down
        start = stop


def _at(functions: torch.Tensor, index: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Values (n, ...) of the affine functions `index` (n,) of (F, ..., 3) at pixels (n,)."""
    a, b, c = functions.index_select(0, index).unbind(-1)
    across, down = (part.to(c.dtype).view(-1, *[1] * (c.ndim - 1)) for part in (x, y))
    return a.mul(across).addcmul_(b, down).add_(c)


def _spread(values: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Values (n, D) at the seen pixels of a screen (H, W, D), 0 elsewhere."""
    out = values.new_zeros((*seen.shape, values.shape[1]))
    out[seen] = values
    return out
