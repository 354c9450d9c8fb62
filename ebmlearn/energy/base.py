"""The signature of an energy, its gradient, and energies whose answers are known."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim.swa_utils import AveragedModel

from ebmlearn import speed
from ebmlearn.architecture import Net

Energy = Callable[[Tensor], Tensor]
"""A callable from ``(B, *event)`` to ``(B,)``; low values are likely."""


def energy_at(energy: Energy, x: Tensor) -> Tensor:
    """Energy of each element of a batch, with the shape checked.

    Args:
        energy: The energy.
        x: Batch, shape ``(B, *event)``.

    Returns:
        Energies, shape ``(B,)``.

    Raises:
        ValueError: If ``energy(x)`` is not of shape ``(B,)``. A network that ends in ``(B, 1)`` is the
            usual cause; subtracting two such tensors would broadcast in silence elsewhere. Or if it comes in
            bfloat16 under `Speed(precision="bf16") <ebmlearn.speed.Speed>`.
    """
    value = energy(x) if speed.current().precision == "float32" else _in_bf16(energy, x)
    _check(value, x)
    return value


def _in_bf16(energy: Energy, x: Tensor) -> Tensor:
    """The energy under autocast, which the derivative is not: it goes the way back that was recorded."""
    with speed.autocast(x.device):
        return energy(x)


def _check(value: Tensor, x: Tensor) -> None:
    """What `energy_at` raises."""
    if value.dtype == torch.bfloat16 and speed.current().precision == "bf16":
        raise ValueError(
            "the energy came out in bfloat16, whose 8 bits cannot hold the differences that learning needs. "
            "Compute its last layer and its sums in float32, after .float() and within "
            'torch.autocast(x.device.type, enabled=False); or leave out precision="bf16".'
        )
    if value.shape != x.shape[:1]:
        raise ValueError(
            f"the energy returned shape {tuple(value.shape)} for x of shape {tuple(x.shape)}; expected "
            f"one number for each element of the batch, shape ({x.shape[0] if x.ndim else 'B'},). "
            "A last layer that gives (B, 1) needs .squeeze(-1)."
        )


def grad(energy: Energy, x: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Energy and its gradient with respect to ``x``; works under ``torch.no_grad``.

    The gradient is that of automatic differentiation. An energy that knows it in closed form may offer a
    method ``value_and_slope(x) -> (E, dE/dx)``, which then answers unless ``create_graph``, or None where it
    does not apply. Chains on small nets take .6 to .9 of the time: `MLPEnergy <ebmlearn.nets.MLPEnergy>` has
    one.

    Args:
        energy: The energy.
        x: Batch, shape ``(B, *event)``; not modified, and no gradient is accumulated in it or in any
            parameter.
        create_graph: Keep the graph, so that the result can be differentiated (by ``x`` and by parameters).

    Returns:
        ``(E, dE/dx)`` of shapes ``(B,)`` and ``(B, *event)``; detached unless ``create_graph``.

    Raises:
        ValueError: If the energy, or the gradient that it offers, has the wrong shape (see `energy_at`), or
            the energy does not depend on ``x``.

    Example:
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> grad(lambda x: 0.5 * x.square().sum(1), x)
        (tensor([2.5000]), tensor([[1., 2.]]))
    """
    if not create_graph and (known := _in_closed_form(energy, x)) is not None:
        return known
    with torch.enable_grad():
        if not (create_graph and x.requires_grad):
            x = x.detach().requires_grad_()
        value = energy_at(energy, x)
        if not value.requires_grad:
            raise ValueError(
                "the energy does not depend on x, or was detached inside energy(x): its gradient is "
                "undefined. Remove .detach(), .data, .item() or torch.no_grad() from the energy."
            )
        (slope,) = torch.autograd.grad(value, x, torch.ones_like(value), create_graph=create_graph)
    return (value, slope) if create_graph else (value.detach(), slope)


def _in_closed_form(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """What ``energy.value_and_slope`` answers; None: nothing. In bfloat16, too: there it is what automatic
    differentiation gives, in .8 to .9 of its time."""
    if type(energy) is AveragedModel and calls_forward_only(energy):
        energy = energy.module
    value_and_slope = getattr(energy, "value_and_slope", None)
    if value_and_slope is None:
        return None
    with torch.no_grad(), speed.autocast(x.device):
        found = value_and_slope(x.detach())
    if found is not None:
        value, slope = found
        _check(value, x)
        if slope.shape != x.shape:
            raise ValueError(
                f"value_and_slope returned a gradient of shape {tuple(slope.shape)} for x of shape "
                f"{tuple(x.shape)}; expected the shape of x"
            )
    return found


def calls_forward_only(*modules: nn.Module) -> bool:
    """Whether a call of each of these modules is its class's ``forward`` and nothing else, so that a closed
    form may stand for it: no hook, its own or of all modules, and no other ``forward`` in the instance.

    Hooks of all modules that come before a call do not count: `run <ebmlearn.sample.run>` itself has one, to
    see which nets a chain calls.
    """
    if (
        torch_module._global_forward_hooks
        or torch_module._global_backward_hooks
        or torch_module._global_backward_pre_hooks
    ):
        return False
    for m in modules:  # a loop, since a generator takes twice its time, in each step of a chain
        if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks:
            return False
        if "forward" in m.__dict__:
            return False
    return True


class ExactEnergy(Net, ABC):
    """Abstract: an energy whose normalising constant and independent samples are known.

    Tensors are buffers, so ``.to(device)`` and ``.double()`` work; samples follow their dtype and device.
    """

    event_shape: tuple[int, ...]
    log_z: Tensor
    """Log of the partition function, shape ``()``."""
    box: tuple[float, float]
    """Ends of a square that holds nearly all of the mass; set by `ebmlearn.targets` only."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Energy, ``(B, *event)`` to ``(B,)``."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Independent exact samples, shape ``(n, *event)``."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised log-density in nats, ``(B, *event)`` to ``(B,)``."""
        return -self(x) - self.log_z

    def score(self, x: Tensor) -> Tensor:
        """Score ``∇ log p(x) = -∇E(x)``, shape ``(B, *event)``, by automatic differentiation (exact)."""
        return -grad(self, x)[1]
