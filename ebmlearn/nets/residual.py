"""Features of images by a residual network."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ebmlearn.architecture import Net
from ebmlearn.nets._layers import check_images


class ResidualFeatures(Net):
    """A convolution, then stages of residual blocks: the first block of each stage halves the image.

    No normalisation layers: they would make the energies of a batch depend on each other.

    Args:
        channels: Channels of the image.
        size: Side of the square image; each halving rounds down.
        widths: Channels after the first convolution, then after each stage.
        n_blocks: Blocks in a stage, >= 1.
        activation: Makes an activation.

    Raises:
        ValueError: If the image is too small for so many halvings, or ``x`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        n_blocks: int = 2,
        *,
        activation: Callable[[], nn.Module] = nn.ELU,
    ) -> None:
        super().__init__()
        first, *after = widths
        if size < 2 ** len(after) or n_blocks < 1:
            raise ValueError(
                f"size is {size} and n_blocks {n_blocks}; {len(after)} halvings need a size of at least "
                f"{2 ** len(after)}, and a stage a block"
            )
        self.image_shape = (channels, size, size)
        layers: list[nn.Module] = [nn.Conv2d(channels, first, 3, padding=1)]
        width = first
        for wider in after:
            layers.append(_Block(width, wider, activation, halve=True))
            layers += [_Block(wider, wider, activation, halve=False) for _ in range(n_blocks - 1)]
            width = wider
        self.net = nn.Sequential(*layers, nn.Flatten())
        self.n_features = width * (size // 2 ** len(after)) ** 2

    def forward(self, x: Tensor) -> Tensor:
        """Features of images, ``(B, C, H, W)`` to ``(B, n_features)``."""
        check_images(x, self.image_shape)
        return self.net(x)


class _Block(nn.Module):
    """Activation and convolution, twice, beside a 1 x 1 convolution; halved by averaging where asked."""

    def __init__(self, n_in: int, n_out: int, activation: Callable[[], nn.Module], *, halve: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(
            activation(),
            nn.Conv2d(n_in, n_in, 3, padding=1, bias=False),
            activation(),
            nn.Conv2d(n_in, n_out, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(n_in, n_out, 1)
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        return avg_pool2d(out, 2) + self.shortcut(avg_pool2d(x, 2)) if self.halve else out + self.shortcut(x)
