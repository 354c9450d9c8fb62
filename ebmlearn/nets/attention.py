"""An energy for images with attention over all positions."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ebmlearn.architecture import Net
from ebmlearn.nets._layers import Readout, check_images


class NonLocalEnergy(Net):
    """The non-local net of Nijkamp et al. (2020, arXiv:1903.12370, ``nets.py`` of their code).

    For each width a convolution and a pooling that halves the image; before each convolution but the first, a
    non-local block (Wang, Girshick, Gupta, He 2018, arXiv:1711.07971), in which every position attends to all
    others. Then a hidden layer, and a linear one without bias.

    Args:
        channels: Channels of the image.
        size: Side of the square image, >= ``2 ** len(widths)``.
        widths: Channels after each convolution (3 x 3, padding 1), at least one.
        hidden: Width of the hidden layer.
        activation: Makes an activation.

    Raises:
        ValueError: If the image is too small for so many halvings, or ``x`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 256,
        *,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        if not widths or size < 2 ** len(widths):
            raise ValueError(
                f"size is {size} and widths are {tuple(widths)}; expected at least one width, and a side of "
                "at least 2 to the power of their number"
            )
        self.image_shape = (channels, size, size)
        layers: list[nn.Module] = []
        for width in widths:
            if layers:
                layers.append(NonLocalBlock(channels))
            layers += [nn.Conv2d(channels, width, 3, padding=1), activation(), nn.MaxPool2d(2)]
            channels, size = width, size // 2
        layers += [nn.Flatten(), nn.Linear(channels * size**2, hidden), activation(), Readout(hidden)]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.image_shape)
        return self.net(x)


class NonLocalBlock(nn.Module):
    """``x + W y`` with ``y_i = Σ_j softmax_j(θ(x)_i · φ(x)_j) g(x)_j``, over all positions ``i``, and ``j``
    after a pooling by 2. ``θ``, ``φ``, ``g`` and ``W`` are linear in the channels, the first three to half as
    many. ``W`` starts at zero, so the block starts as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.MaxPool2d(2))
        self.value = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.MaxPool2d(2))
        self.out = nn.Conv2d(inner, channels, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (self.query, self.key, self.value))
        attention = (query.mT @ key).softmax(2)  # (B, positions, pooled positions)
        return x + self.out((value @ attention.mT).unflatten(2, x.shape[2:]))
