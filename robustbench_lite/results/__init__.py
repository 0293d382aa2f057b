"""What a run leaves: rows in Parquet and their readers, a cell's evaluation, intervals and paired tests."""

from robustbench_lite.results.change import Change, common
from robustbench_lite.results.evaluation import Evaluation, through
from robustbench_lite.results.glossary import WORDS, explained
from robustbench_lite.results.naming import called, class_names, labels_of, names_of
from robustbench_lite.results.paired import holm, mcnemar, permuted, sign_test
from robustbench_lite.results.provenance import machine, versions
from robustbench_lite.results.schema import CELLS, SAMPLES, SCHEMA_VERSION, Caveat, Row, earliest
from robustbench_lite.results.statistics import (
    ENOUGH,
    Estimate,
    Size,
    bootstrap_mean,
    bootstrap_ratio,
    clopper_pearson,
    mean_of_views,
    median,
    newcombe,
    size_of,
    wilson,
)
from robustbench_lite.results.store import Results, Store, read, runs

__all__ = [
    "CELLS",
    "ENOUGH",
    "SAMPLES",
    "SCHEMA_VERSION",
    "WORDS",
    "Caveat",
    "Change",
    "Estimate",
    "Evaluation",
    "Results",
    "Row",
    "Size",
    "Store",
    "bootstrap_mean",
    "bootstrap_ratio",
    "called",
    "class_names",
    "clopper_pearson",
    "common",
    "earliest",
    "explained",
    "holm",
    "labels_of",
    "machine",
    "mcnemar",
    "mean_of_views",
    "median",
    "names_of",
    "newcombe",
    "permuted",
    "read",
    "runs",
    "sign_test",
    "size_of",
    "through",
    "versions",
    "wilson",
]
