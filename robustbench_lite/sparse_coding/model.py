"""The multi-layer convolutional sparse-coding model: X = D1 G1, G1 = D2 G2, ... (https://arxiv.org/abs/1607.08194)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robustbench_lite.lazy import torch
from robustbench_lite.sparse_coding.dictionary import Dictionary
from robustbench_lite.sparse_coding.local import NEEDLE, Patch, patch_sparsity, stripe_sparsity
from robustbench_lite.threat import Draw

__all__ = ["Facts", "Layers", "Signals"]


@dataclass(frozen=True)
class Facts:
    """What the theorems ask of the true representation of a layer; all (n,)."""

    stripe: torch.Tensor  # nonzeros of a stripe, at most
    patch: torch.Tensor  # nonzeros of a patch that the next layer looks at, at most
    smallest: torch.Tensor  # |value| of the nonzeros
    largest: torch.Tensor


@dataclass(frozen=True)
class Signals:
    """Signals (n, C, H, W) and the representations that they were made of, from the first layer on."""

    x: torch.Tensor
    codes: tuple[torch.Tensor, ...]

    def __getitem__(self, rows: slice) -> Signals:
        return Signals(self.x[rows], tuple(code[rows] for code in self.codes))


@dataclass(frozen=True, eq=False)
class Layers:
    """Dictionaries from the signal inwards; the atoms of each have the channels that the one before has atoms."""

    dictionaries: tuple[Dictionary, ...]

    def __post_init__(self) -> None:
        for i, (outer, inner) in enumerate(zip(self.dictionaries, self.dictionaries[1:], strict=False), 2):
            if inner.atoms.shape[1] != len(outer.atoms):
                raise ValueError(
                    f"layer {i}: expected atoms of {len(outer.atoms)} channels, as many as layer {i - 1} has atoms, "
                    f"got {inner.atoms.shape[1]}"
                )

    def __len__(self) -> int:
        return len(self.dictionaries)

    @property
    def coherence(self) -> tuple[float, ...]:
        """The coherence mu of every dictionary."""
        return tuple(dictionary.coherence for dictionary in self.dictionaries)

    def patch(self, layer: int) -> Patch:
        """In which layer `layer` is measured: what the next layer's atoms look at; 0 is the signal."""
        if layer == len(self):
            return NEEDLE
        following = self.dictionaries[layer]
        return following.extent, following.stride

    def synthesise(self, deepest: torch.Tensor) -> Signals:
        """Signals and all representations from the deepest one (n, m, a, b)."""
        codes = [deepest]
        for dictionary in reversed(self.dictionaries):
            codes.append(dictionary.synthesise(codes[-1]))
        x, *rest = reversed(codes)
        return Signals(x, tuple(rest))

    def seen(self, layer: int) -> torch.Tensor:
        """Every atom of layer `layer`, from 1, as it appears in the signal (m, C, h, w)."""
        atoms = self.dictionaries[layer - 1].atoms
        for dictionary in reversed(self.dictionaries[: layer - 1]):
            atoms = dictionary.synthesise(atoms)
        return atoms

    def facts(self, codes: Sequence[torch.Tensor]) -> tuple[Facts, ...]:
        """Of the true representations of every layer."""
        found = []
        for i, (dictionary, code) in enumerate(zip(self.dictionaries, codes, strict=True), 1):
            size = code.abs().flatten(1)
            least = size.masked_fill(size == 0, float("inf")).amin(1)
            stripe, patch = stripe_sparsity(code, dictionary), patch_sparsity(code, self.patch(i))
            found.append(Facts(stripe.to(size), patch.to(size), least, size.amax(1)))
        return tuple(found)

    def draw(
        self,
        draw: Draw,
        positions: tuple[int, int],
        stripes: Sequence[int],
        amplitude: tuple[float, float] = (0.9, 1.0),
        signed: bool = False,
        tries: int = 24,
    ) -> Signals:
        """Signals with as many nonzeros as `tries` places leave room for: no stripe of layer i has over stripes[i].

        The deepest representation (n, m, *positions) has values of a size uniform in `amplitude`; where a proposed
        place breaks a limit it stays empty. A number depends on its sample alone. Raises ValueError where one stays 0.
        """
        shape = (len(self.dictionaries[-1].atoms), *positions)
        count = shape[0] * shape[1] * shape[2]
        size, sign = draw.uniform("size", (tries,)).double(), draw.uniform("sign", (tries,))
        value = amplitude[0] + (amplitude[1] - amplitude[0]) * size
        value = torch.where((sign < 0.5) & signed, -value, value).to(self.dictionaries[-1].atoms)
        codes = torch.zeros((len(value), count), dtype=value.dtype, device=value.device)
        for i in range(tries):
            at = draw.integer("place", count, i)[:, None]
            proposed = codes.scatter(1, at, value[:, i : i + 1])
            fits = self._fits(proposed.view(-1, *shape), stripes)
            codes = torch.where(fits[:, None], proposed, codes)
        empty = int((codes == 0).all(1).sum())
        if empty:
            raise ValueError(
                f"draw: expected room for an atom in every signal, got none in {empty} of {len(codes)} after {tries} "
                f"tries; allow more than {tuple(stripes)} in a stripe, or more tries"
            )
        return self.synthesise(codes.view(-1, *shape))

    def _fits(self, deepest: torch.Tensor, stripes: Sequence[int]) -> torch.Tensor:
        """Which representations (n,) keep to the limits in every layer."""
        codes = self.synthesise(deepest).codes
        pairs = zip(self.dictionaries, codes, stripes, strict=True)
        return torch.stack([stripe_sparsity(code, one) <= most for one, code, most in pairs]).all(0)
