"""What one attack is held to: the samples, the goal of each, and the verdicts on what it proposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.columns import Scored
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.job import CONTROL, Fitting, Job
from robustbench_lite.engine.judge import NOT_FINITE, Panel, finite, judge
from robustbench_lite.engine.opinion import Asked
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.setting import Setting

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TARGETS", "Trial", "fitting"]

TARGETS = "targets"  # the stream of random targets: of the suite's seed and the sample, whatever the attack


def fitting(
    attack: Attack, scorer: Scorer, x: torch.Tensor, ids: Sequence[str], seed: int, members: int = 1
) -> Fitting:
    """Images x (M, C, H, W) to fit on, with the classifier's predictions on them. Raises AttackError."""
    clean = finite(scorer.logits(x), "images to fit on")
    goal = Goal(clean.argmax(1), clean.shape[1], members=members)
    return Fitting(x, goal, Draw(keys(seed, attack.stream(), ids)))


@dataclass(frozen=True)
class Trial:
    """An attack on the images of `job`, whose true labels are `labels` (N,) and whose names are `ids`; all on the CPU.

    `seed`: that of the views that the judge draws.
    """

    attack: Attack
    job: Job
    labels: torch.Tensor
    ids: list[str]
    seed: int

    @classmethod
    def of(
        cls,
        attack: Attack,
        x: torch.Tensor,
        labels: torch.Tensor,
        clean: torch.Tensor,
        ids: Sequence[str],
        seed: int,
        *,
        setting: Setting | None = None,
        members: int = 1,
        place: tuple[int, int] | None = None,
    ) -> Trial:
        """The attack on images x (N, C, H, W) on which the classifier's logits are `clean` (N, K).

        `members`: of how many classifiers that is the mean; `place`: as in `Job`. Raises AttackError where the target
        is no class of it.
        """
        draw, targets = (Draw(keys(seed, stream, ids)) for stream in (attack.stream(), TARGETS))
        goal = replace(attack.goals(labels, clean, targets), members=members)
        return cls(attack, Job(x, goal, draw, setting, place), labels, list(ids), seed)

    def propose(
        self, scorer: Scorer, members: tuple[nn.Module, ...] = (), progress: Callable[[int], None] = lambda _: None
    ) -> tuple[Outcome, Oracle]:
        """What the attack makes of the images, on the CPU, and the oracle that it asked; `members` of a mean."""
        oracle = Oracle(scorer.module, scorer.device, scorer.size, members)
        outcome = run(self.attack, oracle, self.job.to(scorer.device), progress)
        return outcome.cpu(), oracle

    def score(self, outcome: Outcome, scorer: Scorer, clean: torch.Tensor, weights: str | None = None) -> Scored:
        """The judge's verdicts on one classifier, whose logits (N, K) on the clean images are `clean`.

        Its own clean prediction counts where the goal is to leave that. A texture is what it makes of it on average
        over views.
        """
        attack, x, goal = self.attack, self.job.x, self.job.goal
        if not goal.targeted:
            goal = Goal(self.labels if attack.goal == "label" else clean.argmax(1), clean.shape[1])
        panel, setting = self._panel(scorer), self.job.setting
        in_views = setting is not None and setting.views is not None

        def classify(part: torch.Tensor) -> torch.Tensor:
            return panel.logits(part) if panel is not None and in_views else scorer.logits(part)

        verdicts = judge(attack, classify, x, outcome.candidates, goal, outcome.found)
        against = attack.contradicted(self.job, outcome.candidates, outcome.found)
        for text in dict.fromkeys(filter(None, against)):
            verdicts.reject(torch.tensor([one == text for one in against]), text)
        scored = Scored(scorer.name, weights, clean, goal, verdicts)
        beside = self._control(outcome)
        if beside is not None:
            logits = classify(beside)
            verdicts.reject(~logits.isfinite().all(1), f"{NOT_FINITE} under the control perturbation")
            scored.control = logits.argmax(1)
        if setting is not None and setting.second is not None:
            asked = Asked(setting.second, attack, x, outcome.candidates, beside, self.labels)
            scored.opinion = asked.columns()
            verdicts.agree(*asked.agreed())
        if panel is not None:
            scored.views, broken = panel.columns(x, outcome.candidates.nan_to_num(), self.labels, goal)
            verdicts.reject(broken, f"{NOT_FINITE} in a view")
        return scored

    def _control(self, outcome: Outcome) -> torch.Tensor | None:
        """The images (N, C, H, W) with what is random and of the same size in the place of what was found."""
        if CONTROL in outcome.artifacts:
            return self.attack.apply(self.job.x, outcome.artifacts[CONTROL])
        return self.attack.as_far(self.job, outcome.found)

    def _panel(self, scorer: Scorer) -> Panel | None:
        """Where classifiers are shown random views of the images: what scores those."""
        views, draws = self.attack.views(self.job.setting), self.attack.evaluation_draws
        if views is None:
            return None
        return Panel(views, scorer.module, scorer.device, scorer.size, draws, self.seed, self.ids)
