"""What a run leaves: rows in Parquet and their readers, a cell's evaluation, intervals and paired tests."""

from robustbench_lite.results.change import Change, common
from robustbench_lite.results.curves import Curve, optimality
from robustbench_lite.results.evaluation import Evaluation, Flags, Reals, through
from robustbench_lite.results.glossary import WORDS, explained
from robustbench_lite.results.naming import called, class_names, labels_of, names_of
from robustbench_lite.results.paired_tests import holm, mcnemar, permuted, sign_test
from robustbench_lite.results.provenance import machine, versions
from robustbench_lite.results.schema import CELLS, SAMPLES, SCHEMA_VERSION, Caveat, Row, earliest, size_column
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
from robustbench_lite.results.worst_case import Threat, WorstCase, allowed, robust, worst_case_of, worst_cases

__all__ = [
    "CELLS",
    "ENOUGH",
    "SAMPLES",
    "SCHEMA_VERSION",
    "WORDS",
    "Caveat",
    "Change",
    "Curve",
    "Estimate",
    "Evaluation",
    "Flags",
    "Reals",
    "Results",
    "Row",
    "Size",
    "Store",
    "Threat",
    "WorstCase",
    "allowed",
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
    "optimality",
    "permuted",
    "read",
    "robust",
    "runs",
    "sign_test",
    "size_column",
    "size_of",
    "through",
    "versions",
    "wilson",
    "worst_case_of",
    "worst_cases",
]
