"""Promises about whole runs: functions of a trial that say what is wrong; an empty text if nothing is."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ebmlearn import random
from ebmlearn.testing._step import listed
from ebmlearn.testing._trial import SEED, Trial, changed, unequal, unsaved
from ebmlearn.train import Method, fit

STEPS = 10
"""Steps before and after an interruption."""


def fresh(trial: Trial) -> str:
    """Two runs from one seed are the same to the last bit"""
    ends = []
    for _ in range(2):
        method = trial.make()
        ends.append((_fit(method, trial, STEPS), changed(method)))
    differ = [name for a, b in zip(*ends, strict=True) for name in unequal(a, b)]
    if not differ:
        return ""
    return (
        f"from the same seed {listed(differ)} came out otherwise; let the method, and a function that gives "
        "data, draw from torch's global generator and from none that outlives a run"
    )


def resume(trial: Trial) -> str:
    """A run that was interrupted is the uninterrupted one, to the last bit"""
    whole = trial.make()
    history = _fit(whole, trial, 2 * STEPS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _fit(trial.make(), trial, STEPS, out=folder)
            resumed = trial.make()
            torch.manual_seed(99)  # a new process has another state
            again = _fit(resumed, trial, 2 * STEPS, out=folder, resume=True)
        except (ValueError, TypeError) as error:
            return f"fit does not save or resume it: {error}"
    differ = unequal(changed(whole), changed(resumed)) + unequal(history, again)
    if not differ:
        return ""
    what = f"{STEPS} steps, saved, and {STEPS} more are not {2 * STEPS}: {listed(differ)} came out otherwise"
    names = unsaved(whole, resumed)
    if not names:
        return f"{what}; all that changes must be a parameter, a buffer or an optimiser"
    return (
        f"{what}. A checkpoint has no {listed(names)}; make it a buffer, self.register_buffer(name, tensor), "
        "and change it in place; instead of a generator use torch's global one"
    )


def refusal(trial: Trial) -> str:
    """A checkpoint of another method is refused"""
    stranger = trial.make()
    stranger.__class__ = type("Stranger", (type(stranger),), {})  # the same in all but the name
    with tempfile.TemporaryDirectory() as folder:
        _fit(stranger, trial, 1, out=folder)
        (file,) = Path(folder).glob("checkpoint-*.pt")
        content = file.read_bytes()
        try:
            _fit(trial.make(), trial, 2, out=folder, resume=True)
        except ValueError as error:
            if "another configuration" in str(error) and file.read_bytes() == content:
                return ""
            return f"to a checkpoint of another method fit said: {error}"
    return "fit went on from a checkpoint of another method; settings() must name the class and its settings"


def _fit(method: Method, trial: Trial, steps: int, **where: Any) -> dict[str, Tensor]:
    """`fit`, from the trial's seed unless it resumes."""
    if not where.get("resume"):
        random.seed(SEED)
    return fit(method, trial.data, steps=steps, batch_size=trial.batch_size, progress=False, **where)
