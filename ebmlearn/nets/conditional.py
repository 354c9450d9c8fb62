"""Nets for models of ``x`` given a condition ``c``: the other half of an image, or a class.

Each has ``given(c)``, with one condition a row. What it returns is a plain energy or generator, so that
chains, losses and evaluation need not know that there is a condition at all. The posterior to go with them is
`ebmlearn.posteriors.ConditionalPosterior`.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.energy import Energy
from ebmlearn.energy.base import calls_forward_only
from ebmlearn.nets.generator import GaussianGenerator, MLPGenerator
from ebmlearn.nets.mlp import MLPEnergy


def beside(x: Tensor, c: Tensor, condition_shape: tuple[int, ...]) -> Tensor:
    """``x`` and its conditions, both flattened, in one row: what the nets of conditional models see.

    Args:
        x: Shape ``(B, *event)``.
        c: Shape ``(B, *condition)``.
        condition_shape: The shape that ``c`` must have after its first axis.

    Returns:
        Shape ``(B, prod(event) + prod(condition))``.

    Raises:
        ValueError: If there is not one condition of this shape for each row of ``x``.
    """
    if c.shape != (len(x), *condition_shape):
        raise ValueError(
            f"the condition has shape {tuple(c.shape)}; expected {(len(x), *condition_shape)}, one for each "
            f"of {len(x)} rows"
        )
    return torch.cat([x.flatten(1), c.flatten(1).to(x.dtype)], 1)


class ConditionalEnergy(Net):
    """``E(x | c)``: a multilayer perceptron on ``x`` and ``c`` side by side, plus ``‖x‖² / (2 r²)``.

    ``exp(-E(x | c))`` has a partition function ``Z(c)`` for each condition. The reference term is in ``x``
    alone, because the model says nothing of how likely a condition is.

    Args:
        event_shape: Shape of one ``x``.
        condition_shape: Shape of one ``c``.
        widths: Widths of the hidden layers.
        activation: Makes an activation.
        reference_std: Standard deviation ``r`` of the Gaussian reference, > 0; None: no reference.

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        condition_shape: Sequence[int],
        widths: Sequence[int] = (128, 128),
        *,
        activation: Callable[[], nn.Module] = nn.SiLU,
        reference_std: float | None = None,
    ) -> None:
        super().__init__()
        if reference_std is not None and not reference_std > 0:
            raise ValueError(
                f"reference_std is {reference_std}; expected a number > 0, or None for no reference"
            )
        self.event_shape, self.condition_shape = tuple(event_shape), tuple(condition_shape)
        self.reference_std = reference_std
        n = prod(self.event_shape) + prod(self.condition_shape)
        self.net = MLPEnergy(n, widths, activation=activation)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Energies of ``(B, *event)`` given ``(B, *condition)``, shape ``(B,)``."""
        energy = self.net(beside(x, c, self.condition_shape))
        if self.reference_std is not None:
            energy = energy + 0.5 * x.flatten(1).square().sum(1) / self.reference_std**2
        return energy

    def given(self, c: Tensor) -> Energy:
        """The energy of ``x`` for conditions ``(B, *condition)``, one for each row of ``x``."""
        return _GivenEnergy(self, c)

    def extra_repr(self) -> str:
        return f"condition_shape={self.condition_shape}, reference_std={self.reference_std}"


class _GivenEnergy:
    """A conditional energy whose conditions are chosen, with the closed form of its net."""

    def __init__(self, whole: ConditionalEnergy, c: Tensor) -> None:
        self.whole, self.c = whole, c

    def __call__(self, x: Tensor) -> Tensor:
        return self.whole(x, self.c)

    def value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """As `MLPEnergy.value_and_slope <ebmlearn.nets.MLPEnergy.value_and_slope>`, for the part of ``x``."""
        whole = self.whole
        if not calls_forward_only(whole):
            return None
        found = whole.net.value_and_slope(beside(x, self.c, whole.condition_shape))
        if found is None:
            return None
        point = x.flatten(1)
        value, slope = found[0], found[1][:, : point.shape[1]]
        if whole.reference_std is not None:
            value = value + 0.5 * point.square().sum(1) / whole.reference_std**2
            slope = slope + point * (1 / whole.reference_std**2)
        return value, slope.view_as(x)


class ConditionalGenerator(Net):
    """``x = g(z, c) + τ ε``, ``z ~ N(0, I)``: a multilayer perceptron on ``z`` and ``c`` side by side.

    Args:
        latent_dim: Number of elements of ``z``.
        event_shape: Shape of one ``x``.
        condition_shape: Shape of one ``c``.
        widths: Widths of the hidden layers; without any, ``g`` is affine in ``z`` and ``c``.
        std: Standard deviation ``τ`` of ``x`` given ``z`` and ``c``, > 0.
        activation: Makes an activation.
        bounded: End in tanh, for images in [-1, 1].

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape: Sequence[int],
        condition_shape: Sequence[int],
        widths: Sequence[int] = (128, 128),
        *,
        std: float = 0.3,
        activation: Callable[[], nn.Module] = nn.SiLU,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim}; expected a number >= 1")
        self.latent_dim, self.condition_shape = latent_dim, tuple(condition_shape)
        n = latent_dim + prod(self.condition_shape)
        self.net = MLPGenerator(n, event_shape, widths, std=std, activation=activation, bounded=bounded)

    def given(self, c: Tensor) -> GaussianGenerator:
        """The generator for conditions ``(B, *condition)``, one for each row of ``z``. It has the weights of
        this net, and no others."""
        return _Given(self, c)

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, condition_shape={self.condition_shape}"


class _Given(GaussianGenerator):
    """A conditional generator whose conditions are chosen."""

    def __init__(self, whole: ConditionalGenerator, c: Tensor) -> None:
        super().__init__(whole.latent_dim, whole.net.event_shape, whole.net.std)
        self.whole, self.c = whole, c

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        return self.whole.net(beside(z, self.c, self.whole.condition_shape))
