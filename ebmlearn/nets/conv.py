"""An energy for images: strided convolutions down to one number."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.nets._layers import Readout, check_images


class ConvEnergy(Net):
    """Convolutions that halve the image, one for each width, then a linear layer without bias.

    No normalisation layers: they would make the chains of a batch depend on each other.

    Args:
        channels: Channels of the image.
        size: Side of the square image; each convolution (4 x 4, stride 2, padding 1) halves it, rounding
            down.
        widths: Channels after each convolution.
        stem: Channels of a convolution before them that keeps the size (3 x 3, stride 1, padding 1); None: no
            such convolution.
        activation: Makes an activation.

    Raises:
        ValueError: If the image is too small for so many halvings, or ``x`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        widths: Sequence[int] = (32, 64, 128),
        *,
        stem: int | None = None,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        if size < 2 ** len(widths):
            raise ValueError(
                f"size is {size}; {len(widths)} halvings need at least {2 ** len(widths)}: use fewer widths"
            )
        self.image_shape = (channels, size, size)
        layers: list[nn.Module] = []
        if stem is not None:
            layers += [nn.Conv2d(channels, stem, 3, padding=1), activation()]
            channels = stem
        for width in widths:
            layers += [nn.Conv2d(channels, width, 4, stride=2, padding=1), activation()]
            channels, size = width, size // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), Readout(channels * size**2))

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.image_shape)
        return self.net(x)
