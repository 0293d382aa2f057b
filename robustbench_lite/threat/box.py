"""What can be done inside [0, 1] to a function that is linear in the image: exact answers in l0, l1, l2 and linf.

For such a function every number of the image moves at a rate of its own until it meets the box. How far is a matter of
sorting: by room (linf), by room over gradient (l2), by gradient (l1, a fractional knapsack), by their product (l0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from robustbench_lite.lazy import torch
from robustbench_lite.threat.norms import project, size, steepest
from robustbench_lite.threat.rows import per_row

if TYPE_CHECKING:
    from robustbench_lite.threat.norms import Ball, Norm

__all__ = [
    "box_radius",
    "climb",
    "clip",
    "nearest_within",
    "project_within",
    "shortest_within",
    "steepest_within",
    "stretched_within",
]

_ROUNDING = 1e-6  # weights of a resampling need not sum to exactly 1
_SPREAD, _SPREADING = 0.05, 0.6  # of the numbers; of the steps: those left can move all of the usual budget
_NOTHING = 1e-12  # a gradient this much smaller than the largest of its image moves nothing


def clip(x: torch.Tensor) -> torch.Tensor:
    """X in [0, 1], with a gradient also where it is 0 or 1 but for rounding, as most of a digit is; clamp has none."""
    clipped = x.detach().clamp(0, 1)
    if not x.requires_grad:
        return clipped
    return torch.where((x - clipped).abs() <= _ROUNDING, x + (clipped - x.detach()), clipped)


def box_radius(x: torch.Tensor, w: torch.Tensor, gain: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The size (n,) of the smallest r with w.r >= gain and x + r in [0, 1], exact, float64; inf: there is none.

    x and w are (n, ...). The distance of an image to the half space w.x + b >= 0 is that of a gain of -(w.x + b).
    """
    x, w, gain = x.double(), w.double(), gain.double()
    r = shortest_within(x, w, gain, norm)
    enough = (w * r).flatten(1).sum(1) >= gain - 1e-9 * gain.abs()
    return torch.where(enough, size(r, norm), float("inf")).masked_fill(gain <= 0, 0.0)


def shortest_within(x: torch.Tensor, w: torch.Tensor, gain: torch.Tensor, norm: Norm) -> torch.Tensor:
    """The smallest r (n, ...) with w.r = gain (n,) > 0 and x + r in [0, 1]; as far as the box allows if none is.

    l0: with w.r >= gain, of as few numbers as possible, each as far as it can go.
    """
    length, room, largest = _pace(x, w)
    gain = (gain / largest).clamp_min(0)[:, None]
    if norm == "l0":  # that the most rewarding ones are the fewest: trust/bracket/exact.py
        order = (length * room).argsort(dim=1, descending=True)
        value = (length * room).gather(1, order)
        needed = value.cumsum(1) - value < gain  # as long as those before have not gained it
        r = torch.zeros_like(room).scatter(1, order, room.gather(1, order) * needed)
        return (r * w.flatten(1).sign()).view_as(x)
    if norm == "l1":
        order = length.argsort(dim=1, descending=True)
        value = (length * room).gather(1, order)
        left = (gain - (value.cumsum(1) - value)).clamp_min(0)  # what the numbers before have not gained
        first = length.gather(1, order).clamp_min(_NOTHING)
        r = torch.zeros_like(room).scatter(1, order, (left / first).minimum(room.gather(1, order)))
    elif norm == "l2":
        level = _level(room / length.clamp_min(_NOTHING), length.square(), gain)
        r = (level * length).minimum(room)
    else:
        r = _level(room, length, gain).minimum(room)
    return (r * w.flatten(1).sign()).view_as(x)


