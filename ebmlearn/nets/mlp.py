"""An energy for points and small images: a multilayer perceptron."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.energy.base import calls_forward_only
from ebmlearn.nets._layers import WAY_BACK, Readout, hidden_layers


class MLPEnergy(Net):
    """``E(x) = w·h(x) + ‖x‖² / (2 reference_std²)``, with ``h`` a multilayer perceptron on the flattened
    event.

    The last layer has no bias: an energy is defined up to a constant. The reference term makes ``exp(-E)``
    integrable; without it a net that grows more slowly than ``log|x|`` has no partition function.

    Args:
        dim: Number of elements of an event.
        widths: Widths of the hidden layers.
        activation: Makes an activation; a smooth one (the default) keeps second derivatives, which score
            matching needs.
        reference_std: Standard deviation of the Gaussian reference, > 0; None: no reference.
        n_fourier: Number of random Fourier features ``sin(ωx), cos(ωx)`` before the first layer (0: none);
            they fit multimodal targets with small nets (Tancik et al. 2020, arXiv:2006.10739).
        fourier_scale: Standard deviation of the frequencies ``ω``, in 1/units of ``x``.

    Raises:
        ValueError: If ``reference_std`` is not positive or ``x`` has another number of elements.
    """

    frequencies: Tensor

    def __init__(
        self,
        dim: int,
        widths: Sequence[int] = (128, 128),
        *,
        activation: Callable[[], nn.Module] = nn.SiLU,
        reference_std: float | None = None,
        n_fourier: int = 0,
        fourier_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if reference_std is not None and not reference_std > 0:
            raise ValueError(
                f"reference_std is {reference_std}; expected a number > 0, or None for no reference"
            )
        self.dim, self.reference_std = dim, reference_std
        self.register_buffer("frequencies", fourier_scale * torch.randn(dim, n_fourier))
        sizes = [dim + 2 * n_fourier, *widths]
        self.net = nn.Sequential(*hidden_layers(sizes, activation), Readout(sizes[-1]))

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        if x.shape[1] != self.dim:
            raise ValueError(f"x has {x.shape[1]} elements an event; this net was built for dim={self.dim}")
        features = x
        if self.frequencies.numel():
            phase = x @ self.frequencies
            features = torch.cat([x, phase.sin(), phase.cos()], 1)
        energy = self.net(features)
        if self.reference_std is not None:
            energy = energy + 0.5 * x.square().sum(1) / self.reference_std**2
        return energy

    def value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Energy and gradient in ``x`` in closed form, for `grad <ebmlearn.energy.grad>`: the chain rule from
        layer to layer, without a graph.

        Returns:
            ``(E, dE/dx)`` of shapes ``(B,)`` and ``(B, *event)``; None if the energy is not, or may not be,
            what ``forward`` says of layers whose derivative is known here, or ``x`` is not for this net.
        """
        point = x.flatten(1)
        layers = self._layers_as_built()
        if point.shape[1] != self.dim or layers is None:
            return None
        *hidden, last = layers
        readout = cast(Readout, last)
        y, frequencies = point, self.frequencies
        n_fourier = frequencies.shape[1]
        if n_fourier:
            phase = point @ frequencies
            sin, cos = phase.sin(), phase.cos()
            y = torch.cat([point, sin, cos], 1)
        back = []
        for layer in hidden:
            given, y = y, layer.forward(y)
            back.append(WAY_BACK[type(layer)](layer, given, y))
        value = readout.forward(y)
        slope = readout.weight.expand(len(y), -1)
        if slope.dtype != y.dtype:  # autocast has changed it
            slope = slope.to(y.dtype)
        for step in reversed(back):
            slope = step(slope)
        slope = slope.to(x.dtype)
        if n_fourier:
            slope, by_sin, by_cos = slope.split([self.dim, n_fourier, n_fourier], 1)
            by_phase = (by_sin * cos - by_cos * sin) @ frequencies.t()
        if self.reference_std is not None:
            value = value + 0.5 * point.square().sum(1) / self.reference_std**2
            slope = slope + point * (1 / self.reference_std**2)
        if n_fourier:  # last, as in automatic differentiation: sums in its order are its sums to the last bit
            slope = slope + by_phase
        return value, slope.view_as(x)

    def _layers_as_built(self) -> list[nn.Module] | None:
        """The layers, if the energy is `forward` through layers with a derivative that is known here. A
        subclass, a hook, an exchanged layer or one that works in place could make it another."""
        own, net = type(self), self.net
        if own.forward is not MLPEnergy.forward or own.__call__ is not nn.Module.__call__:
            return None
        if type(net) is not nn.Sequential:
            return None
        layers = [*net]
        # without a hidden layer the gradient would be the weights themselves, and move with them
        if len(layers) < 2 or type(layers[-1]) is not Readout:
            return None
        for layer in layers[:-1]:
            if type(layer) not in WAY_BACK or getattr(layer, "inplace", False):
                return None
        return layers if calls_forward_only(self, net, *layers) else None

    def extra_repr(self) -> str:
        return f"reference_std={self.reference_std}"
