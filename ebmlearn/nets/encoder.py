"""A convolutional encoder: the net inside a posterior of images."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.nets._layers import check_images


class ConvEncoder(Net):
    """Convolutions that halve the image, one for each width, then a linear layer.

    Args:
        channels: Channels of the image.
        size: Side of the square image; each convolution (3 x 3, stride 2, padding 1) halves it, rounding up.
        n_out: Length of the output; a `GaussianPosterior <ebmlearn.posteriors.GaussianPosterior>` takes twice
            the number of its latents.
        widths: Channels after each convolution.
        activation: Makes an activation.

    Raises:
        ValueError: If ``x`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        n_out: int,
        widths: Sequence[int] = (64, 128, 256),
        *,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        self.image_shape = (channels, size, size)
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), activation()]
            channels, size = width, (size + 1) // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size**2, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, n_out)``."""
        check_images(x, self.image_shape)
        return self.net(x)
