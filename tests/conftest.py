"""Shared by all tests: seeds, and a guard against tests that change global state."""

import os
import pathlib
import signal
import tempfile

import pytest
import torch

import ebmlearn

os.environ.setdefault("EBMLEARN_PROGRESS", "0")
# What a script starts in the background ignores Ctrl-C, and so does `fit` in it; tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)
if arithmetic := os.environ.get("ATEN_CPU_CAPABILITY"):
    # torch would take generated code of another arithmetic from its cache, which does not know this variable
    cache = pathlib.Path(tempfile.gettempdir(), f"torchinductor_ebmlearn_{arithmetic}")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))


@pytest.fixture(autouse=True)
def seeded():
    ebmlearn.seed(0)


@pytest.fixture
def script(monkeypatch):
    """Import a benchmark by name, as a script imports its neighbours."""
    monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parent / "benchmarks"))
    return lambda name: __import__(name)


@pytest.fixture(autouse=True)
def global_state_kept():
    """A test that leaves a changed global setting behind fails, instead of a later one."""

    ignored = {
        "PYTEST_CURRENT_TEST",
        "TORCHINDUCTOR_CACHE_DIR",
        "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR",
        "KMP_DUPLICATE_LIB_OK",
        "KMP_INIT_AT_FORK",
    }  # set by pytest, and by torch and scikit-learn at their first use

    def state():
        return {
            "dtype": torch.get_default_dtype(),
            "grad": torch.is_grad_enabled(),
            "threads": torch.get_num_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "cwd": os.getcwd(),
            "environment": {k: v for k, v in os.environ.items() if k not in ignored},
        }

    before = state()
    yield
    assert state() == before


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(torch.initial_seed())
