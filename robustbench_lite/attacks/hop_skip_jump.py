"""HopSkipJump (Chen et al., https://arxiv.org/abs/1904.02144): along the boundary, decisions alone, in l2 and linf."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.access import Access
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import Fitting
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
from robustbench_lite.threat.rows import per_row, rows
from robustbench_lite.threat.setting import Setting

__all__ = ["HopSkipJump"]

START, BLEND, SEARCH, ESTIMATE, STEP = range(5)  # what a row does next
_STARTS = 1000  # tries of random images at most
_BLENDED = 1e-3  # how exactly the first search, from noise to the image, ends
_LEAST = 2.0**-20  # shares of a way, and changes of a pixel, that float32 images still tell apart
_FIRST = 0.1  # length of the first probes
_HALVINGS = 25  # of a step
_FACTORS = {"l2": 1.75, "linf": 2.4}  # above the exact distance between two classes, after _TRIED queries
_TRIED = 600


@dataclass
class HopState(State):
    phase: torch.Tensor  # (n,) one of the above
    queries: torch.Tensor  # (n,)
    turn: torch.Tensor  # (n,) t of the paper
    far: torch.Tensor  # an image that reaches the goal, from where the next search sets out
    reach: torch.Tensor  # (n,) its distance from x
    low: torch.Tensor  # (n,) shares of the way from x to `far`: not there yet
    high: torch.Tensor  # (n,) there
    at: torch.Tensor  # where the boundary was found, just beyond it
    asked: torch.Tensor  # (n,) probes of this turn
    hits: torch.Tensor  # (n,) the sum of their answers, 1 or -1
    votes: torch.Tensor  # (n, C, H, W) the sum of probes, each times its answer; float64
    drift: torch.Tensor  # (n, C, H, W) the sum of probes; float64
    way: torch.Tensor  # the direction of the step
    length: torch.Tensor  # (n,) how far it goes


@attacks.register("hop_skip_jump")
class HopSkipJump(StepAttack):
    """From noise to the boundary, then along it: its normal is estimated from decisions on random probes."""

    card: ClassVar[Card] = Card(
        title="HopSkipJump",
        paper="Chen et al., HopSkipJumpAttack: a query-efficient decision-based attack, IEEE S&P 2020",
        arxiv="1904.02144",
        protocol=(
            "Decisions only. Starts at uniform noise blended into the image; in turn t: binary search to the boundary "
            "(to d^-1.5 of the way in l2, d^-2 in linf), probes x 100 sqrt(t) for the normal, with their mean taken "
            "off, a step of the distance / sqrt(t), halved until it is adversarial. Goes on until the queries are used."
        ),
        deviations=(
            "Asks about the image itself first. Where uniform noise of single pixels is not adversarial, noise of "
            "coarser blocks is tried in turn.",
            "Searches end, and probes begin, at what float32 images resolve.",
            "Targeted: of other images that the classifier takes for the target the nearest is where it starts.",
        ),
    )
    access: ClassVar[Access] = "labels"
    minimal: ClassVar[bool] = True
    fills: ClassVar[bool] = True

    norm: Literal["l2", "linf"] = Field("l2", description="Norm that is minimised.")
    n_queries: PositiveInt = Field(5000, description="Images of each sample that the classifier is asked about.")
    probes: PositiveInt = Field(100, ge=2, description="Probes of the first turn; sqrt(t) times as many in turn t.")
    most_probes: PositiveInt = Field(10_000, ge=2, description="Probes of a turn at most.")

    starts: PositiveInt = Field(
        100,
        description="Targeted: so many images of the same data that are not attacked, `fit=` in a call; the nearest "
        "one that the classifier takes for the target is where it starts.",
    )

    later: ClassVar[tuple[tuple[str, ...], ...]] = (("starts",),)

    @property
    def images_to_fit(self) -> int:
        return 0 if self.target is None else self.starts

    @property
    def typical_passes(self) -> float:
        return float(self.n_queries)

    @property
    def promise(self) -> Promise:
        return Promise(factor=_FACTORS[self.norm], pair=True)

    def tried(self, images: int) -> Self:
        """With no more queries than its promise needs."""
        return super().tried(images).model_copy(update={"n_queries": min(self.n_queries, _TRIED)})

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> HopState:
        none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        zero, far, sums = none.double(), torch.full((len(x),), float("inf"), device=x.device), x.double() * 0
        base = (x, goal, draw, x, far, none.bool())
        return HopState(*base, none, none, none, x, zero, zero, zero, x, none, none, sums, sums, x, zero)

    def begin(self, x: torch.Tensor, goal: Goal, draw: Draw, setting: Setting | None) -> HopState:
        """Targeted, the state knows from where to set out. Raises AttackError where there is no such image."""
        state = self.start(x, goal, draw)
        if self.target is None:
            return state
        far = self._nearest(x, goal.label, Fitting.of(setting, self.registered))
        return replace(state, far=far, reach=size(far - x, self.norm).double())

    def _nearest(self, x: torch.Tensor, label: torch.Tensor, others: Fitting) -> torch.Tensor:
        """Of the other images the nearest (n, C, H, W) to each that the classifier takes for its target (n,)."""
        nearest = x.clone()
        for target in sorted(set(label.tolist())):
            which, there = (label == target).nonzero()[:, 0], others.x[others.goal.label == target]
            if not len(there):
                raise AttackError(
                    f"{self.registered}: found no start: of {len(others.x)} other images none is taken for class "
                    f"{target}, the target; raise `starts`, or choose another target"
                )
            far = torch.stack([size(there - x[i], self.norm).argmin() for i in which])
            nearest[which] = there[far]
        return nearest

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, HopState)
        s, n = state, len(state.x)
        image, estimating = self._image(s), s.phase == ESTIMATE
        room = max(1, oracle.batch_size // n)
        count = self._left(s).clamp_max(room).where(estimating, torch.ones_like(s.phase))
        index = torch.repeat_interleave(count)
        first = count.cumsum(0) - count
        probe = estimating[index].nonzero()[:, 0]
        images, at = image[index], index[probe]
        if len(probe):
            images[probe] = self._probes(rows(s, at), s.queries[at] + probe - first[at])
        decided = oracle.reached(images, rows(s.goal, index), index)
        s = replace(s, queries=s.queries + count, asked=s.asked + count * estimating)
        if len(probe):
            s = self._count(s, at, images[probe], decided[probe])
        hit = decided[first] & ~estimating
        score = torch.where(hit, size(image - s.x, self.norm), float("inf"))
        s = self._set_out(s, hit & (state.phase == START), image, BLEND if self.norm == "linf" else SEARCH)
        s = self._search(s, hit, state.phase)
        s = self._jump(s, image, hit, state.phase)
        s = self._turn(s, state.phase)
        return replace(s, candidate=image, won=hit, score=score, done=self._done(s, hit, state))

    def _done(self, s: HopState, hit: torch.Tensor, before: HopState) -> torch.Tensor:
        clean = hit & (before.queries == 0)
        lost = (s.phase == START) & (s.queries > _STARTS)
        return clean | lost | (s.queries >= self.n_queries)

    # what is looked at

    def _image(self, s: HopState) -> torch.Tensor:
        """What a row asks about (n, C, H, W), unless it probes."""
        starting = s.phase == START
        image = self._between(s, (s.low + s.high) / 2)
        stepping = (s.at + per_row(s.length, s.at).to(s.at.dtype) * s.way).clamp(0, 1)
        image = torch.where(per_row(s.phase == STEP, image), stepping, image)
        if bool(starting.any()):
            at = starting.nonzero()[:, 0]
            image = image.index_copy(0, at, self._noise(rows(s, at)))
        return image

    def _noise(self, s: HopState) -> torch.Tensor:
        """The image itself, one of the target's class, then uniform noise: of single pixels, of blocks of 2, 4, ..."""
        shape = s.x.shape[1:]
        noise = s.draw.uniform("start", tuple(shape), s.queries)
        scales = max(1, max(shape[1:]).bit_length())
        for k in range(1, scales):
            which = (s.queries - 1) % scales == k
            lines = [torch.arange(side, device=s.x.device) >> k << k for side in shape[1:]]
            noise = torch.where(per_row(which, noise), noise[:, :, lines[0]][:, :, :, lines[1]], noise)
        noise = torch.where(per_row((s.queries == 1) & (s.reach > 0), s.far), s.far, noise)
        return torch.where(per_row(s.queries == 0, s.x), s.x, noise)

    def _between(self, s: HopState, share: torch.Tensor) -> torch.Tensor:
        """The image (n, C, H, W) that is this share (n,) of the way from x to `far`."""
        way = s.far - s.x
        blended = s.x + per_row(share, way).to(way.dtype) * way
        if self.norm == "linf":
            most = per_row(share * s.reach, way).to(way.dtype)
            blended = torch.where(per_row(s.phase == BLEND, way), blended, s.x + way.maximum(-most).minimum(most))
        return torch.where(per_row(share >= 1, way), s.far, blended).clamp(0, 1)

    def _probes(self, s: HopState, number: torch.Tensor) -> torch.Tensor:
        """Images at a small distance from the boundary point, in random directions."""
        shape = tuple(s.x.shape[1:])
        normal = self.norm == "l2"
        u = s.draw.normal("probe", shape, number) if normal else 2 * s.draw.uniform("probe", shape, number) - 1
        return (s.at + u * per_row(self._delta(s).float() / size(u, "l2"), u)).clamp(0, 1)

    def _delta(self, s: HopState) -> torch.Tensor:
        """How far probes go (n,): the distance / d, in the first turn a tenth."""
        numbers = s.x[0].numel()
        return torch.where(s.turn == 1, _FIRST, s.reach / numbers).clamp_min(_LEAST * numbers**0.5)

    def _wanted(self, s: HopState) -> torch.Tensor:
        """Probes (n,) of the turn."""
        return (self.probes * s.turn.double().sqrt()).long().clamp_max(self.most_probes)

    def _left(self, s: HopState) -> torch.Tensor:
        """Probes (n,) that a turn still has."""
        return (self._wanted(s) - s.asked).minimum(self.n_queries - s.queries).clamp_min(1)

    # what follows

    def _count(self, s: HopState, at: torch.Tensor, images: torch.Tensor, decided: torch.Tensor) -> HopState:
        answer = torch.where(decided, 1, -1)
        u = (images - s.at[at]).double() / per_row(self._delta(s)[at], images)
        votes = s.votes.index_add(0, at, u * per_row(answer, u))
        return replace(s, votes=votes, drift=s.drift.index_add(0, at, u), hits=s.hits.index_add(0, at, answer))

    def _set_out(self, s: HopState, which: torch.Tensor, far: torch.Tensor, phase: int) -> HopState:
        """The rows where `which` (n,) holds search between x and `far`."""
        reach = size(far - s.x, self.norm).double()
        return replace(
            s,
            phase=torch.where(which, phase, s.phase),
            far=torch.where(per_row(which, far), far, s.far),
            reach=torch.where(which, reach, s.reach),
            low=torch.where(which, 0.0, s.low),
            high=torch.where(which, 1.0, s.high),
        )

    def _search(self, s: HopState, hit: torch.Tensor, phase: torch.Tensor) -> HopState:
        """Half of what is left of the way; where the boundary is found exactly enough, a new turn."""
        theta = max(_LEAST, s.x[0].numel() ** (-1.5 if self.norm == "l2" else -2.0))
        searching = (phase == BLEND) | (phase == SEARCH)
        if not bool(searching.any()):
            return s
        middle = (s.low + s.high) / 2
        s = replace(
            s,
            low=torch.where(searching & ~hit, middle, s.low),
            high=torch.where(searching & hit, middle, s.high),
        )
        narrow = s.high - s.low <= torch.where(phase == BLEND, _BLENDED, theta)
        boundary = self._between(s, s.high)
        s = self._set_out(s, narrow & (phase == BLEND), boundary, SEARCH)
        ended = narrow & (phase == SEARCH)
        blank = per_row(ended, s.votes)
        return replace(
            s,
            phase=torch.where(ended, ESTIMATE, s.phase),
            at=torch.where(per_row(ended, boundary), boundary, s.at),
            turn=s.turn + ended,
            asked=s.asked.masked_fill(ended, 0),
            hits=s.hits.masked_fill(ended, 0),
            votes=s.votes.masked_fill(blank, 0),
            drift=s.drift.masked_fill(blank, 0),
        )

    def _turn(self, s: HopState, phase: torch.Tensor) -> HopState:
        """Where all probes of a turn have answered: the direction, and how far to step."""
        ended = (phase == ESTIMATE) & (s.asked >= self._wanted(s))
        if not bool(ended.any()):
            return s
        mean = s.hits.double() / s.asked.clamp_min(1)
        alike = mean.abs() == 1
        normal = torch.where(per_row(alike, s.votes), s.votes, s.votes - per_row(mean, s.drift) * s.drift)
        way = normal.sign() if self.norm == "linf" else normal / per_row(size(normal, "l2").clamp_min(1e-300), normal)
        length = size(s.at - s.x, self.norm).double() / s.turn.clamp_min(1).sqrt()
        return replace(
            s,
            phase=torch.where(ended, STEP, s.phase),
            way=torch.where(per_row(ended, way), way.to(s.way.dtype), s.way),
            length=torch.where(ended, length, s.length),
        )

    def _jump(self, s: HopState, image: torch.Tensor, hit: torch.Tensor, phase: torch.Tensor) -> HopState:
        """A step that is adversarial is where the next search sets out; else half of it; at last none."""
        stepping = phase == STEP
        whole = size(s.at - s.x, self.norm).double() / s.turn.clamp_min(1).sqrt()
        stuck = stepping & ~hit & (s.length <= whole * 0.5**_HALVINGS)
        s = replace(s, length=torch.where(stepping & ~hit, s.length / 2, s.length))
        return self._set_out(s, (stepping & hit) | stuck, torch.where(per_row(stuck, image), s.at, image), SEARCH)
