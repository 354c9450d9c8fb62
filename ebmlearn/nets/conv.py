"""An energy for images: strided convolutions down to one number."""

from collections.abc import Callable

from torch import Tensor, nn


class ConvEnergy(nn.Module):
    """Convolutions that halve the image until its side is at most 4, then a linear layer without bias.

    No normalisation layers: they would make the chains of a batch depend on each other.

    Args:
        channels: Channels of the image.
        size: Side of the square image, >= 4.
        width: Channels after the first layer; doubled at each halving.
        activation: Makes an activation.

    Raises:
        ValueError: If ``size`` < 4 or ``x`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        width: int = 32,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        if size < 4:
            raise ValueError(f"size is {size}; expected at least 4")
        self.image_shape = (channels, size, size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), activation()]
        while size > 4:
            layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), activation()]
            width, size = 2 * width, size // 2
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * size * size, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.image_shape:
            raise ValueError(f"x has shape {tuple(x.shape)}; this net was built for (B, {self.image_shape})")
        return self.net(x).squeeze(1)
