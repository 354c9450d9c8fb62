"""A convolutional generator with several layers of latent variables."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.nets._layers import check_activation
from ebmlearn.nets.ladder import Ladder


class ConvLadderGenerator(Ladder):
    """A top-down generator of images in [-1, 1], whose state are feature maps.

    Each layer of latents ``h_l`` is projected to feature maps, which are added to those of the layers above;
    two convolutions and a linear layer read the mean and the spread of the next layer off them. Transposed
    convolutions make the image of the last ones. So the image depends on every layer of latents directly, and
    on those above also through the ones below (Nijkamp et al., 2020, arXiv:1912.01909, in the form of
    github.com/enijkamp/short_run_inf).

    Their spread is ``exp(½ softplus)``, never below 1; here it is ``softplus``, as in `LadderGenerator`.

    Args:
        latent_dims: Number of latents of each layer, the top one first.
        channels: Channels of the image.
        size: Side of the square image, ``side`` times a power of two from 2 on.
        width: Feature maps.
        side: Side of the feature maps, >= 5.
        n_projected: Maps that the linear layer of a projection makes, before a convolution to ``width``.
        std: Standard deviation ``τ`` of ``x`` given ``z``.
        activation: Makes an activation.

    Raises:
        ValueError: If ``size`` cannot be reached, an argument is out of its range, or ``z`` has another
            shape.
    """

    def __init__(
        self,
        latent_dims: Sequence[int],
        channels: int,
        size: int,
        width: int = 64,
        *,
        side: int = 16,
        n_projected: int = 4,
        std: float = 0.15,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        check.count("channels", channels)
        check.count("size", size)
        check.count("width", width)
        check.count("side", side)
        check.count("n_projected", n_projected)
        check_activation(activation)
        super().__init__(latent_dims, (channels, size, size), std)
        doublings = (size // side).bit_length() - 1 if side >= 5 else 0
        if doublings < 1 or size != side * 2**doublings:
            raise ValueError(
                f"size is {size} and side {side}; expected size = side * 2 ** n with n >= 1, and side >= 5"
            )

        def project(dim: int) -> nn.Module:
            return nn.Sequential(
                nn.Linear(dim, n_projected * side**2),
                activation(),
                nn.Unflatten(1, (n_projected, side, side)),
                nn.ConvTranspose2d(n_projected, width, 5, padding=2, bias=False),
                activation(),
                _Residual(width, activation),
            )

        self.projections = nn.ModuleList(project(dim) for dim in latent_dims)
        self.layers = nn.ModuleList(_MeanSpread(width, side, dim, activation) for dim in latent_dims[1:])
        up: list[nn.Module] = [_Residual(width, activation)]
        for _ in range(doublings - 1):
            up += [nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), activation()]
        self.net = nn.Sequential(*up, nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh())

    def state(self, layer: int, h: Tensor, above: Tensor | None) -> Tensor:
        maps = self.projections[layer](h)
        return maps if above is None else maps + above


class _Residual(nn.Module):
    """Two convolutions, 5 x 5 and 3 x 3, around which the input goes."""

    def __init__(self, width: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2),
            activation(),
            nn.Conv2d(width, width, 3, padding=1),
            activation(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class _MeanSpread(nn.Module):
    """Means and spreads of a layer of latents, ``(B, 2 dim)``, of feature maps: two nets of the same form."""

    def __init__(self, width: int, side: int, dim: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.mean, self.spread = (
            nn.Sequential(
                nn.Conv2d(width, dim, 5), activation(), nn.Flatten(), nn.Linear(dim * (side - 4) ** 2, dim)
            )
            for _ in range(2)
        )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([self.mean(maps), self.spread(maps)], 1)
