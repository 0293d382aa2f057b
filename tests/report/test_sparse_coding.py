"""What the page says of sparse coding: the answer first, red where a promise was broken, where supports are lost."""

from __future__ import annotations

import re

from robustbench_lite.report.page import page
from robustbench_lite.report.sparse_coding import codings, headline, recovered
from tests.sparse_coding.rows import results_of, stored

FOUND = {"random_recovered": 1.0, "adversarial_recovered": 1.0}
PAST = {"promised": 0.0, "support": 0.0, "bound": None, "random_tightness": None, "adversarial_tightness": None}


def sweep(**more):
    calm = stored("a", noise=0.01, **FOUND) | more
    past = stored("b", noise=0.02, **FOUND) | PAST | more
    wild = stored("c", noise=0.04, random_recovered=1.0, adversarial_recovered=0.25) | PAST | more
    return calm, past, wild


def test_the_answer_comes_first(tmp_path):
    results = results_of(tmp_path, *sweep())
    said = "No promise was broken, of 1 bound and the supports with them; the adversary comes to 60.0 % of one"
    assert headline(results).startswith(said) and "up to 1.5 times those of random noise" in headline(results)
    (coding,) = codings(results)
    assert (coding.name, coding.verdict, coding.red) == ("mine, hard, set for noise 0.01", "kept", False)
    assert coding.sentences == [
        "Bounds and supports of every layer are promised to all signals up to noise 0.01.",
        "The adversary reaches 60.0 % of a bound, random noise 60.0 %.",
        "Every support is found up to noise 0.04 under random noise, 0.02 under the adversary's.",
        "At noise 0.04 supports are lost: in layer 1 of 75.0 % (adversarial).",
    ]
    text = page([results])
    assert "How far can noise lead a sparse code astray?" in text
    assert text.index("No promise was broken") < text.index("<h2>Sparse coding</h2>") < text.index('data-name="found"')
    assert 'id="run1-images"' not in text and 'id="run1-trust"' not in text  # nothing was attacked
    links = re.findall(r'href="#(run1-[\w-]+)"', text)
    assert links and all(f'id="{link}"' in text for link in links)


def test_a_broken_promise_is_red(tmp_path):
    results = results_of(tmp_path, stored(adversarial_broken=2, random_broken=1))
    assert headline(results) == "3 promises were not kept: the theorem, the model or the measurement is wrong."
    assert [(one.verdict, one.red) for one in codings(results)] == [("3 broken", True)]
    assert 'class="generator bad"' in page([results])


def test_where_nothing_is_promised_the_page_says_so(tmp_path):
    results = results_of(tmp_path, stored(**PAST))
    assert headline(results) == "Nothing is promised for any of this noise, and nothing could be broken."
    (coding,) = codings(results)
    assert coding.verdict == "nothing promised"
    assert coding.sentences[0] == "At noise 0.01 a bound is promised to all signals in no layer."
    assert not list(recovered(results))


def test_a_promise_of_one_layer_is_no_promise_of_all(tmp_path):
    (coding,) = codings(results_of(tmp_path, stored(layer=1, **FOUND), stored(layer=2, **FOUND, **PAST)))
    assert coding.sentences[0] == "At noise 0.01 a bound is promised to all signals in layer 1 alone."
    assert coding.sentences[-1] == "Every support is found."


def test_what_has_failed_is_told_with_its_reason(tmp_path):
    bad = stored("bad", status="failed", error="there is no <threshold>", layer=None)
    text = page([results_of(tmp_path, stored(), bad)])
    assert "1 cell failed" in text and "there is no &lt;threshold&gt;" in text and "sparse coding · bad" in text


def test_shares_of_signals_are_drawn_noise_by_noise(tmp_path):
    (drawn,) = recovered(results_of(tmp_path, *sweep()))
    assert [(row["noise"].value, row["found"].value) for row in drawn.table.rows][3:] == [
        *((0.01, 100.0), (0.02, 100.0), (0.04, 25.0))
    ]
    assert drawn.chart.count("<circle") == 6
