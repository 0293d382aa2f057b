"""`generators:` of a suite: what entries mean, what tells them apart, and what is said of mistakes."""

from __future__ import annotations

import pytest

from robustbench_lite.errors import SuiteError
from robustbench_lite.suite.builder import load

HEAD = "version: 1\nname: g\n"
POINTS = "architecture: points_mlp, points: ring, steps: 10"


def written(tmp_path, text):
    path = tmp_path / "g.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def test_a_matrix_pairs_networks_and_objectives_and_seeds(tmp_path):
    suite = load(written(tmp_path, f"""seed: 3
generators:
  - {{architecture: points_mlp, points: ring, steps: 10, matrix: {{objective: [minimax, wgan_gp: {{lr: 1.0e-3}}]}}}}
  - {{as: twice, {POINTS}, objective: wgan, matrix: {{seed: [0, 1]}}}}
  - {{as: exact, {POINTS}, matrix: {{objective: [wgan: {{clip: 0.1}}, wgan: {{clip: 0.2}}]}}}}
"""))  # fmt: skip
    assert [entry.name for entry in suite.generators] == [
        *("minimax points_mlp", "wgan_gp points_mlp", "twice seed=0", "twice seed=1"),
        *("exact wgan(clip=0.1)", "exact wgan(clip=0.2)"),
    ]
    assert [entry.recipe.seed for entry in suite.generators] == [3, 3, 0, 1, 3, 3]
    assert suite.generators[1].recipe.game.lr == 1e-3 and suite.generators[0].recipe.dataset == "ring"
    assert not suite.attacks and not suite.models and not suite.data
    assert load(suite.resolved(), root=tmp_path).generators == suite.generators


def test_a_recipe_by_name_and_with_other_steps(tmp_path):
    suite = load(written(tmp_path, "generators: [{recipe: dcgan_mnist, steps: 7, images: 50, as: short}]\n"))
    (entry,) = suite.generators
    assert entry.recipe.steps == 7 and entry.recipe.pad == 2 and entry.name == "short"
    assert entry.judged.judge == "lenet_mnist" and entry.judged.images == 50


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("generators: [dcgan_mnst]\n", "g.yaml:3:14: unknown generator or recipe 'dcgan_mnst'; did you mean"),
        ("generators:\n  - {recipe: dcgan_mnst}\n", "g.yaml:4:14: unknown recipe 'dcgan_mnst'; did you mean"),
        (f"generators:\n  - {{{POINTS}, objektive: wgan}}\n", "unknown key 'objektive'; did you mean 'objective'?"),
        (
            f"generators:\n  - {{{POINTS}, objective: wgan_pg}}\n",
            "unknown objective 'wgan_pg'; did you mean 'wgan_gp'?",
        ),
        (
            f"generators:\n  - {{{POINTS}, objective: {{wgan: {{clp: 1}}}}}}\n",
            "unknown key 'clp'; did you mean 'clip'?",
        ),
        (f"generators:\n  - {{{POINTS}, matrix: {{objective: [wgan, wgn]}}}}\n", "unknown objective 'wgn'"),
        (f"generators:\n  - {{{POINTS}}}\n", "g.yaml:4:5: 'objective' is missing"),
        (
            f"generators:\n  - {{as: a, {POINTS}, objective: wgan}}\n  - {{as: a, {POINTS}, objective: minimax}}\n",
            "two",
        ),
        (f"generators: [{{{POINTS}, objective: wgan}}]\nmodels: [lenet_mnist]\n", "'attacks' is missing"),
        ("title: nothing\n", "'attacks' is missing"),
        ("generators: [{recipe: dcgan_mnist, judge: lenet_mnst}]\n", "judge: unknown classifier 'lenet_mnst'; did you"),
        ("generators: [{recipe: dcgan_mnist, test: {ixd: MNIST}}]\n", "expected a source of data, one of"),
    ],
)
def test_a_mistake_is_a_sentence_with_its_place(tmp_path, text, said):
    with pytest.raises(SuiteError) as caught:
        load(written(tmp_path, text))
    assert said in str(caught.value)


def test_data_that_are_not_there_are_told_before_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("ROBUSTBENCH_LITE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError, match="no file or folder 'MNIST'"):
        load(written(tmp_path, "generators: [{recipe: dcgan_mnist, as: a}]\n"), files=True)
