"""L-BFGS directions for many problems at once, each with its own history (Nocedal 1980; Byrd, Nocedal, Schnabel 1994).

Minimises loss(z) + c ||z - x||^2 row by row. The history keeps steps s and changes of the *loss* gradient y; the
quadratic term's share 2 c s is added in the small space of inner products, so c may change without losing the history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from robustbench_lite.lazy import torch

__all__ = ["History"]


@dataclass
class History:
    """Per row: `basis` (n, 2m, D) holds m steps, then m loss-gradient changes; `gram` (n, 2m, 2m) their products."""

    basis: torch.Tensor
    gram: torch.Tensor
    count: torch.Tensor  # (n,) pairs ever stored since the last reset

    @classmethod
    def empty(cls, like: torch.Tensor, pairs: int) -> History:
        n, dimension = len(like), like[0].numel()
        count = torch.zeros(n, dtype=torch.int64, device=like.device)
        return cls(like.new_zeros(n, 2 * pairs, dimension), like.new_zeros(n, 2 * pairs, 2 * pairs), count)

    @property
    def pairs(self) -> int:
        return self.basis.shape[1] // 2

    def add(self, which: torch.Tensor, s: torch.Tensor, y: torch.Tensor) -> History:
        """Store the pair (s, y), both (n, ...), in the rows where `which` (n,) holds and the curvature s.y > 0.

        In place: the basis is by far the largest state of an attack, and nothing after this can run out of memory.
        """
        s, y = s.flatten(1), y.flatten(1)
        curved = (s * y).sum(1) > 1e-10 * (y * y).sum(1)
        row = (which & curved).nonzero()[:, 0]
        if len(row) == 0:
            return self
        slot = self.count[row] % self.pairs
        new = torch.stack([s[row], y[row]], 1)
        self.basis[row, slot], self.basis[row, slot + self.pairs] = new[:, 0], new[:, 1]
        every = len(row) == len(self.basis)
        products = (self.basis if every else self.basis[row]) @ new.transpose(1, 2)  # (r, 2m, 2)
        for part, at in enumerate((slot, slot + self.pairs)):
            self.gram[row, at, :] = products[:, :, part]
            self.gram[row, :, at] = products[:, :, part]
        return replace(self, count=self.count.index_add(0, row, torch.ones_like(row)))

    def reset(self, which: torch.Tensor) -> History:
        """Forget the history of the rows where `which` (n,) holds."""
        return replace(self, count=torch.where(which, 0, self.count))

    def direction(self, g: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """-H g for gradients g (n, ...) of the whole objective with penalty c (n,), H in its compact form.

        H = gamma I + [S, gamma Y] [[R^-T (D + gamma Y'Y) R^-1, -R^-T], [-R^-1, 0]] [S, gamma Y]', R the upper triangle
        of S'Y and D its diagonal, pairs from oldest to newest (Byrd, Nocedal, Schnabel 1994, theorem 2.2).
        """
        flat, m = g.flatten(1), self.pairs
        slots = torch.arange(m, device=g.device)
        order = (self.count[:, None] + slots) % m  # oldest first: empty slots come before used ones
        used = (m - slots) <= self.count[:, None]
        sy, yy, sg, yg = self._products(flat, c)
        both = used[:, :, None] & used[:, None, :]
        sy, yy = (_permuted(matrix, order) * both for matrix in (sy, yy))
        sg, yg = (values.gather(1, order) * used for values in (sg, yg))
        curvature = sy.diagonal(dim1=1, dim2=2)
        newest = curvature[:, -1] / yy[:, -1, -1]
        gamma = torch.where(self.count > 0, newest, 1 / (2 * c))[:, None]
        triangle = sy.triu() + torch.diag_embed((~used).to(sy.dtype))
        u = torch.linalg.solve_triangular(triangle, sg[:, :, None], upper=True)[:, :, 0]
        right = curvature * u + gamma * ((yy @ u[:, :, None])[:, :, 0] - yg)
        top = torch.linalg.solve_triangular(triangle.transpose(1, 2), right[:, :, None], upper=False)[:, :, 0]
        on_y, on_s = gamma * u, 2 * c[:, None] * gamma * u - top
        weights = torch.zeros_like(sg).scatter(1, order, on_s), torch.zeros_like(sg).scatter(1, order, on_y)
        mixed = (torch.cat(weights, 1)[:, None] @ self.basis)[:, 0]
        return (mixed - gamma * flat).view_as(g)

    def _products(self, flat: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Inner products with the full y, the penalty's 2 c s included."""
        m = self.pairs
        ss, sl, ll = self.gram[:, :m, :m], self.gram[:, :m, m:], self.gram[:, m:, m:]
        twice = 2 * c[:, None, None]
        sy = sl + twice * ss  # s_i . y_j
        yy = ll + twice * (sl + sl.transpose(1, 2)) + twice**2 * ss
        along = (self.basis @ flat[:, :, None])[:, :, 0]
        sg, lg = along[:, :m], along[:, m:]
        return sy, yy, sg, lg + 2 * c[:, None] * sg


def _permuted(matrix: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Rows and columns of every matrix (n, m, m) in the order (n, m)."""
    m = matrix.shape[1]
    matrix = matrix.gather(1, order[:, :, None].expand(-1, m, m))
    return matrix.gather(2, order[:, None, :].expand(-1, m, m))
