"""What every run loads of others: the fork server of tests/forks.py has it in memory, and nothing of ours."""

import jinja2
import kornia
import pandas as pd
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet
import pydantic
import pytest
import rich.console
import rich.progress
import ruamel.yaml
import safetensors.torch
import scipy.special
import torch.nn.functional
import torch.utils.data

__all__ = ["jinja2", "kornia", "pd", "pyarrow", "pydantic", "pytest", "rich", "ruamel", "safetensors", "scipy", "torch"]
