"""What a training run has done so far: what a checkpoint holds, and what messages tell."""

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ebmlearn import random
from ebmlearn.train import checkpoint
from ebmlearn.train.data import Source
from ebmlearn.train.folder import Folder
from ebmlearn.train.history import History
from ebmlearn.train.method import Method
from ebmlearn.train.ranks import RankLost, Ranks
from ebmlearn.train.state import State, unsaved

ADVICE = (
    "Lower the learning rate or the sampler's step_size, add data noise, or take more sampling steps; "
    "see the book's sections 'What goes wrong'."
)


class Record:
    """A run so far, on this rank.

    Args:
        method: What is trained.
        source: Where its batches come from.
        settings: What identifies the run, besides the method's own settings.
        ranks: The ranks of the run.
        folder: Where checkpoints go; None: nowhere.
        criterion: Function of the method to minimise when choosing the best checkpoint; None disables it.
        states: What the method and the data functions depend on besides weights.

    Attributes:
        step: Number of steps done.
        history: The metrics of each of them, on the CPU.
        names: Those of the metrics; None before the first step.
    """

    def __init__(
        self,
        method: Method,
        source: Source,
        settings: dict[str, str],
        ranks: Ranks,
        folder: Folder | None,
        criterion: Callable[[Method], float] | None,
        states: Sequence[State] = (),
    ) -> None:
        self.method, self.source, self.ranks, self.folder = method, source, ranks, folder
        self.criterion = criterion
        self.states = states
        self.settings = {**settings, **{k: v for state in states for k, v in state.settings().items()}}
        self.generators = {k: g for state in states for k, g in state.generators.items()}
        if ranks.n > 1:  # as with the global ones, each rank has numbers of its own
            for generator in self.generators.values():
                random.diversify_generator(generator, ranks.rank, 0)
        self.step, self.lowest = 0, math.inf
        self.history = History()
        self.names: tuple[str, ...] | None = None
        self.lr_changes: list[dict[str, Any]] = []

    def add(self, metrics: dict[str, Tensor]) -> None:
        """One more step is done."""
        self.step += 1
        self.names = tuple(metrics)
        self.history.add(metrics)

    def save(self, due: bool, stopping: bool) -> None:
        """Write a checkpoint, and only then compute the criterion: what fails or takes long loses no work.

        Args:
            due: Whether the criterion is to be computed at this step.
            stopping: Whether there is no time for it now; then the resumed run begins with it.

        Raises:
            FloatingPointError: If a weight is not finite (nothing is written: it would replace a good
                checkpoint), or the criterion is not (the checkpoint is written).
            OSError: If it cannot be written.
            ValueError: If something has changed that it does not hold (it is written).
        """
        if self.folder is None:
            return
        for name, weight in self.method.named_parameters():
            if not weight.isfinite().all():
                raise FloatingPointError(
                    f"{name} is not finite after step {self.step}; no checkpoint was written. {ADVICE}"
                )
        state: dict[str, Any] = {
            "step": self.step,
            "ranks": self.ranks.n,
            "settings": self.settings,
            "lr_changes": self.lr_changes,
            "method": self.method.state_dict(),
            "index": self.source.state_dict(),
            "history": self.history.tensors(),
            "criterion": None,
            "due": due and self.criterion is not None,
            "lowest": self.lowest,
            "rng": random.state(),
            "generators": {name: random.generator_state(g) for name, g in self.generators.items()},
        }
        self.folder.save(self.step, state)
        self.ranks.together(
            lambda: self.check_unchanged(f"The rest is in {self.folder and self.folder.path(self.step)}.")
        )
        if state["due"] and not stopping:
            self._score(state)

    def _score(self, state: dict[str, Any]) -> None:
        """Compute the criterion of a checkpoint that is written, and write it into it."""
        folder = self.folder
        assert folder is not None
        try:
            value = self.ranks.on_main(self._value)
        except Exception as error:
            error.add_note(f"This was the criterion after step {self.step}. {folder.last()}")
            raise
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the criterion is {value} after step {self.step}; expected a finite number. {folder.last()}"
            )
        best = value < self.lowest
        self.lowest = min(value, self.lowest)
        folder.score(self.step, {**state, "criterion": value, "due": False, "lowest": self.lowest}, best)

    def _value(self) -> float:
        assert self.criterion is not None
        own = {name: random.generator_state(g) for name, g in self.generators.items()}
        try:
            with random.kept():
                value = self.criterion(self.method)
        finally:
            for name, state in own.items():
                random.restore_generator(self.generators[name], state)
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"the criterion returned a {type(value).__name__}; expected a number to minimise"
            ) from None

    def watch(self) -> None:
        """From now on nothing may change that a checkpoint does not hold."""
        for state in self.states:
            state.watch()

    def check_unchanged(self, then: str = "") -> None:
        """Refuse what has changed in training and is not saved.

        Raises:
            ValueError: Naming it, with the remedy.
        """
        changes = {k: pair for state in self.states for k, pair in state.changed().items()}
        if changes:
            raise ValueError(unsaved(self.method, changes, self.step, then))

    def restore(self, device: torch.device, steps: int, new_lr: bool = False) -> None:
        """Go to the newest checkpoint, if there is one.

        Args:
            device: Where its tensors go.
            steps: How far the run is to go.
            new_lr: Whether its learning rates may be others than those of the checkpoint.

        Raises:
            ValueError: If it is damaged, of another configuration, or of a later step than ``steps``.
        """
        state = None if self.folder is None else self.folder.newest(device)
        if state is None or self.folder is None:
            return
        path = self.folder.path(state["step"])
        rates = checkpoint.check_settings(state["settings"], self.settings, path, new_lr=new_lr)
        if state["step"] > steps:
            raise ValueError(
                f"{path} is of step {state['step']}, but steps is {steps}; ask for more steps in all"
            )
        self.method.load_state_dict(state["method"])
        self.step, self.lowest = state["step"], state["lowest"]
        self.history = History(state["history"])
        self.names = tuple(state["history"]) or None
        self.lr_changes = state["lr_changes"]
        for name, (old, new) in rates.items():
            self.lr_changes.append({"step": self.step, "name": name, "old": old, "new": new})
            if self.ranks.main:
                said = f"note: after step {self.step} the learning rate of {name!r} is {new}; it was {old}"
                print(said, file=sys.stderr, flush=True)
        if state["ranks"] == self.ranks.n:
            random.restore(state["rng"])
            self.source.load_state_dict(state["index"])
            for name, generator in self.generators.items():
                random.restore_generator(generator, state["generators"][name])
            if state["due"] and self.criterion is not None:
                self._score(state)
            return
        self.ranks.diversify(self.method, self.step, self.generators)
        if self.ranks.main:
            warnings.warn(
                f"{path} was written by {state['ranks']} rank(s) and {self.ranks.n} rank(s) continue, so the "
                "run will end at other weights than it would have. Weights, optimisers, averages and history "
                "stay, and so does batch_size, which counts over all ranks. The order of the data and the "
                "random numbers start anew, and every rank goes on with the persistent chains of rank 0.",
                stacklevel=3,
            )

    @contextmanager
    def last_words(self) -> Iterator[None]:
        """If another rank is lost, say where the run can go on."""
        try:
            yield
        except RankLost as error:
            kept = "" if self.folder is None else f" {self.folder.last()}"
            reason = f"training stopped at step {self.step + 1}: {error}.{kept}"
            print(
                reason, file=sys.stderr, flush=True
            )  # the launcher may end this process before Python shows it
            raise RankLost(reason) from error

    def diverged(self, error: FloatingPointError, metrics: dict[str, Tensor]) -> str:
        """What to say when the next step fails, with its metrics if it got that far."""
        shown = metrics or self.history.last()
        when = "at this step" if metrics else "at the last good step"
        text = ", ".join(f"{name} = {value.item():.4g}" for name, value in shown.items()) or "none yet"
        stopped = f"training stopped at step {self.step + 1}: {error}\nMetrics {when}: {text}.\n{ADVICE}"
        return stopped if self.folder is None else f"{stopped} {self.folder.last()}"

    def stopped(self, steps: int) -> str:
        """What to say to who stopped the run, once it is saved."""
        done = f"stopped after step {self.step} of {steps}"
        if self.folder is None:
            return (
                f"{done}; no `out` was given, so nothing was saved. The method keeps its weights, and the "
                "metrics so far are the `history` of this exception"
            )
        return f"{done}; saved in {self.folder.path(self.step)}. Call fit again with resume=True to continue"
