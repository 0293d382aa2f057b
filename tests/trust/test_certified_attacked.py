"""Certified is at most what is left after an attack: every attack of the registry, in every norm that it has."""

from __future__ import annotations

from typing import get_args

import pytest

from robustbench_lite.engine.attack import Composition, attacks
from robustbench_lite.engine.evaluate import evaluate
from robustbench_lite.engine.job import Fitting
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.trust.certificates import NORMS, certify
from tests.helpers import images, mlp

EPSILON = {"linf": 0.02, "l2": 0.1, "l1": 0.3}


def cases():
    """(attack, norm) of all that need nothing but images."""
    for name, record in ((name, attacks[name]) for name in attacks):
        if record.needs in {None, Fitting} and "norm" in record.model_fields:
            for norm in get_args(record.model_fields["norm"].annotation):
                if norm in NORMS:  # of compositions each member is here by itself
                    slow = [pytest.mark.slow] if issubclass(record, Composition) else []
                    if not (slow and within_another(name, norm)):
                        yield pytest.param(name, norm, marks=slow)


def within_another(name: str, norm: str) -> bool:
    """Whether a longer composition has all of this one's attacks, each as it is here."""
    members = configured(name, norm).members.items()
    others = [configured(other, norm) for other in attacks if other != name and issubclass(attacks[other], Composition)]
    return any(members < other.members.items() for other in others)


def configured(name: str, norm: str):
    record = attacks[name]
    given = {"norm": norm, "epsilon": EPSILON[norm], "steps": 20, "n_queries": 200, "fit": 20}
    known = {key: value for key, value in given.items() if key in record.model_fields}
    return attacks.build(name, known)


@pytest.fixture(scope="module")
def proofs():
    """Of each norm the images that are proven; some are and some are not."""
    net, x = mlp(), images(24)
    y = net(x).argmax(1)
    found = {norm: certify(net, x, y, norm=norm, epsilon=EPSILON[norm]) for norm in NORMS}
    assert all(0 < int(one.proven.sum()) < 24 for one in found.values()), found
    return net, x, y, found


@pytest.mark.parametrize(("name", "norm"), list(cases()))
def test_no_attack_reaches_what_is_proven(proofs, name, norm):
    net, x, y, found = proofs
    attack = configured(name, norm)
    fit = images(attack.images_to_fit, seed=7) if attack.images_to_fit else None
    model = [net] if attack.sources else net
    result = evaluate(attack, model, x, y, inspect=False, fit=fit)
    for other in NORMS:  # whatever it bounds, its images may be small in another norm
        within = result.success & (result.size(other) <= allowed(EPSILON[other]))
        assert not (within & found[other].proven).any()
    if name in {"apgd", "ddn"}:  # these do break others
        assert int((result.success & (result.size(norm) <= allowed(EPSILON[norm]))).sum()) > 1
