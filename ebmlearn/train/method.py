"""What every learning method is: nets, optimisers and one ``step``."""

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.schedules import Schedule, constant, describe_schedule
from ebmlearn.train import ranks
from ebmlearn.train.averages import Averages, follow, weight_average
from ebmlearn.train.checkpoint import LR_OF
from ebmlearn.train.describe import describe

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""``factory(parameters, lr=...)``: ``torch.optim.Adam``, or a ``partial`` of it with other betas."""


class Method(nn.Module, ABC):
    """Abstract: a learning method. A subclass sets its nets and optimisers in ``__init__`` and writes `step`.

    The ``state_dict`` holds everything that changes in training: nets, buffers, optimisers and update counts.
    Other attributes identify the method: a run goes on only where they are what they were, and
    `ebmlearn.train.fit` stops where a step changes one, since no checkpoint would hold it. Random generators
    are saved. A method can be copied by ``copy.deepcopy``, and pickled where its parts can.

    Attributes:
        scratch: Names of attributes that nothing depends on, such as notes: neither saved nor compared.
        occasional: Names of metrics that a step may leave out. Their histories hold NaN there.
    """

    scratch: tuple[str, ...] = ()
    occasional: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.lr_schedules: dict[str, Schedule] = {}
        self.updates: dict[str, int] = {}
        self.averages = Averages()
        self._followed: dict[str, tuple[nn.Module, float]] = {}
        self.accelerator: Any = None

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__ and name != "training":
            kind = type(self).__name__
            raise AttributeError(
                f"{kind} sets {name} before its parts have a place: the first line of its __init__ must "
                "be super().__init__()"
            )
        super().__setattr__(name, value)

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
            lr: Learning rate >= 0, a number or a schedule of the number of updates made.
            optimizer: ``factory(parameters, lr=...)``.

        Raises:
            ValueError: If the name is taken, there are no parameters, or ``lr`` is out of range.
        """
        if name in self.optimizers:
            raise ValueError(f"there is an optimiser {name!r} already; give each a name of its own")
        own = list(parameters)
        if not own:
            raise ValueError(
                f"the optimiser {name!r} got no parameters; expected those of a net, net.parameters(), "
                "before it has been used up"
            )
        schedule = lr if callable(lr) else constant(lr)
        if not (callable(lr) or 0 <= lr < math.inf):
            raise ValueError(f"the learning rate of {name!r} is {lr}; expected a number >= 0, such as 1e-3")
        self.optimizers[name] = optimizer(own, lr=schedule(0))
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
            TypeError: If the loss is no tensor.
            ValueError: If there is no such optimiser, its schedule gives a negative learning rate, or the
                loss is no scalar or does not depend on its parameters.
        """
        own = self._parameters_of(name, loss)
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
        # of two nets that share a loss, only the one that moves gets a gradient
        loss.backward(inputs=own)
        # Nets are not wrapped for distributed training: gradients in x pass
        # through them many times a step.
        learned = _with_gradients(name, own)
        loss = self._average_gradients(learned, loss.detach())
        value = loss.item()
        if not math.isfinite(value):
            problem = f"the loss of {name!r} is {value}"
            raise FloatingPointError(f"{problem}; its update was not made")
        optimizer.step()
        self.updates[name] += 1
        if name in self._followed:
            follow(self.averages[name], *self._followed[name])

    def _parameters_of(self, name: str, loss: Any) -> list[nn.Parameter]:
        """What an optimiser is to move; refuses a loss that cannot move it."""
        if name not in self.optimizers:
            near = difflib.get_close_matches(name, self.optimizers, n=1)
            there = (
                f"there are {', '.join(map(repr, self.optimizers))}" if self.optimizers else "there are none"
            )
            hint = f"did you mean {near[0]!r}?" if near else f"{there}; add_optimizer makes one"
            raise ValueError(f"there is no optimiser {name!r}; {hint}")
        if not isinstance(loss, Tensor):
            raise TypeError(f"the loss of {name!r} is a {type(loss).__name__}; expected a tensor of shape ()")
        if loss.shape != ():
            raise ValueError(
                f"the loss of {name!r} has shape {tuple(loss.shape)}; expected a scalar, shape (): use "
                ".mean() over the batch"
            )
        groups = [group["params"] for group in self.optimizers[name].param_groups]
        own = [p for group in groups for p in group if p.requires_grad]
        if not own:
            raise ValueError(
                f"no parameter of the optimiser {name!r} requires a gradient, so that it can learn nothing: "
                "the net is frozen. Call net.requires_grad_(True), or leave out its update"
            )
        if not loss.requires_grad:
            raise ValueError(
                f"the loss of {name!r} has no graph back to the parameters: it was computed under no_grad, "
                "or from detached values (.detach(), .item(), .data)"
            )
        return own

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

    def gather_over_ranks(self, value: Tensor) -> Tensor:
        """The rows of a tensor of all ranks, ``(B, ...)`` to ``(B n, ...)``, the same on each; the tensor
        itself where there is one. For what a rank finds out about its own data and all of them keep."""
        return ranks.gather(value, self.accelerator)

    def settings(self) -> dict[str, str]:
        """What identifies a configuration, as text: two runs with equal settings continue each other."""
        found = {"method": type(self).__name__}
        for name, value in vars(self).items():
            if name.startswith("_") or name == "training" or name in self.scratch:
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


def _with_gradients(name: str, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    learned = [p for p in parameters if p.grad is not None]
    if not learned:
        raise ValueError(
            f"the loss of {name!r} depends on none of the parameters of this optimiser, so that nothing "
            "would be learned; compute it from the net that add_optimizer was given"
        )
    return learned
