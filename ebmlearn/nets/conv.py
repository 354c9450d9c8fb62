"""An energy for images: strided convolutions down to one number."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn import check
from ebmlearn.architecture import Net
from ebmlearn.nets._layers import Readout, check_activation, check_images, stack


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
        spectral_norm: Whether the weights of each layer are divided by their largest singular value, as
            `JointConvEnergy` has it.
        bounded: Whether the energy is ``softplus`` of the last layer, which is positive.

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
        spectral_norm: bool = False,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        check.choice("spectral_norm", spectral_norm, (True, False))
        check.choice("bounded", bounded, (True, False))
        self.bounded = bounded
        check.count("channels", channels)
        check.count("size", size)
        widths = check.counts("widths", widths, some=False)
        check_activation(activation)
        if stem is not None:
            check.count("stem", stem)
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
        self.net = stack([*layers, nn.Flatten(), Readout(channels * size**2)], spectral_norm)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.image_shape)
        energy = self.net(x)
        return softplus(energy) if self.bounded else energy

    def extra_repr(self) -> str:
        return "bounded=True" if self.bounded else ""
