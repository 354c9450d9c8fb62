"""What every learning method is: nets, optimisers and one ``step``."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ebmlearn.schedules import Schedule, describe_schedule
from ebmlearn.train import ranks
from ebmlearn.train.checkpoint import LR_OF

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""``factory(parameters, lr=...)``: ``torch.optim.Adam``, or a ``partial`` of it with other betas."""


class Method(nn.Module, ABC):
    """Abstract: a learning method. A subclass sets its nets and optimisers in ``__init__`` and writes `step`.

    The ``state_dict`` holds everything that changes in training: nets, buffers, optimisers and update counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.lr_schedules: dict[str, Schedule] = {}
        self.updates: dict[str, int] = {}
        self.averages = Averages()
        self._followed: dict[str, tuple[nn.Module, float]] = {}
        self.accelerator: Any = None

    @abstractmethod
    def step(self, batch: Any) -> dict[str, Tensor]:
        """One iteration of the paper's algorithm on a batch, ``(B, *event)``; returns scalar metrics.

        A method says by the annotation of ``batch`` what it takes: ``Tensor``, or ``tuple[Tensor, Tensor]``
        for images and labels. `ebmlearn.train.fit` refuses data that do not agree with it.
        """

    def add_optimizer(
        self, name: str, parameters: Iterable[nn.Parameter], lr: float | Schedule, optimizer: OptimizerFactory
    ) -> None:
        """Register the optimiser that ``update(name, loss)`` steps.

        Args:
            name: Its name, once for each method.
            parameters: What it optimises.
            lr: Learning rate > 0, a number or a schedule of the number of updates made.
            optimizer: ``factory(parameters, lr=...)``.
        """
        schedule = lr if callable(lr) else lambda t: float(lr)
        self.optimizers[name] = optimizer(parameters, lr=schedule(0))
        self.lr_schedules[name] = schedule
        self.updates[name] = 0

    def add_average(self, name: str, net: nn.Module, decay: float | None) -> None:
        """Keep a moving average of a net's weights as ``averages[name]``, which ``update(name, ...)`` moves.

        See `weight_average`.

        Args:
            name: Of the optimiser whose updates it follows.
            net: The net to follow.
            decay: Weight of the past, in (0, 1); None: no average.

        Raises:
            ValueError: If ``decay`` is not in (0, 1).
        """
        if decay is not None:
            self.averages[name], self._followed[name] = weight_average(net, decay), (net, decay)

    def update(self, name: str, loss: Tensor) -> None:
        """One optimiser step down the gradient of ``loss``, with several ranks of its mean over them; then
        the average of the weights moves, if there is one.

        Args:
            name: Which optimiser.
            loss: Scalar, shape ``()``.

        Raises:
            FloatingPointError: If the loss is not finite; the weights are left as they were.
            ValueError: If the schedule gives a negative learning rate.
        """
        optimizer, count = self.optimizers[name], self.updates[name]
        lr = self.lr_schedules[name](count)
        if not lr >= 0:
            raise ValueError(
                f"the learning rate of {name!r} is {lr} at its update "
                f"{count}; expected a number >= 0. A schedule counts the "
                "updates of its own optimiser; a step may make several."
            )
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
        groups = [group["params"] for group in optimizer.param_groups]
        own = [p for group in groups for p in group if p.requires_grad]
        # of two nets that share a loss, only the one that moves gets a gradient
        loss.backward(inputs=own)
        # Nets are not wrapped for distributed training: gradients in x pass
        # through them many times a step.
        learned = [p for p in own if p.grad is not None]
        loss = self._average_gradients(learned, loss.detach())
        if not loss.isfinite():
            problem = f"the loss of {name!r} is {loss.item()}"
            raise FloatingPointError(f"{problem}; its update was not made")
        optimizer.step()
        self.updates[name] += 1
        if name in self._followed:
            self.averages[name].update_parameters(self._followed[name][0])

    def _average_gradients(self, parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
        """Gradients become their means over ranks, and so does the loss, in one reduction: if it is not
        finite on one rank, it is so on all, and no update is made."""
        if self.accelerator is None or self.accelerator.num_processes == 1:
            return loss
        grads = [p.grad.flatten() for p in parameters if p.grad is not None]
        *means, loss = self.mean_over_ranks(torch.cat([*grads, loss.reshape(1)])).split([*map(len, grads), 1])
        for p, mean in zip(parameters, means, strict=True):
            p.grad = mean.view_as(p).to(p.dtype)
        return loss

    def mean_over_ranks(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all ranks; the tensor itself where there is one. What decides a branch of
        `step` must pass through here, lest ranks take different ones and wait for each other for ever."""
        return ranks.mean(value, self.accelerator)

    def settings(self) -> dict[str, str]:
        """What identifies a configuration, as text: two runs with equal settings continue each other."""
        found = {"method": type(self).__name__}
        for name, value in vars(self).items():
            if name.startswith("_") or name == "training":
                continue
            if isinstance(value, (bool, int, float, str, tuple)) or callable(value):
                found[name] = describe(value)
        for name, module in self.named_children():
            if module is not self.averages:
                found[name] = repr(module)
        for name in self.averages:
            found[f"average of {name}"] = f"decay {self._followed[name][1]}"
        for name, optimizer in self.optimizers.items():
            defaults = {k: v for k, v in optimizer.defaults.items() if k != "lr"}
            found[f"optimizer of {name}"] = f"{type(optimizer).__name__}({defaults})"
            found[f"{LR_OF}{name}"] = describe_schedule(self.lr_schedules[name])
        return found

    def get_extra_state(self) -> dict[str, Any]:
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return {"optimizers": optimizers, "updates": dict(self.updates)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.updates = dict(state["updates"])


class Averages(nn.ModuleDict):
    """Averages of weights, by the name of the net that they follow; each is a module with its ``forward``."""

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            kept = f"there are those of {', '.join(self)}" if len(self) else "there are none"
            raise KeyError(f"no average of {name!r} is kept; {kept}. Pass ema=0.99 to the method to keep one")
        return super().__getitem__(name)


def describe(value: Any) -> str:
    """A setting as text: a value by its ``repr``, a function by its name, a ``partial`` by both."""
    if isinstance(value, partial):
        settings = [describe(v) for v in value.args]
        settings += [f"{k}={describe(v)}" for k, v in sorted(value.keywords.items())]
        return f"{describe(value.func)}({', '.join(settings)})"
    if callable(value) and (hasattr(value, "__qualname__") or type(value).__repr__ is object.__repr__):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return repr(value)


def weight_average(net: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a net's weights; call ``.update_parameters(net)`` after each update.

    The average of an energy that was trained with persistent chains is far nearer to the data's density
    than the last weights, which swing around it.

    Args:
        net: The net to follow; the average starts as a copy and is itself a module with the net's
            ``forward``.
        decay: Weight of the past, in (0, 1); its memory is about ``1 / (1 - decay)`` updates.

    Raises:
        ValueError: If ``decay`` is not in (0, 1).
    """
    if not 0 < decay < 1:
        raise ValueError(f"decay is {decay}; expected a number in (0, 1), such as 0.999")
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    return average.requires_grad_(False)
