"""Trains a generator against a critic. Checkpoints: the same call continues an interrupted training, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.generators._data import Data, data_of, number_of, stream
from robustbench_lite.generators.recipe import Recipe
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Training", "trained"]

Row = dict[str, float]


def trained(
    todo: Recipe,
    checkpoint: Path,
    root: Path | None = None,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Training:
    """Recipe `todo` carried out, from `checkpoint` where there is one. Raises DataError, ModelError."""
    with deterministic(), torch.random.fork_rng():
        training = Training(todo, data_of(todo, root or Path.cwd()), checkpoint, torch.device(device))
        training.run(progress)
    return training


@dataclass
class Training:
    """Two networks, their optimisers, and how far they are."""

    todo: Recipe
    data: Data
    checkpoint: Path
    device: torch.device
    step: int = 0  # of the generator, done
    drawn: int = 0  # batches of real images so far
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    hardware: list[str] = field(default_factory=list)  # what it was trained on, one after the other
    parts: dict[str, Any] = field(init=False)  # what a checkpoint holds beside numbers: networks and optimisers

    def __post_init__(self) -> None:
        todo, nets, game = self.todo, self.todo.nets, self.todo.game
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(todo.seed)
            self.generator = nets.generator(todo.size).to(self.device)
            self.critic = nets.critic(todo.size, game.critic_norm).to(self.device)
        self.averaged = deepcopy(self.generator)
        self.optimizers = (game.optimizer(self.generator.parameters()), game.optimizer(self.critic.parameters()))
        self.parts = {"generator": self.generator, "critic": self.critic, "averaged": self.averaged}
        self.parts |= {"of_generator": self.optimizers[0], "of_critic": self.optimizers[1]}
        self.nets, self.game = nets, game

    @property
    def kept(self) -> nn.Module:
        """The generator whose images count, in eval mode."""
        net = self.averaged if self.todo.average else self.generator
        self.nets.grow(net, 1.0)
        return net.eval()

    def run(self, progress: Callable[[str], None]) -> None:
        """On to the last step. Raises ModelError where a loss is no number."""
        todo = self.todo
        self._resume()
        self.hardware += [here] if (here := _hardware(self.device)) not in self.hardware[-1:] else []
        while self.step < todo.steps:
            began = perf_counter()
            row = self._advance()
            self.seconds += perf_counter() - began
            self.step += 1
            if self.step % todo.log_every == 0 or self.step == todo.steps:
                self._log(row, progress)
            if self.step % todo.save_every == 0 or self.step == todo.steps:
                self._save()

    def _advance(self) -> dict[str, torch.Tensor]:
        """One step of the generator, and those of the critic before it."""
        for net in (self.generator, self.critic, self.averaged):
            self.nets.grow(net, self.step / self.todo.steps)
        self._anneal()
        self.generator.train()
        self.critic.train()
        torch.manual_seed(number_of(self.todo.seed, "dropout", self.step))
        row = {}
        for _ in range(self.game.critic_steps(self.step)):
            row = self._teach_critic()
        return row | {"generator_loss": self._teach_generator()}

    def _anneal(self) -> None:
        """Step sizes as this step has them: in the last share of the steps they fall to zero, in a straight line."""
        todo = self.todo
        left = min(1.0, (todo.steps - self.step) / (todo.anneal * todo.steps)) if todo.anneal else 1.0
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = self.game.lr * left

    def _teach_critic(self) -> dict[str, torch.Tensor]:
        game, random = self.game, stream(self.todo.seed, "critic", self.drawn)
        real = self.nets.shown(self.critic, self.data.batch(self.drawn).to(self.device))
        self.drawn += 1
        with torch.no_grad():
            fake = self.generator(self._latents(random))
        epsilon = torch.rand(len(real), generator=random).to(self.device)
        real_scores, fake_scores = self.critic(real), self.critic(fake)
        penalty = game.penalty(self.critic, real, fake, epsilon)
        loss = game.critic_loss(real_scores, fake_scores) + penalty
        self._descend(self.optimizers[1], loss)
        game.constrain(self.critic)
        wasserstein = (real_scores.mean() - fake_scores.mean()).detach()
        return {"critic_loss": loss.detach(), "penalty": penalty.detach(), "wasserstein": wasserstein}

    def _teach_generator(self) -> torch.Tensor:
        self.critic.requires_grad_(requires_grad=False)
        fake = self.generator(self._latents(stream(self.todo.seed, "generator", self.step)))
        loss = self.game.generator_loss(self.critic(fake))
        self._descend(self.optimizers[0], loss)
        self.critic.requires_grad_(requires_grad=True)
        self._average()
        return loss.detach()

    def _latents(self, random: torch.Generator) -> torch.Tensor:
        return torch.randn(self.todo.batch_size, self.nets.latent, generator=random).to(self.device)

    def _descend(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()

    def _average(self) -> None:
        """The running mean of weights, and of what batch norm has seen; counters as they are."""
        if not self.todo.average:
            return
        now = self.generator.state_dict()
        for name, mean in self.averaged.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1 - self.todo.average)
            else:
                mean.copy_(now[name])

    def _log(self, row: dict[str, torch.Tensor], progress: Callable[[str], None]) -> None:
        numbers = {key: float(value) for key, value in row.items()}
        self.rows.append({"step": self.step, "images": self.drawn * self.todo.batch_size} | numbers)
        self.rows[-1]["seconds"] = round(self.seconds, 3)
        text = ", ".join(f"{key} {value:.4f}" for key, value in numbers.items())
        if not all(map(math.isfinite, numbers.values())):
            raise ModelError(f"{self.todo.name}: training diverged at step {self.step}: {text}; take a smaller lr")
        progress(f"{self.todo.name}: step {self.step}/{self.todo.steps}, {text}")

    def _save(self) -> None:
        state: dict[str, Any] = {key: part.state_dict() for key, part in self.parts.items()}
        state |= {"recipe": self.todo.hash, "step": self.step, "drawn": self.drawn}
        state |= {"seconds": self.seconds, "rows": self.rows, "hardware": self.hardware}
        temporary = self.checkpoint.with_suffix(".tmp")  # a kill while saving leaves the last one whole
        torch.save(state, temporary)
        temporary.replace(self.checkpoint)

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")  # Adam counts its steps there
        if state["recipe"] != self.todo.hash:
            raise ModelError(f"{self.checkpoint}: of another recipe than {self.todo.name} is now; remove it")
        for key, part in self.parts.items():
            part.load_state_dict(state[key])
        self.step, self.drawn, self.seconds = state["step"], state["drawn"], state["seconds"]
        self.rows, self.hardware = state["rows"], state.get("hardware", [])


def _hardware(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
