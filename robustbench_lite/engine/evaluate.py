"""An attack on a classifier and images at hand: the loop and the judge of a run, without a suite or a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.columns import called
from robustbench_lite.engine.inputs import checked_images, checked_labels, checked_members
from robustbench_lite.engine.inspection import Scorer, doubts_about, looked
from robustbench_lite.engine.job import Fitting
from robustbench_lite.engine.result import AttackResult
from robustbench_lite.engine.slopes import misleading
from robustbench_lite.engine.trial import Trial, fitting
from robustbench_lite.errors import ModelError, UsageError
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.guards.frozen import frozen
from robustbench_lite.guards.memory import auto_batch_size
from robustbench_lite.lazy import torch
from robustbench_lite.threat.ids import float_ids

if TYPE_CHECKING:
    from torch import nn

__all__ = ["evaluate"]


def evaluate(
    attack: Attack,
    model: nn.Module | Sequence[nn.Module],
    x: torch.Tensor,
    y: torch.Tensor | None = None,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    fit: torch.Tensor | None = None,
    inspect: bool = True,
    expectation: int | None = None,
) -> AttackResult:
    """What `attack` does to images x (N, C, H, W) in [0, 1] with true labels y (N,); see `Attack.__call__`."""
    members, images = checked_members(model), checked_images(x)
    if expectation is not None and not (type(expectation) is int and expectation > 0):
        raise UsageError(f"expectation: expected a number of draws, 1 at least, or None, got {expectation!r}")
    if problem := attack.too_far(tuple(images.shape[1:])):
        raise UsageError(problem)
    call = _Call(attack, members, images, x.device, seed, batch_size, inspect=inspect)
    with call.settled() as changed:
        if expectation is not None:
            call = call.of_mean(expectation)
        result = call.result(y, None if fit is None else checked_images(fit, "fit"))
    doubts = [f"the forward pass changes {name}, which was put back" for name in changed]
    images, labels = (part.to(x.device) for part in (result.images, result.labels))
    return replace(result, images=images, labels=labels, warnings=(*result.warnings, *doubts))


@dataclass
class _Call:
    """One call: everything is on the CPU, but for the classifiers, which stay where they are."""

    attack: Attack
    members: tuple[nn.Module, ...]
    x: torch.Tensor
    lying: torch.device  # where the images were given
    seed: int
    batch_size: int | None
    inspect: bool
    draws: int = 1

    def of_mean(self, draws: int) -> _Call:
        """The same on the means over so many draws of the randomness of each classifier."""
        from robustbench_lite.engine.expectation import Expectation  # its class statement needs torch

        members = []
        for member in self.members:
            mean = Expectation(member, draws)
            mean.training = False  # what is inside is in eval mode already
            vars(mean)["name"] = _called(member)
            with blamed(_called(member), ModelError, "inspect"):
                mean.try_batches(self.x[:2].to(_device(member, self.lying)))
            members.append(mean)
        return replace(self, members=tuple(members), draws=draws)

    def __post_init__(self) -> None:
        sources, shares = self.attack.sources, self.attack.shares
        if isinstance(sources, tuple):
            raise UsageError("sources: names are those of a suite's classifiers; give the modules instead, in a list")
        if shares is not None and len(shares) != len(self.members):
            raise UsageError(f"weights: expected {len(self.members)}, one for each of the modules, got {len(shares)}")
        if self.attack.needs not in {None, Fitting}:
            raise UsageError(
                f"{called(self.attack)} works on {self.attack.needs.title}, not on images: run it in a suite, "
                "robustbench_lite.run({...}), on such a dataset"
            )

    @cached_property
    def module(self) -> nn.Module:
        """The one classifier, or the mean of the probabilities of several."""
        if len(self.members) == 1:
            return self.members[0]
        from robustbench_lite.engine.mixture import Mixture  # its class statement needs torch

        mixture = Mixture(self.members, self.attack.shares)
        mixture.training = False  # its members are in eval mode already, or will be
        return mixture

    @cached_property
    def device(self) -> torch.device:
        """That of the first parameter or buffer, else of the images."""
        return _device(self.module, self.lying)

    @cached_property
    def size(self) -> int:
        return self.batch_size or auto_batch_size(self.x, self.device, self.draws)

    @contextmanager
    def settled(self) -> Iterator[list[str]]:
        """The state in which a run attacks, whatever the caller's; afterwards all is as it was."""
        with (
            undisturbed(),
            deterministic(),
            torch.inference_mode(mode=False),
            torch.autocast(self.device.type, enabled=False),
            frozen(*self.members) as changed,
        ):
            yield changed

    def result(self, y: torch.Tensor | None, fit: torch.Tensor | None) -> AttackResult:
        attack, ids, module = self.attack, float_ids(self.x.numpy()), self.module
        name = "+".join(map(_called, self.members))
        clean, doubts = self._clean()
        labels = self._labels(y, clean)
        several = len(self.members)
        trial = Trial.of(attack, self.x, labels, clean, ids, self.seed, setting=self._fitting(fit), members=several)
        scorer = Scorer(name, module, self.device, self.size)
        outcome, _ = trial.propose(scorer, self.members if several > 1 else ())
        scored = trial.score(outcome, scorer, clean)
        return AttackResult(attack, outcome.candidates, labels, ids, doubts, scored, outcome)

    def _clean(self) -> tuple[torch.Tensor, tuple[str, ...]]:
        """Logits (N, K) on the clean images, and what makes one doubt that they are logits."""
        logits, doubts = list[torch.Tensor](), list[str]()
        for member in self.members:
            scorer = Scorer(_called(member), member, self.device, self.size)
            logits.append(looked(scorer, self.x) if self.inspect else scorer.logits(self.x))
            if logits[-1].ndim != 2 or logits[-1].shape[1] < 2:
                raise ModelError(
                    f"{scorer.name}: expected logits (N, K) of two classes at least, got {tuple(logits[-1].shape)}; "
                    "for one logit z (N, 1) return torch.cat([torch.zeros_like(z), z], 1)"
                )
            slopes = misleading(scorer, self.x) if self.inspect else ()
            doubts += [f"{scorer.name}: {text}" for text in (*doubts_about(logits[-1]), *slopes)]
        if len({part.shape[1] for part in logits}) > 1:
            raise ModelError("model: expected the same classes in all modules to take the mean of")
        if len(logits) == 1:
            return logits[0], tuple(doubts)
        from robustbench_lite.engine.mixture import mix

        return mix(logits, self.attack.shares), tuple(doubts)

    def _labels(self, y: torch.Tensor | None, clean: torch.Tensor) -> torch.Tensor:
        """The true labels; where none are given and none are asked for, the predictions."""
        if y is None and self.attack.goal == "prediction":
            return clean.argmax(1)
        labels, target = checked_labels(y, len(self.x), clean.shape[1]), self.attack.target
        if own := int((labels == target).sum()) if isinstance(target, int) else 0:
            raise UsageError(f"target: {own} of {len(labels)} images are of class {target} already; leave them out")
        return labels

    def _fitting(self, fit: torch.Tensor | None) -> Fitting | None:
        """Other images, with the predictions on them, for an attack that is fitted on such."""
        attack, wanted = self.attack, self.attack.images_to_fit
        if not wanted:
            if fit is not None:
                raise UsageError(f"fit: {called(attack)} is not fitted on other images")
            return None
        if fit is None or len(fit) < wanted:
            raise UsageError(
                f"{called(attack)} {'is fitted on' if attack.needs else 'starts at'} other images than those that are "
                f"attacked: expected {wanted} in fit=, or fewer with the parameter "
                f"`{'fit' if attack.needs else 'starts'}`, got {'none' if fit is None else len(fit)}"
            )
        images, scorer = fit[:wanted], Scorer("fit", self.module, self.device, self.size)
        return fitting(attack, scorer, images, float_ids(images.numpy()), self.seed, len(self.members))


def _device(module: nn.Module, otherwise: torch.device) -> torch.device:
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else otherwise


def _called(module: nn.Module) -> str:
    """What results call a module: its `name` where that is a text, else its class."""
    name = getattr(module, "name", None)
    return name if isinstance(name, str) and name else type(module).__name__