def steepest_within(
    x: torch.Tensor, g: torch.Tensor, norm: Ball, epsilon: torch.Tensor | float, most: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """The r (n, ...) with ||r|| <= epsilon, x + r in [0, 1], no number above `most` (n, 1), that makes g.r largest.

    epsilon and `most` are (n,) and (n, 1), or one for all.
    """
    length, room, _ = _pace(x, g)
    room = room.minimum(torch.as_tensor(most, device=room.device))
    budget = torch.as_tensor(epsilon, dtype=room.dtype, device=room.device).expand(len(x))[:, None]
    if norm == "l1":
        order = length.argsort(dim=1, descending=True)
        wide = room.gather(1, order)
        r = torch.zeros_like(room).scatter(1, order, (budget - (wide.cumsum(1) - wide)).clamp_min(0).minimum(wide))
    elif norm == "l2":
        level = _level((room / length.clamp_min(_NOTHING)).square(), length.square(), budget.square())
        r = (level.sqrt() * length).minimum(room)
    else:
        r = room.minimum(budget)
    return (r * g.flatten(1).sign()).view_as(x)


def stretched_within(x: torch.Tensor, direction: torch.Tensor, norm: Ball, epsilon: float) -> torch.Tensor:
    """The multiple of `direction` (n, ...) that, clipped so that x + r is in [0, 1], has the size epsilon.

    linf: it is epsilon before it is clipped. The box, clipped to as a whole, where it leaves no room for epsilon.
    """
    length, room, _ = _pace(x, direction)
    budget = room.new_full((len(x), 1), epsilon)
    full = room / length.clamp_min(_NOTHING)  # where each number meets the box
    if norm == "linf":
        level = budget
    elif norm == "l2":
        level = _level(full.square(), length.square(), budget.square()).sqrt()
    else:
        level = _level(full, length, budget)
    return ((level * length).minimum(room) * direction.flatten(1).sign()).view_as(x)


def project_within(x: torch.Tensor, r: torch.Tensor, norm: Ball, epsilon: float) -> torch.Tensor:
    """The nearest point (Euclidean) to r (n, ...) with ||r|| <= epsilon and x + r in [0, 1].

    l1: exact where x + r is in [0, 1], as a step that minds the box leaves it.
    """
    if norm != "l2":
        return (x + project(r, norm, epsilon)).clamp_(0, 1).sub_(x)
    inside = (x + r).clamp(0, 1) - x
    beyond = size(inside, "l2") > epsilon
    # where the box stops a number, the ball lets the others go further than projecting on it alone would
    return torch.where(per_row(beyond, r), steepest_within(x, r, "l2", epsilon), inside) if beyond.any() else inside


def nearest_within(x: torch.Tensor, r: torch.Tensor, norm: Norm, epsilon: torch.Tensor) -> torch.Tensor:
    """The nearest point (Euclidean) to r (n, ...) with ||r|| <= epsilon (n,) and x + r in [0, 1], exact."""
    limit = epsilon[:, None]
    if norm == "linf":
        return (x + r.flatten(1).minimum(limit).maximum(-limit).view_as(r)).clamp_(0, 1).sub_(x)
    flat, far = x.flatten(1), r.flatten(1).abs()
    room = torch.where(r.flatten(1) > 0, 1 - flat, flat)
    inside = far.minimum(room)
    beyond = (size(inside, norm) > epsilon)[:, None]
    if norm == "l2":
        kept = (_multiple(far, room, limit, beyond) * far).minimum(room)
    else:
        kept = (far - _threshold(far, room, limit)).clamp_min(0).minimum(room)
    return (torch.where(beyond, kept, inside) * r.flatten(1).sign()).view_as(r)


def climb(
    x: torch.Tensor, adv: torch.Tensor, g: torch.Tensor, norm: Ball, length: float, epsilon: float, share: torch.Tensor
) -> torch.Tensor:
    """The images after an ascent step from adv (n, ...), in the ball around x and the box, `share` (n,) of them done.

    Numbers that stand at the box are left out. l1: the steepest step moves one number as far as it can go, where its
    gradient no longer says anything; in the first part a step is spread over those with the largest gradients. What
    exceeds the ball is taken from the numbers where it gains least, so that on a linear function the end is exact.
    """
    if norm == "linf":
        return (project((steepest(g, norm) * length).add_(adv).sub_(x), norm, epsilon)).add_(x).clamp_(0, 1)
    if norm == "l2":
        free = g.masked_fill(((adv <= 0) & (g < 0)) | ((adv >= 1) & (g > 0)), 0)
        return project_within(x, (steepest(free, norm) * length).add_(adv).sub_(x), norm, epsilon).add_(x).clamp_(0, 1)
    many = max(1, int(_SPREAD * x[0].numel()))
    most = torch.where(share < _SPREADING, length / many, 1.0)[:, None]
    moved = steepest_within(adv, g, norm, length, most).add_(adv).sub_(x)
    return _shed(moved, g, epsilon).add_(x).clamp_(0, 1)


def _multiple(far: torch.Tensor, room: torch.Tensor, limit: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The t (n, 1) for which the numbers t far (n, D), cut off at their room, have the l2 size `limit` (n, 1).

    What is cut off lets the others grow, and cuts off more: a few rounds, each cheaper than sorting. Rows that are not
    `wanted` (n, 1) get anything.
    """
    full, done, t = ~wanted.expand_as(far), False, torch.ones_like(limit)
    while not done:
        left = limit.square() - room.masked_fill(~full, 0).square().sum(1, keepdim=True)
        others = far.masked_fill(full, 0).square().sum(1, keepdim=True)
        t = (left.clamp_min(0) / others.clamp_min(torch.finfo(far.dtype).tiny)).sqrt()
        now = full | (t * far >= room)
        full, done = now, bool((now == full).all())
    return t


def _threshold(far: torch.Tensor, room: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """The t (n, 1) for which the numbers far - t (n, D), cut off at 0 and at their room, add up to `limit` (n, 1).

    From above: a number counts from t = far on, and no longer grows from t = far - room on.
    """
    ends, order = torch.cat([far, far - room], 1).sort(dim=1, descending=True)
    growing = torch.where(order < far.shape[1], 1.0, -1.0).to(far.dtype).cumsum(1)[:, :-1]
    total = (growing * (ends[:, :-1] - ends[:, 1:])).cumsum(1)  # at the lower end of each piece
    at = (total >= limit).int().argmax(1, keepdim=True)
    return ends.gather(1, at + 1) + (total.gather(1, at) - limit) / growing.gather(1, at).clamp_min(1)


def _shed(r: torch.Tensor, g: torch.Tensor, epsilon: float) -> torch.Tensor:
    """The r (n, ...) brought to an l1 size of epsilon by taking away where the least is gained by its gradient g."""
    flat = r.flatten(1)
    order = (g.flatten(1) * flat.sign()).masked_fill(flat == 0, float("inf")).argsort(dim=1)
    size_of = flat.abs().gather(1, order)
    excess = (size_of.sum(1, keepdim=True) - epsilon).clamp_min(0)
    taken = (excess - (size_of.cumsum(1) - size_of)).clamp_min(0).minimum(size_of)
    return (flat - flat.sign() * torch.zeros_like(flat).scatter(1, order, taken)).view_as(r)


def _pace(x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """|w| (n, D) relative to its largest (n,), and how far (n, D) each number of x may go in the direction of w."""
    flat, w = x.flatten(1), w.flatten(1)
    largest = w.abs().amax(1).clamp_min(torch.finfo(w.dtype).tiny)
    length = w.abs() / largest[:, None]
    length = length.masked_fill(length < _NOTHING, 0)
    room = torch.where(w > 0, 1 - flat, flat).clamp_min(0).masked_fill(length == 0, 0)
    return length, room, largest


def _level(full: torch.Tensor, rate: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The smallest t (n, 1) where sum_i rate_i min(t, full_i) is `wanted` (n, 1); if it never is, all are full.

    As if nothing were ever full, t is too small; what is full even then is full, and the others have to give more: a
    few rounds until nothing new is full, each far cheaper than sorting. Rounding never takes t back.
    """
    given, most = full * rate, full.amax(1, keepdim=True)
    t, reached, done = torch.zeros_like(most), torch.zeros_like(full, dtype=torch.bool), False
    while not done:
        rest = rate.masked_fill(reached, 0).sum(1, keepdim=True)
        left = wanted - given.masked_fill(~reached, 0).sum(1, keepdim=True)
        t = torch.where(rest > 0, left / rest, most).maximum(t)
        now = reached | (full <= t)
        reached, done = now, bool((now == reached).all())
    return t.minimum(most)
