"""What Square Attack tries: stripes, tiles and squares of new colours, squares of mass moved to another place.

Algorithms 2 and 3 of Andriushchenko et al. (2020) for all rows of a window at once, each with a square of its own size
and place: coordinates instead of slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.norms import Norm, size
from robustbench_lite.threat.rows import per_row

__all__ = ["coloured", "moved", "shape_of", "side", "stripes", "tiles"]

_HALVINGS = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)  # of _OF queries
_OF = 10_000
_LEAST = 3  # pixels: the side of a square with two halves
_TILES = 5  # along each side
_TINY = 1e-12


def side(p: float, query: torch.Tensor, queries: int, shape: Sequence[int], *, odd: bool) -> torch.Tensor:
    """The side (n,) of the squares of that `query` (n,) of so many, for images (n, C, H, W); at first a share p."""
    return _sides(p, queries, tuple(shape[-2:]), odd=odd).to(query.device)[query.clamp_max(queries)]


@lru_cache(maxsize=16)
def _sides(p: float, queries: int, shape: tuple[int, int], *, odd: bool) -> torch.Tensor:
    """The side of the squares for every query (queries + 1,)."""
    height, width = shape
    times = torch.searchsorted(torch.tensor(_HALVINGS), torch.arange(queries + 1) * _OF // queries, right=True)
    length = (p * height * width * 0.5 ** times.double()).sqrt()
    least, most = (_LEAST if odd else 1), min(height, width)
    if odd:
        length = 2 * ((length - 1) / 2).round() + 1
        most -= 1 - most % 2 if most >= _LEAST else 0
    return length.round().long().clamp_min(least).clamp_max(most)


def stripes(x: torch.Tensor, draw: Draw, epsilon: float) -> torch.Tensor:
    """The images x (n, C, H, W) with vertical stripes of one pixel, every colour epsilon up or down."""
    colours = _sign(draw.uniform("stripes", (x.shape[1], 1, x.shape[3])))
    return (x + epsilon * colours).clamp_(0, 1)


def coloured(
    x: torch.Tensor, best: torch.Tensor, draw: Draw, query: torch.Tensor, length: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """`best` (n, C, H, W) with one square each, `length` (n,) wide, of a new colour: x plus or minus epsilon."""
    random = draw.uniform("square", (2 + x.shape[1],), query)
    inside = _window(_corner(random[:, :2], length, x.shape), length, x.shape)
    colour = epsilon * _sign(random[:, 2:])[:, :, None, None]
    painted = torch.where(inside, (x + colour).clamp_(0, 1), best)
    idle = (painted == best).flatten(1).all(1).nonzero()[:, 0]
    if len(idle):
        turned = (x[idle] - colour[idle]).clamp_(0, 1)
        painted.index_copy_(0, idle, torch.where(inside[idle], turned, best[idle]))
    return painted


def tiles(x: torch.Tensor, draw: Draw, norm: Norm, epsilon: float) -> torch.Tensor:
    """The images x (n, C, H, W) with a tiling by squares, 5 along the shorter side, of the size epsilon."""
    n, channels, height, width = x.shape
    length = max(1, min(height, width) // _TILES)
    row, column = (_places(count, length) for count in (height, width))
    shape = (channels + 1, max(row[0]) + 1, max(column[0]) + 1)
    random = draw.uniform("tiles", shape)[:, :, row[0]][:, :, :, column[0]]
    down = torch.tensor(row[1], device=x.device)[None, :, None].expand(n, -1, width)
    across = torch.tensor(column[1], device=x.device)[None, None, :].expand(n, height, -1)
    side = torch.full((n,), length, device=x.device)
    pattern = shape_of(down, across, side, random[:, -1] < 0.5)[:, None] * _sign(random[:, :-1])
    pattern = pattern * per_row(epsilon / size(pattern, norm).clamp_min(_TINY), pattern)
    return (x + pattern).clamp_(0, 1)


def moved(
    x: torch.Tensor,
    best: torch.Tensor,
    draw: Draw,
    query: torch.Tensor,
    length: torch.Tensor,
    norm: Norm,
    epsilon: float,
) -> torch.Tensor:
    """`best` (n, C, H, W) with all mass of one square, and what is left of epsilon, in the shape of another one."""
    channels, power = x.shape[1], 2 if norm == "l2" else 1
    random = draw.uniform("square", (5 + channels,), query)
    corner = _corner(random[:, :2], length, x.shape)
    to, off = _window(corner, length, x.shape), _window(_corner(random[:, 2:4], length, x.shape), length, x.shape)
    nu = best - x
    left = (epsilon**power - size(nu, norm) ** power).clamp_min(0)
    available = (_mass(nu * (to | off), power) + (left / channels)[:, None]) ** (1 / power)
    down, across = (_along(x, axis) - corner[:, axis, None, None] for axis in (0, 1))
    shape = shape_of(down, across, length, random[:, 4, None, None] < 0.5)[:, None] * _sign(random[:, 5:, None, None])
    fresh = _unit(shape, power) + _unit(nu * to, power)
    fresh = _unit(fresh, power) * available[:, :, None, None]
    return torch.where(to, fresh, nu.masked_fill(off, 0)).add_(x).clamp_(0, 1)


def shape_of(down: torch.Tensor, across: torch.Tensor, length: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """Two halves of opposite sign, each highest at its centre (n, H, W), 0 outside of squares `length` (n,) wide.

    `down` and `across` (n, H, W) are coordinates from the corner of the square; `turned`: the halves side by side.
    """
    inside = (down >= 0) & (across >= 0) & (down < length[:, None, None]) & (across < length[:, None, None])
    first, second = torch.where(turned, across, down), torch.where(turned, down, across)
    length = length[:, None, None]
    half = length // 2
    upper = first < half
    middle = torch.where(upper, half // 2, half + (length - half) // 2)
    ring = (first - middle).abs().maximum((second - half).abs())
    sums = torch.arange(1, int(length.max()) + 2, device=down.device, dtype=torch.float32).square().reciprocal()
    sums = torch.cat([sums.new_zeros(1), sums.cumsum(0)])  # of 1 / k^2, up to k
    height = sums[half + 1] - sums[ring.clamp(0, len(sums) - 1)]
    return torch.where(upper, height, -height) * inside


def _places(count: int, length: int) -> tuple[list[int], list[int]]:
    """Of the pixels along a side, the tile that each is in, and its place there; beyond whole tiles: no place."""
    tiles = count // length
    margin = (count - tiles * length) // 2
    at = [i - margin for i in range(count)]
    whole = [0 <= i < tiles * length for i in at]
    tile = [i // length if ok else 0 for i, ok in zip(at, whole, strict=True)]
    return tile, [i % length if ok else length for i, ok in zip(at, whole, strict=True)]


def _corner(random: torch.Tensor, length: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Where squares begin (n, 2), uniform among the places where they fit, from uniform numbers (n, 2)."""
    room = torch.stack([side - length for side in shape[-2:]], 1)  # less one place
    return (random * (room + 1)).long().minimum(room)


