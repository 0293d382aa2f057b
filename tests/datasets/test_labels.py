"""Labels: numbers are numbers, names are matched, what is not clear is refused in one sentence that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robustbench_lite.datasets._labels import labelled
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.datasets.classes import Classes, aligned
from robustbench_lite.errors import DataError, SuiteError

DIGITS = [str(digit) for digit in range(10)]
TEXT = [f"digit {digit}" for digit in range(10)]


def met(raw, count, names=(), *, option=None, known=(), beside=(), sortable=False) -> Samples:
    """What the labels `raw` mean to a classifier with `count` classes, which are called `names`."""
    found = labelled(raw, option, known, where=lambda row: f"row {row}", beside=beside)
    n, facts = len(found.labels), {"naming": found.naming, "present": found.present}
    ids = tuple(str(place) for place in found.kept)
    images = np.zeros((n, 1, 1, 1), np.uint8)
    samples = Samples("d", ids, images, found.labels, found.classes, sortable=sortable, **facts)
    return aligned(samples, Classes("net", count, tuple(names)))


@pytest.mark.parametrize(
    ("raw", "count", "options", "labels"),
    [
        (["0", "1", "3"], 4, {"sortable": True}, [0, 1, 3]),  # folders that are numbers, one missing
        (["00000", "00002"], 43, {"sortable": True}, [0, 2]),
        (["3", "8"], 2, {"sortable": True}, [0, 1]),  # as ImageFolder has them
        (["cat", "dog"], 2, {"sortable": True}, [0, 1]),
        (["a", "b"], 3, {"sortable": True, "beside": ["0_nothing"]}, [1, 2]),  # as many folders as classes
        (["0", "1"], 2, {"sortable": True, "beside": ["00_nothing"]}, [0, 1]),
        (["cat", "bg", "dog"], 2, {"option": {"bg": None}, "sortable": True}, [0, 1]),
        (["dog", "feline"], 2, {"option": {"feline": "cat"}, "names": ("cat", "dog")}, [1, 0]),
        (["cat", "dog"], 3, {"names": ("dog", "bird", "Cat")}, [2, 0]),
        (["T-shirt_top", "ankle boot"], 3, {"names": ("Bag", "Ankle_Boot", "T-shirt/top")}, [2, 1]),
        (TEXT, 10, {"option": "sorted"}, list(range(10))),
        (TEXT[::-1], 10, {"option": {name: place for place, name in enumerate(TEXT)}}, list(range(10))[::-1]),
        (["x", "y"], 2, {"option": {"x": "dog", "y": "cat"}, "names": ("cat", "dog")}, [1, 0]),
        (["cat", "dog"], 3, {"option": ("dog", "cat", "bird")}, [1, 0]),
        ([0, 1], 3, {"option": ("dog", "cat", "bird"), "names": ("cat", "bird", "dog")}, [2, 0]),
        ([1, 2, 10], 10, {"option": {"from": 1}}, [0, 1, 9]),
        (["1", "10", "2"], 10, {"option": {"from": 1}, "sortable": True}, [0, 9, 1]),
        ([10, 1, 9], 10, {"option": {"10": 0}}, [0, 1, 9]),  # what is not listed stays
        ([3, 8], 2, {"option": "sorted"}, [0, 1]),
        ([10, 9], 11, {"option": "sorted"}, [1, 0]),  # numbers are sorted as numbers
        ([0, 1, 2], 3, {"known": ("cat", "dog", "bird"), "names": ("dog", "bird", "cat")}, [2, 0, 1]),
        ([0, 1, 2], 3, {"known": ("cat", "hound", "bird"), "names": ("cat", "dog", "bird")}, [0, 1, 2]),
        ([0, 1], 2, {"known": ("crane", "crane"), "names": ("crane", "crane")}, [0, 1]),  # as ImageNet has twice
        ([0, 5], 6, {"known": ("cat",)}, [0, 5]),
    ],
)
def test_labels_become_the_classifiers_numbers(raw, count, options, labels):
    assert met(raw, count, **options).labels.tolist() == labels


@pytest.mark.parametrize(
    ("raw", "count", "options", "said"),
    [
        ([1, 10, 5], 10, {}, r"labels 1, 5, 10, net the classes 0 to 9; .*`labels: \{from: 1\}`"),
        ([3, 8], 2, {}, "labels 3, 8, net the classes 0 to 1; .*`labels: sorted`"),
        ([0, 4, 9], 2, {}, "another task"),
        ([2, -1], 3, {}, r'row 1: the label is -1, .*`labels: \{"-1": null\}`'),
        ([2, None], 3, {}, r"row 1: there is no label; `labels: \{null: null\}`"),
        ([2, "cat"], 3, {}, "row 0: the label is the number 2, others are text"),
        ([7, 10**12], 3, {}, "row 1: the label is 1000000000000"),
        (TEXT, 10, {}, r'10 classes \(digit 0, .* and 5 more\), net has 10 without names; .*`labels: \{"digit 0": 0'),
        (TEXT, 10, {"names": DIGITS}, r"net has 10 \(0, 1, 2, 3, 4 and 5 more\)"),
        (["cat", "dog"], 3, {"sortable": True}, "2 classes .*net has 3 without names"),
        (["cat", "dogg"], 2, {"names": ("cat", "dog"), "sortable": True}, "does not know dogg; did you mean 'dog'"),
        (["1", "01"], 2, {}, "which is which"),
        (list(map(str, range(1, 11))), 10, {"sortable": True}, r"`labels: \{from: 1\}` where they are numbers from 1"),
        ([0, 1], 1000, {"known": ("cat", "dog"), "names": tuple(map(str, range(1000)))}, "net has 1000"),
        ([0, 1], 2, {"known": ("cat", "dog"), "names": ("dog", "hound")}, "does not know cat"),
        ([0, 2], 3, {"option": {"from": 1}}, "row 0: the label 0 lies below 1"),
        (["a"], 3, {"option": {"from": 1}}, "is for numbers, the label is 'a'"),
        (["cat", "dgo"], 2, {"option": {"cat": 0, "dog": 1}}, "row 1: labels: nothing for the label 'dgo'; did you"),
        ([0, 1], 2, {"option": {"0": "cat"}}, "row 1: labels: nothing for the label '1'; .* class names, all must"),
        ([0, 2], 3, {"option": ("cat", "dog")}, "row 1: the label is 2, `labels` has 2 names"),
        (["bird"], 3, {"option": ("cat", "dog")}, "'bird' is not in the list"),
        (["a"], 3, {"option": {"a": None}}, "every sample is left out"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_to_do(raw, count, options, said):
    with pytest.raises(DataError, match=said) as caught:
        met(raw, count, **options)
    assert "\n" not in str(caught.value)


def test_the_class_of_an_object_is_said_by_its_own_option():
    """Sources of objects have `label`, not `labels`; their names are those of one data set only."""
    images, labels = np.zeros((1, 1, 1, 1), np.uint8), np.array([14])
    samples = Samples("stop", ("a",), images, labels, ("x",) * 43, scene=object(), naming="both")
    assert aligned(samples, Classes("net", 20, tuple("abcdefghijklmnopqrst"))).labels.tolist() == [14]
    with pytest.raises(DataError, match="labels 14, net the classes 0 to 9; say its class with `label` on"):
        aligned(samples, Classes("net", 10))


def test_samples_are_left_out_where_the_option_says_so():
    samples = met([1, -1, 0, None, 1], 2, option={"-1": None, "null": None})
    assert (samples.ids, samples.labels.tolist()) == (("0", "2", "4"), [1, 0, 1])


def test_doubts_are_said():
    assert met(["0", "2"], 3, sortable=True).warnings == ("d: no sample of the class 1",)
    assert met(["c1"], 4, ("c0", "c1", "c2", "c3")).warnings == ("d: no sample of 3 of 4 classes: c0, c2, c3",)
    assert "in sorted order" in met(["3", "8"], 2, sortable=True).warnings[0]
    assert "net calls its classes" in met(["x", "y"], 2, ("cat", "dog"), sortable=True).warnings[0]
    assert "ImageFolder" in met(list(map(str, range(12))), 12, sortable=True).warnings[0]
    assert "labels: {from: 1}" in met([1, 2, 3], 4).warnings[0]
    assert met(["cat", "dog"], 2, sortable=True).warnings == ()
    assert met([0, 1], 2, known=("cat", "dog"), names=("dog", "cat")).classes == ("dog", "cat")


def test_folders_of_imagenet_are_its_classes_also_where_some_are_missing():
    samples = met(["n01443537", "n01440764", "n15075141"], 1000, sortable=True)
    assert samples.labels.tolist() == [1, 0, 999]  # goldfish, tench, toilet tissue: the first two and the last class


@given(st.permutations(["cat", "dog", "bird", "fish"]), st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_a_name_is_a_name_whatever_is_missing(names, chosen):
    """However many classes the data have, each is the class of its name."""
    words = ["cat", "dog", "bird", "fish"]
    raw = [words[i] for i in chosen]
    for option, data in ((None, raw), (tuple(words), chosen)):
        samples = met(data, 4, names, option=option)
        assert [names[label] for label in samples.labels] == raw
        assert samples.classes == tuple(names)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("sort", "expected sorted, {from: 1}, a list"),
        ({}, "expected sorted"),
        ({"a": 1, "b": "cat"}, "expected sorted"),
        ({"a": 1.5}, "expected sorted"),
        ({"a": True}, "expected sorted"),
        ({"from": "one"}, "expected sorted"),
        ({"a": -1}, "null leaves samples out"),
        (["cat", "Cat"], "the same name"),
        ([1, 2], "expected sorted"),
    ],
)
def test_an_option_that_explains_nothing_is_refused(option, said):
    with pytest.raises(SuiteError, match=said) as caught:
        datasets.build("folder", {"folder": "f", "labels": option})
    assert len(caught.value.problems) == 1
    with pytest.raises(ValidationError):
        datasets["folder"](folder="f", labels=option)
