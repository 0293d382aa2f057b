"""What one attack is held to: the samples, the goal of each, and the verdicts on what it proposes."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.columns import Scored
from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.inspection import Asked
from robustbench_lite.engine.job import CONTROL, Job
from robustbench_lite.engine.judge import NOT_FINITE, Panel, judge
from robustbench_lite.lazy import torch
from robustbench_lite.threat.norms import Goal

__all__ = ["TARGETS", "Trial"]

TARGETS = "targets"  # the stream of random targets: of the suite's seed and the sample, whatever the attack


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

    def score(self, outcome: Outcome, asked: Asked, clean: torch.Tensor, weights: str | None = None) -> Scored:
        """The judge's verdicts on one classifier, whose logits (N, K) on the clean images are `clean`.

        Its own clean prediction counts where the goal is to leave that. A texture is what it makes of it on average
        over views.
        """
        attack, x, goal = self.attack, self.job.x, self.job.goal
        if not goal.targeted:
            goal = Goal(self.labels if attack.goal == "label" else clean.argmax(1), clean.shape[1])
        panel, setting = self._panel(asked), self.job.setting
        in_views = setting is not None and setting.views is not None

        def classify(part: torch.Tensor) -> torch.Tensor:
            return panel.logits(part) if panel is not None and in_views else asked.logits(part)

        verdicts = judge(attack, classify, x, outcome.candidates, goal, outcome.found)
        scored = Scored(asked.name, weights, clean, goal, verdicts)
        if CONTROL in outcome.artifacts:
            beside = classify(attack.apply(x, outcome.artifacts[CONTROL]))
            verdicts.reject(~beside.isfinite().all(1), f"{NOT_FINITE} under the control perturbation")
            scored.control = beside.argmax(1)
        if panel is not None:
            scored.views, broken = panel.columns(x, outcome.candidates.nan_to_num(), self.labels, goal)
            verdicts.reject(broken, f"{NOT_FINITE} in a view")
        return scored

    def _panel(self, asked: Asked) -> Panel | None:
        """Where classifiers are shown random views of the images: what scores those."""
        views, draws = self.attack.views(self.job.setting), self.attack.evaluation_draws
        if views is None:
            return None
        return Panel(views, asked.module, asked.device, asked.size, draws, self.seed, self.ids)
