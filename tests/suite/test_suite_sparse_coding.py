"""`sparse_coding:` of a suite: what entries mean, what tells them apart, and what is said of mistakes."""

from __future__ import annotations

import pytest

from robustbench_lite.errors import SuiteError
from robustbench_lite.sparse_coding import MODELS
from robustbench_lite.suite.builder import load

HEAD = "version: 1\nname: s\n"
OWN = "dictionaries: [orthogonal: {side: 3}, sparse: {count: 6, side: 6, corner: 2}], positions: 8, sparsity: [9, 2]"


def written(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def test_a_matrix_pairs_pursuits_and_noise(tmp_path):
    suite = load(written(tmp_path, f"""seed: 3
sparse_coding:
  - {{model: overlapping, set_for: 0.005, matrix: {{pursuit: [hard, relu], noise: [0.005, 1/100]}}}}
  - {{{OWN}, pursuit: hard, noise: 0.005, seed: 7}}
  - {{as: mine, {OWN}, pursuit: hard, noise: 0.005, signals: 9, steps: 0}}
"""))  # fmt: skip
    assert [one.name for one in suite.sparse_coding] == [
        *("overlapping, hard, noise 0.005", "overlapping, hard, noise 0.01, set for 0.005"),
        *("overlapping, relu, noise 0.005", "overlapping, relu, noise 0.01, set for 0.005"),
        *("orthogonal, sparse, hard, noise 0.005", "mine, hard, noise 0.005"),
    ]
    assert [one.set_for for one in suite.sparse_coding] == [0.005] * 6
    assert [one.seed for one in suite.sparse_coding] == [3, 3, 3, 3, 7, 3]
    *_, own, mine = suite.sparse_coding
    assert own.setup == mine.setup == MODELS["orthogonal"] and (mine.signals, mine.steps) == (9, 0)
    assert not suite.attacks and not suite.models and not suite.data
    assert load(suite.resolved(), root=tmp_path).sparse_coding == suite.sparse_coding


def test_what_differs_is_in_the_names(tmp_path):
    suite = load(written(tmp_path, f"""sparse_coding:
  - {{model: overlapping, pursuit: hard, noise: 0.005, matrix: {{signals: [5, 6]}}}}
  - {{{OWN[: OWN.index(", sparsity")]}, pursuit: hard, noise: 0.005, matrix: {{sparsity: [[9, 2], [9, 1]]}}}}
"""))  # fmt: skip
    assert [one.name for one in suite.sparse_coding[:2]] == [
        f"overlapping, hard, noise 0.005(signals={n})" for n in (5, 6)
    ]
    assert [one.model for one in suite.sparse_coding[2:]] == [
        f"orthogonal, sparse(sparsity=9 {n})" for n in (2, 1)
    ]  # one heading of a table for each


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[{model: overlaping, pursuit: hard, noise: 1}]", "3:25: model: unknown model 'overlaping'; did you mean"),
        ("[{model: overlapping, pursuit: hrd, noise: 1}]", "pursuit: expected 'hard', 'soft', 'relu' or"),
        ("[{model: overlapping, pursuit: hard}]", "'noise' is missing"),
        ("[{model: overlapping, pursuit: hard, noise: 0}]", "noise: expected greater than 0, got 0"),
        ("[{model: overlapping, pursuit: hard, noise: 1, nois: 2}]", "unknown key 'nois'; did you mean 'noise'?"),
        ("[{model: overlapping, pursuit: hard, noise: 1, positions: 3}]", "positions: the model 'overlapping' has its"),
        (
            "[{pursuit: hard, noise: 1, positions: 3}]",
            "expected a model, or dictionaries, positions and sparsity; dict",
        ),
        (f"[{{{OWN.replace('sparse:', 'sparce:')}, pursuit: hard, noise: 1}}]", "unknown dictionary 'sparce'; did you"),
        (f"[{{{OWN.replace('corner', 'corners')}, pursuit: hard, noise: 1}}]", "unknown key 'corners'; did you mean"),
        (
            f"[{{{OWN.replace('[9, 2]', '[9]')}, pursuit: hard, noise: 1}}]",
            "as many limits of sparsity as dictionaries",
        ),
        (f"[{{{OWN.replace('side: 3', 'side: 1')}, pursuit: hard, noise: 1}}]", "sparse: expected 4 channels or more"),
        (f"[{{{OWN.replace('corner: 2', 'corner: 7')}, pursuit: hard, noise: 1}}]", "expected a corner of at most 6"),
        ("[relu]", "expected a mapping with a pursuit and noise, got 'relu'"),
        ("[]", "sparse_coding: the list is empty"),
        (
            "[{model: overlapping, pursuit: hard, noise: 1}, {model: overlapping, pursuit: hard, noise: 1}]",
            "two sparse",
        ),
    ],
)
def test_a_mistake_is_a_sentence_with_its_place(tmp_path, text, said):
    with pytest.raises(SuiteError) as caught:
        load(written(tmp_path, f"sparse_coding: {text}\n"))
    assert said in str(caught.value) and "s.yaml:3:" in str(caught.value)


def test_a_first_dictionary_has_one_channel(tmp_path):
    entry = "dictionaries: [{orthogonal: {side: 2}}, {orthogonal: {side: 2}}], positions: 2, sparsity: [1, 1]"
    with pytest.raises(SuiteError, match="orthogonal: expected signals of 1 channel, got 4: it comes first"):
        load(written(tmp_path, f"sparse_coding: [{{{entry}, pursuit: hard, noise: 1}}]\n"))
