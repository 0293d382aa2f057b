"""One batch of images, attacked and judged: the contract of attacks, the oracle, the loop, the judge."""

from robustbench_lite.engine.access import Access
from robustbench_lite.engine.attack import Attack, Composition, SetAttack, State, StepAttack, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.columns import Written
from robustbench_lite.engine.drive import NO_MEMORY, REASONS, Outcome, run
from robustbench_lite.engine.inputs import checked_images, checked_labels, checked_members
from robustbench_lite.engine.inspection import Scorer, doubts_about, looked
from robustbench_lite.engine.job import CONTROL, PERTURBATION, Crafted, Fitted, Fitting, Job
from robustbench_lite.engine.judge import Verdicts, finite, look, pooled
from robustbench_lite.engine.oracle import BACKWARD, FORWARD, ZERO_GRADIENT, Ledger, Oracle, Pass, interior, logits_of
from robustbench_lite.engine.protocol import GoalName, Protocol, Sources
from robustbench_lite.engine.result import AttackResult
from robustbench_lite.engine.slopes import misleading
from robustbench_lite.engine.trial import TARGETS, Trial, fitting
from robustbench_lite.engine.views import pairs

__all__ = [
    "BACKWARD",
    "CONTROL",
    "FORWARD",
    "NO_MEMORY",
    "PERTURBATION",
    "REASONS",
    "TARGETS",
    "ZERO_GRADIENT",
    "Access",
    "Attack",
    "AttackResult",
    "Card",
    "Composition",
    "Crafted",
    "Fitted",
    "Fitting",
    "GoalName",
    "Job",
    "Ledger",
    "Oracle",
    "Outcome",
    "Pass",
    "Promise",
    "Protocol",
    "Scorer",
    "SetAttack",
    "Sources",
    "State",
    "StepAttack",
    "Trial",
    "Verdicts",
    "Written",
    "attacks",
    "checked_images",
    "checked_labels",
    "checked_members",
    "doubts_about",
    "finite",
    "fitting",
    "interior",
    "logits_of",
    "look",
    "looked",
    "misleading",
    "pairs",
    "pooled",
    "run",
]
