"""Generators: latent-variable models ``z ~ N(0, I)``, ``x ~ p(x|z)``, with a network inside ``p(x|z)``.

None has normalisation layers. Batch normalisation would make each example depend on its batch: the start of a
chain on the other starts, the posterior of one ``z`` on the other data, and all of them on whether the net is
in training mode.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.nets._layers import hidden_layers


class Generator(Net, ABC):
    """Abstract: ``p(x, z) = N(z; 0, I) p(x|z)``. A subclass says what ``p(x|z)`` is.

    Args:
        latent_dim: Number of elements of ``z``, >= 1.

    Raises:
        ValueError: If ``latent_dim`` is below 1.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim}; expected a number >= 1")
        self.latent_dim = latent_dim

    @abstractmethod
    def draw(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws from ``p(x|z)``, one for each latent ``(B, latent_dim)``, shape ``(B, *event)``."""

    @abstractmethod
    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """``-log p(x|z)`` in nats, up to a constant that the subclass names.

        Args:
            x: Examples, shape ``(B, *event)``.
            z: Latents, shape ``(B, latent_dim)``.

        Returns:
            One number for each element of the batch, shape ``(B,)``.

        Raises:
            ValueError: If the shapes do not fit.
        """

    def latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws from the prior ``N(0, I)``, shape ``(n, latent_dim)``."""
        like = next(self.parameters())
        return torch.randn(n, self.latent_dim, generator=generator, dtype=like.dtype, device=like.device)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws from ``p(x)``, the noise of ``p(x|z)`` included, shape ``(n, *event)``."""
        return self.draw(self.latent(n, generator), generator)

    def joint(self, x: Tensor, z: Tensor) -> Tensor:
        """``-log p(x, z)`` up to a constant: `reconstruction` plus ``½ ‖z‖²``. As a function of ``z`` it is
        the energy of the posterior ``p(z|x)``. Arguments, result and errors as `reconstruction`.
        """
        return self.reconstruction(x, z) + 0.5 * z.square().sum(1)

    def check(self, z: Tensor) -> None:
        """Refuse latents of another shape than ``(B, latent_dim)``.

        Raises:
            ValueError: If the shape is another.
        """
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"z has shape {tuple(z.shape)}; expected (B, {self.latent_dim})")


class GaussianGenerator(Generator, ABC):
    """Abstract: ``x = g(z) + τ ε``, so ``p(x|z) = N(g(z), τ² I)``. A subclass builds the network ``g`` in
    `forward`.

    Args:
        latent_dim: Number of elements of ``z``, >= 1.
        event_shape: Shape of one ``x``.
        std: Standard deviation ``τ`` of ``x`` given ``z``, > 0, in units of ``x``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, latent_dim: int, event_shape: Sequence[int], std: float) -> None:
        super().__init__(latent_dim)
        if not std > 0:
            raise ValueError(f"std is {std}; expected a number > 0")
        self.event_shape, self.std = tuple(event_shape), float(std)

    @abstractmethod
    def forward(self, z: Tensor) -> Tensor:
        """The mean ``g(z)`` of ``x``, shape ``(B, *event)``, of latents ``(B, latent_dim)``."""

    def draw(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws ``x = g(z) + τ ε``, one for each latent, shape ``(B, *event)``."""
        x = self(z)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + self.std * noise

    def reconstruction(self, x: Tensor, z: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """``-log p(x|z)`` up to the constant ``½ d log 2πτ²``: ``‖x - g(z)‖² / (2 τ²)``.

        Args:
            x: Examples, shape ``(B, *event)``.
            z: Latents, shape ``(B, latent_dim)``.
            mask: True where ``x`` is observed, of a shape that broadcasts to that of ``x``; the other
                elements do not count, whatever they are, and ``d`` is the number of those that do. All are
                observed if None.

        Returns:
            One number for each element of the batch, shape ``(B,)``, in nats.

        Raises:
            ValueError: If the shapes do not fit, or the mask is not boolean.
        """
        mean = self(z)
        if x.shape != mean.shape:
            raise ValueError(f"x has shape {tuple(x.shape)}; these latents generate {tuple(mean.shape)}")
        if mask is not None:
            if mask.dtype != torch.bool or torch.broadcast_shapes(mask.shape, x.shape) != x.shape:
                raise ValueError(
                    f"mask is {mask.dtype} of shape {tuple(mask.shape)}; expected torch.bool, broadcastable "
                    f"to {tuple(x.shape)}"
                )
            x = torch.where(mask, x, mean)  # a product with the mask would keep a NaN
        return (x - mean).square().flatten(1).sum(1) / (2 * self.std**2)

    def joint(self, x: Tensor, z: Tensor, *, mask: Tensor | None = None) -> Tensor:
        """As `Generator.joint`, with the mask of `reconstruction`: the energy of ``z`` given what is seen."""
        return self.reconstruction(x, z, mask=mask) + 0.5 * z.square().sum(1)

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, event_shape={self.event_shape}, std={self.std}"


class MLPGenerator(GaussianGenerator):
    """``g`` is a multilayer perceptron; without hidden layers it is affine, which makes it factor analysis.

    Args:
        latent_dim: Number of elements of ``z``.
        event_shape: Shape of one ``x``.
        widths: Widths of the hidden layers.
        std: Standard deviation ``τ`` of ``x`` given ``z``.
        activation: Makes an activation.
        bounded: End in tanh, for images in [-1, 1].

    Raises:
        ValueError: If an argument is out of its range or ``z`` has another shape.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape: Sequence[int],
        widths: Sequence[int] = (128, 128),
        *,
        std: float = 0.3,
        activation: Callable[[], nn.Module] = nn.SiLU,
        bounded: bool = False,
    ) -> None:
        super().__init__(latent_dim, event_shape, std)
        sizes = [latent_dim, *widths]
        hidden = hidden_layers(sizes, activation)
        last = nn.Linear(sizes[-1], prod(self.event_shape))
        self.net = nn.Sequential(*hidden, last, *([nn.Tanh()] if bounded else []))

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        return self.net(z).view(-1, *self.event_shape)
