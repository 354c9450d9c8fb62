"""A generator of images: transposed convolutions up from one vector."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.nets._layers import check_activation
from ebmlearn.nets.generator import GaussianGenerator


class ConvGenerator(GaussianGenerator):
    """``g`` for images in [-1, 1]: a linear layer, then transposed convolutions that double the side, then
    tanh. The linear layer is a transposed convolution of a 1 x 1 map, with a bias for each pixel.

    Args:
        latent_dim: Number of elements of ``z``.
        channels: Channels of the image.
        size: Side of the square image, a multiple of ``2 ** doublings``.
        widths: Channels before each transposed convolution.
        doublings: How many of them double the side (stride 2); those after them keep it (3 x 3, padding 1).
            None: all.
        kernel: Side of the kernels that double, >= 1.
        std: Standard deviation ``τ`` of ``x`` given ``z``.
        activation: Makes an activation.

    Raises:
        ValueError: If ``size`` cannot be reached, an argument is out of its range, or ``z`` has another
            shape.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        size: int,
        widths: Sequence[int] = (128, 64),
        *,
        doublings: int | None = None,
        kernel: int = 4,
        std: float = 0.3,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        check.count("channels", channels)
        check.count("size", size)
        widths = check.counts("widths", widths)
        check.count("kernel", kernel)
        check_activation(activation)
        if doublings is not None:
            check.count("doublings", doublings, 0)
        super().__init__(latent_dim, (channels, size, size), std)
        doublings = len(widths) if doublings is None else doublings
        if not 0 <= doublings <= len(widths):
            raise ValueError(
                f"doublings is {doublings}; expected at most one for each of {len(widths)} widths"
            )
        side, rest = divmod(size, 2**doublings)
        if not widths or rest or side < 1:
            raise ValueError(
                f"size is {size}; {doublings} doublings make multiples of {2**doublings}: use a size or a "
                "number of widths, at least one, that fits"
            )
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, widths[0] * side**2),
            activation(),
            nn.Unflatten(1, (widths[0], side, side)),
        ]
        for i, (n_in, n_out) in enumerate(pairwise([*widths, channels])):
            if i < doublings:  # an odd kernel would make one row and column less than twice as many
                up = nn.ConvTranspose2d(n_in, n_out, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2)
            else:
                up = nn.ConvTranspose2d(n_in, n_out, 3, padding=1)
            layers += [up, activation()]
        self.net = nn.Sequential(*layers[:-1], nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        self.check(z)
        return self.net(z)
