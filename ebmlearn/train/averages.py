"""Moving averages of the weights of nets, which a method keeps beside them."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Averages(nn.ModuleDict):
    """Averages of weights, by the name of the net that they follow; each is a module with its ``forward``."""

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            kept = f"there are those of {', '.join(self)}" if len(self) else "there are none"
            raise KeyError(f"no average of {name!r} is kept; {kept}. Pass ema=0.99 to the method to keep one")
        return super().__getitem__(name)


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
    average = AveragedModel(net, multi_avg_fn=partial(_move, decay), use_buffers=True)
    return average.requires_grad_(False)


@torch.no_grad()
def follow(average: AveragedModel, net: nn.Module, decay: float) -> None:
    """Move an average towards a net: ``average.update_parameters(net)`` bit for bit, in half the time.

    The tensors are not sorted by device and dtype, because an average lies where its net does; integers,
    such as the counts of a normalisation, are left to PyTorch.

    Args:
        average: What `weight_average` has made.
        net: The net that it follows.
        decay: Weight of the past, the one that the average was made with.
    """
    old = [*average.module.parameters(), *average.module.buffers()]
    new = [*net.parameters(), *net.buffers()]
    if not average.n_averaged.item() or not all(x.is_floating_point() for x in old):
        average.update_parameters(net)
        return
    torch._foreach_lerp_(old, new, 1 - decay)
    average.n_averaged += 1


def _move(decay: float, averages: Any, weights: Any, n: Any) -> None:
    """What torch has, which would make the average a function that cannot be pickled."""
    get_ema_multi_avg_fn(decay)(averages, weights, n)
