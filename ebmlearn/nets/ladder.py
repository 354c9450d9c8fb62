"""A generator with several layers of latent variables."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn.nets._layers import hidden_layers
from ebmlearn.nets.generator import GaussianGenerator


class LadderGenerator(GaussianGenerator):
    """A top-down generator: each layer of latents is Gaussian given the layer above.

    ``h_L = ε_L``, then ``h_l = μ_l(h_{l+1}) + σ_l(h_{l+1}) ε_l`` down to ``h_1``, and ``x = g(h_1) + τ ε``.
    The latent ``z = (ε_L, …, ε_1)`` is the white noise of all layers side by side, so its prior is
    ``N(0, I)`` and whatever samples ``z`` works at any depth (Nijkamp et al., 2020, arXiv:1912.01909; their
    code has the same form with convolutions).

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
        if not latent_dims or min(latent_dims) < 1:
            raise ValueError(f"latent_dims are {tuple(latent_dims)}; expected one number >= 1 for each layer")
        super().__init__(sum(latent_dims), event_shape, std)
        self.latent_dims = tuple(latent_dims)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(above, width), activation(), nn.Linear(width, 2 * dim))
            for above, dim in pairwise(latent_dims)
        )
        sizes = [latent_dims[-1], *[width] * n_hidden]
        hidden = hidden_layers(sizes, activation)
        last = nn.Linear(sizes[-1], prod(self.event_shape))
        self.net = nn.Sequential(*hidden, last, *([nn.Tanh()] if bounded else []))

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        h, *below = z.split(self.latent_dims, 1)
        for layer, noise in zip(self.layers, below, strict=True):
            mean, spread = layer(h).chunk(2, 1)
            h = mean + softplus(spread) * noise  # softplus grows like its argument, exp would explode
        return self.net(h).view(-1, *self.event_shape)