def _window(corner: torch.Tensor, length: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Which pixels (n, 1, H, W) are in the squares."""
    sides = []
    for axis in (0, 1):
        at = torch.arange(shape[2 + axis], device=corner.device) - corner[:, axis, None]
        sides.append((at >= 0) & (at < length[:, None]))
    return (sides[0][:, :, None] & sides[1][:, None, :])[:, None]


def _along(x: torch.Tensor, axis: int) -> torch.Tensor:
    """The coordinate (1, H, W) of every pixel along an axis."""
    height, width = x.shape[-2:]
    line = torch.arange(height if axis == 0 else width, device=x.device)
    return (line[:, None] if axis == 0 else line[None]).expand(height, width)[None]


def _mass(r: torch.Tensor, power: int) -> torch.Tensor:
    """The size of every channel (n, C), to the power of its norm."""
    return (r.square() if power == 2 else r.abs()).sum((2, 3))


def _unit(r: torch.Tensor, power: int) -> torch.Tensor:
    """Every channel (n, C, H, W) at a size of 1; 0 where it is 0."""
    return r / (_mass(r, power) ** (1 / power)).clamp_min(_TINY)[:, :, None, None]


def _sign(random: torch.Tensor) -> torch.Tensor:
    """1 or -1, from uniform numbers."""
    return torch.where(random < 0.5, -1.0, 1.0)
