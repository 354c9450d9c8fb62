"""Generators with several layers of latent variables."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn import check
from ebmlearn.nets._layers import check_activation, hidden_layers
from ebmlearn.nets.generator import GaussianGenerator


class Ladder(GaussianGenerator, ABC):
    """Abstract: a top-down generator, in which each layer of latents is Gaussian given the layers above.

    ``h_L = ε_L``, then ``h_l = μ_l + σ_l ε_l`` down to ``h_1``, and ``x = g + τ ε``, where ``μ_l``, ``σ_l``
    and ``g`` are functions of a state ``s`` that each layer changes. The latent ``z = (ε_L, …, ε_1)`` is the
    white noise of all layers side by side, so its prior is ``N(0, I)``.

    A subclass makes the nets ``layers``, one for each layer of latents but the top one, from ``s`` to
    ``(B, 2 dim)``, means and spreads; and ``net``, from ``s`` to ``g``.

    Args:
        latent_dims: Number of latents of each layer, the top one first.
        event_shape: Shape of one ``x``.
        std: Standard deviation ``τ`` of ``x`` given ``z``.

    Raises:
        ValueError: If an argument is out of its range or ``z`` has another shape.
    """

    layers: nn.ModuleList
    net: nn.Module

    def __init__(self, latent_dims: Sequence[int], event_shape: Sequence[int], std: float) -> None:
        latent_dims = check.counts("latent_dims", latent_dims)
        super().__init__(sum(latent_dims), event_shape, std)
        self.latent_dims = tuple(latent_dims)

    @abstractmethod
    def state(self, layer: int, h: Tensor, above: Tensor | None) -> Tensor:
        """``s`` after a layer, 0 at the top, with latents ``h``, from the state above it, None at the top."""

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        top, *below = z.split(self.latent_dims, 1)
        state = self.state(0, top, None)
        for i, (layer, noise) in enumerate(zip(self.layers, below, strict=True), 1):
            mean, spread = layer(state).chunk(2, 1)
            # softplus grows like its argument, exp would explode
            state = self.state(i, mean + softplus(spread) * noise, state)
        return self.net(state).view(-1, *self.event_shape)


class LadderGenerator(Ladder):
    """A top-down generator of perceptrons: each layer of latents is Gaussian given the layer above.

    ``h_L = ε_L``, then ``h_l = μ_l(h_{l+1}) + σ_l(h_{l+1}) ε_l`` down to ``h_1``, and ``x = g(h_1) + τ ε``.
    The latent ``z = (ε_L, …, ε_1)`` is the white noise of all layers side by side, so its prior is
    ``N(0, I)`` and whatever samples ``z`` works at any depth (Nijkamp et al., 2020, arXiv:1912.01909; their
    code has the same form with convolutions, as `ConvLadderGenerator` has).

    Args:
        latent_dims: Number of latents of each layer, the top one first; with one layer it is an
            `MLPGenerator`.
        event_shape: Shape of one ``x``.
        width: Width of the hidden layer between two layers of latents, and of those before ``x``.
        n_hidden: Hidden layers between ``h_1`` and ``x``, >= 0.
        std: Standard deviation ``τ`` of ``x`` given ``z``.
        activation: Makes an activation.
        bounded: End in tanh, for images in [-1, 1].

    Raises:
        ValueError: If an argument is out of its range or ``z`` has another shape.
    """

    def __init__(
        self,
        latent_dims: Sequence[int],
        event_shape: Sequence[int],
        width: int = 128,
        *,
        n_hidden: int = 2,
        std: float = 0.3,
        activation: Callable[[], nn.Module] = nn.SiLU,
        bounded: bool = False,
    ) -> None:
        latent_dims = check.counts("latent_dims", latent_dims)
        check.count("width", width)
        check.count("n_hidden", n_hidden, 0)
        check_activation(activation)
        super().__init__(latent_dims, event_shape, std)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(above, width), activation(), nn.Linear(width, 2 * dim))
            for above, dim in pairwise(latent_dims)
        )
        sizes = [latent_dims[-1], *[width] * n_hidden]
        hidden = hidden_layers(sizes, activation)
        last = nn.Linear(sizes[-1], prod(self.event_shape))
        self.net = nn.Sequential(*hidden, last, *([nn.Tanh()] if bounded else []))

    def state(self, layer: int, h: Tensor, above: Tensor | None) -> Tensor:
        return h
