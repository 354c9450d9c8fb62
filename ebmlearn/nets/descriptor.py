"""The energy of cooperative learning's authors: a Gaussian, tilted by convolutions."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.nets._layers import Readout, check_activation, check_images


class DescriptorEnergy(nn.Module):
    """``E(x) = ‖x‖² / (2 reference_std²) + 100 w·h(x)``, with ``h`` convolutions: the "descriptor" of Xie,
    Lu, Gao, Zhu, Wu (2016, arXiv:1609.09408), who write ``‖x‖²/(2σ²) - f(x)``.

    In the released code ``f`` is the sum of 100 linear outputs of ``h``, which is one linear output. All 100
    have the same gradient, so Adam moves each by the same amount, and the sum by 100 times as much. We keep
    the mean ``w``, times 100: the same steps under Adam, a start of the same width, and one hundredth of the
    weights.

    Args:
        channels: Channels of the image.
        size: Side of the square image.
        layers: ``(width, kernel, stride)`` of each convolution; a stride of 2 halves the side, rounding up if
            the kernel is odd, down if it is even.
        reference_std: Standard deviation of the Gaussian, > 0, in units of ``x``.
        activation: Makes an activation.

    Raises:
        ValueError: If ``reference_std`` is not positive or ``x`` has another shape.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        layers: Sequence[tuple[int, int, int]] = ((64, 5, 2), (128, 3, 2), (256, 3, 1)),
        *,
        reference_std: float = 0.016,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__()
        check.count("channels", channels)
        check.count("size", size)
        check_activation(activation)
        check.number("reference_std", reference_std)
        for layer in layers:
            if len(check.counts("a layer", layer)) != 3:
                raise ValueError(f"a layer is {layer}; expected (width, kernel, stride)")
        self.image_shape, self.reference_std = (channels, size, size), reference_std
        parts: list[nn.Module] = []
        for width, kernel, stride in layers:
            padding = (kernel - 1) // 2
            parts += [nn.Conv2d(channels, width, kernel, stride, padding), activation()]
            channels, size = width, (size + 2 * padding - kernel) // stride + 1
        if size < 1:
            raise ValueError(f"layers are {layers}; the image is used up by them: use fewer")
        readout = Readout(channels * size**2)
        with torch.no_grad():
            readout.weight /= 10  # the mean of 100 independent rows
        self.net = nn.Sequential(*parts, nn.Flatten(), readout)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.image_shape)
        return 0.5 * x.flatten(1).square().sum(1) / self.reference_std**2 + 100 * self.net(x)

    def extra_repr(self) -> str:
        return f"reference_std={self.reference_std}"
