"""What a training run has done so far: what a checkpoint holds, and what messages tell."""

import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ebmlearn import random
from ebmlearn.architecture import describe
from ebmlearn.train import checkpoint
from ebmlearn.train.data import Source
from ebmlearn.train.folder import Folder
from ebmlearn.train.method import Method
from ebmlearn.train.ranks import RankLost, Ranks

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

    Attributes:
        step: Number of steps done.
        history: The metrics of each of them, on the CPU.
    """

    def __init__(
        self,
        method: Method,
        source: Source,
        settings: dict[str, str],
        ranks: Ranks,
        folder: Folder | None,
        criterion: Callable[[Method], float] | None,
    ) -> None:
        self.method, self.source, self.ranks, self.folder = method, source, ranks, folder
        self.criterion = criterion
        self.settings = {**method.settings(), **settings}
        self.step, self.lowest = 0, math.inf
        self.history: dict[str, list[Tensor]] = {}

    def add(self, metrics: dict[str, Tensor]) -> None:
        """One more step is done."""
        self.step += 1
        for name, value in metrics.items():
            self.history.setdefault(name, []).append(value)

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            FloatingPointError: If a weight is not finite (nothing is written: it would replace a good
                checkpoint), or the criterion is not (the checkpoint is written).
            OSError: If it cannot be written.
        """
        if self.folder is None:
            return
        for name, weight in self.method.named_parameters():
            if not weight.isfinite().all():
                raise FloatingPointError(
                    f"{name} is not finite after step {self.step}; no checkpoint was written. {ADVICE}"
                )
        value = self.ranks.on_main(self._value)
        best = value is not None and value < self.lowest
        self.lowest = value if value is not None and best else self.lowest
        state = {
            "step": self.step,
            "ranks": self.ranks.n,
            "settings": self.settings,
            "architectures": {name: describe(net) for name, net in self.method.named_children()},
            "method": self.method.state_dict(),
            "index": self.source.state_dict(),
            "history": {name: torch.stack(values) for name, values in self.history.items()},
            "criterion": value,
            "lowest": self.lowest,
            "rng": random.state(),
        }
        self.folder.save(self.step, state, best)
        if value is not None and not math.isfinite(value):
            raise FloatingPointError(
                f"the criterion is {value} after step {self.step}; expected a finite number. "
                f"{self.folder.last()}"
            )

    def _value(self) -> float | None:
        if self.criterion is None:
            return None
        with random.kept():
            return float(self.criterion(self.method))

    def restore(self, device: torch.device, steps: int) -> None:
        """Go to the newest checkpoint, if there is one.

        Args:
            device: Where its tensors go.
            steps: How far the run is to go.

        Raises:
            ValueError: If it is damaged, of another configuration, or of a later step than ``steps``.
        """
        state = None if self.folder is None else self.folder.newest(device)
        if state is None or self.folder is None:
            return
        path = self.folder.path(state["step"])
        checkpoint.check_settings(state["settings"], self.settings, path)
        if state["step"] > steps:
            raise ValueError(
                f"{path} is of step {state['step']}, but steps is {steps}; ask for more steps in all"
            )
        self.method.load_state_dict(state["method"])
        self.step, self.lowest = state["step"], state["lowest"]
        self.history = {name: list(values.cpu()) for name, values in state["history"].items()}
        if state["ranks"] == self.ranks.n:
            random.restore(state["rng"])
            self.source.load_state_dict(state["index"])
            return
        self.ranks.diversify(self.method, self.step)
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
        shown = metrics or {name: values[-1] for name, values in self.history.items()}
        when = "at this step" if metrics else "at the last good step"
        text = ", ".join(f"{name} = {value.item():.4g}" for name, value in shown.items()) or "none yet"
        stopped = f"training stopped at step {self.step + 1}: {error}\nMetrics {when}: {text}.\n{ADVICE}"
        return stopped if self.folder is None else f"{stopped} {self.folder.last()}"

    def stopped(self, steps: int) -> str:
        """What to say to who stopped the run, once it is saved."""
        done = f"stopped after step {self.step} of {steps}"
        if self.folder is None:
            return f"{done}; no `out` was given, so nothing was saved"
        return f"{done}; saved in {self.folder.path(self.step)}. Call fit again with resume=True to continue"
