"""A normalising flow for images, with convolutions and several scales."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle

from ebmlearn import check
from ebmlearn.nets.flow import Flow


class Glow(Flow):
    """A flow for images (Kingma, Dhariwal 2018, "Glow: Generative flow with invertible 1x1 convolutions",
    NeurIPS, arXiv:1807.03039; its scales are those of Dinh, Sohl-Dickstein, Bengio 2017, arXiv:1605.08803).

    From the image to the noise, each level

    1. squeezes: every 2 x 2 pixels become one, with four times the channels;
    2. makes ``n_steps`` steps: actnorm, which shifts and scales each channel; a 1 x 1 convolution, one matrix
       for all pixels; and a coupling, where a net sees half of the channels and decides how the others are
       shifted and scaled;
    3. splits, except for the last level: half of the channels leave. Given the other half they are Gaussian,
       with a mean and a scale that one convolution predicts; shifted and scaled by these, they are noise.

    ``z`` is the noise of all levels side by side, ``N(0, I)`` in the shape of the image. At first all shifts
    and log-scales are 0 and the matrices orthogonal: the flow is a rotation, its density ``N(0, I)``.

    Differences from the authors' code (github.com/openai/glow): scales are bounded both ways, by
    ``max_log_scale`` (theirs, from image to noise, lie between 0 and 1); the prior of the last level is
    fixed; the nets of the couplings have no actnorm of their own, no channel that marks the border, and no
    learned factor at their ends. Actnorm is set from data by `initialise` alone, never at a first call.

    Always computed in float32 or the dtype of its weights, also under ``torch.autocast``: a direction undoes
    the other only if both round little.

    Args:
        channels: Channels of the image.
        size: Side of the square image, a multiple of ``2 ** n_levels``.
        n_levels: Number of levels, >= 1.
        n_steps: Steps in a level, >= 1.
        width: Width of the two hidden layers of each coupling's net.
        max_log_scale: Bound on the log-scales of couplings and splits, > 0.

    Raises:
        ValueError: If an argument is out of its range, or ``x`` has another event shape.
    """

    levels: Any  # an nn.ModuleList, whose items type checkers take for any module

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        n_levels: int = 3,
        n_steps: int = 32,
        width: int = 512,
        max_log_scale: float = 2.0,
    ) -> None:
        check.count("channels", channels)
        check.count("size", size)
        for name, value in (("n_levels", n_levels), ("n_steps", n_steps), ("width", width)):
            check.count(name, value)
        check.number("max_log_scale", max_log_scale)
        super().__init__((channels, size, size))
        if size < 1 or size % 2**n_levels:
            raise ValueError(
                f"size is {size}; {n_levels} levels halve multiples of {2**n_levels}: pad the images or use "
                "fewer levels"
            )
        self.levels, self.splits = nn.ModuleList(), nn.ModuleList()
        self.shapes: list[tuple[int, int, int]] = []  # of the noise that leaves each level
        for level in range(n_levels):
            channels, size = 4 * channels, size // 2
            self.levels.append(_Level(channels, n_steps, width, max_log_scale))
            if level < n_levels - 1:
                channels //= 2
                self.splits.append(_Affine(channels, [], max_log_scale))
            self.shapes.append((channels, size, size))

    def generate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.check(z)
        parts = z.flatten(1).split([prod(shape) for shape in self.shapes], 1)
        *noise, x = [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
        with torch.autocast(z.device.type, enabled=False):
            x, log_det = self.levels[-1].generate(x)
            for level, split, gone in zip(
                reversed(self.levels[:-1]), reversed(self.splits), reversed(noise), strict=True
            ):
                x = pixel_shuffle(x, 2)
                log_scale, shift = split(x)
                x, change = level.generate(torch.cat([x, gone * log_scale.exp() + shift], 1))
                log_det = log_det + change + log_scale.sum((1, 2, 3))
        return pixel_shuffle(x, 2), log_det

    def invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._invert(x)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set each actnorm so that every channel behind it has mean 0 and variance 1 over this batch.

        Call it once, before training. Without it the scales of the data are learned like all else.

        Args:
            x: Data, shape ``(B, *event)``; of images with 8 bits dequantised ones.

        Raises:
            ValueError: If a channel is constant over the batch.
        """
        self._invert(x, initialise=True)

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}"

    def _invert(self, x: Tensor, initialise: bool = False) -> tuple[Tensor, Tensor]:
        self.check(x)
        noise, shape, log_det = [], x.shape, x.new_zeros(len(x))
        with torch.autocast(x.device.type, enabled=False):
            for level, split in zip(self.levels, [*self.splits, None], strict=True):
                x, change = level.invert(pixel_unshuffle(x, 2), initialise)
                log_det = log_det + change
                if split is not None:
                    x, gone = x.chunk(2, 1)
                    log_scale, shift = split(x)
                    noise.append(((gone - shift) * (-log_scale).exp()).flatten(1))
                    log_det = log_det - log_scale.sum((1, 2, 3))
        return torch.cat([*noise, x.flatten(1)], 1).view(shape), log_det


class _Level(nn.Module):
    """The steps of a level. Their small weights are stacked, so that one call inverts all the matrices."""

    def __init__(self, channels: int, n_steps: int, width: int, max_log_scale: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(n_steps, channels, 1, 1))
        self.log_std = nn.Parameter(torch.zeros(n_steps, channels, 1, 1))
        matrices = [nn.init.orthogonal_(torch.empty(channels, channels)) for _ in range(n_steps)]
        self.weight = nn.Parameter(torch.stack(matrices)[..., None, None])
        self.affines = nn.ModuleList(
            _Affine(channels // 2, [width, width], max_log_scale) for _ in range(n_steps)
        )

    def generate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det, inverse = self._log_det(x), torch.linalg.inv(self.weight[..., 0, 0])[..., None, None]
        for i, affine in reversed(list(enumerate(self.affines))):
            kept, moved = x.chunk(2, 1)
            log_scale, shift = affine(kept)
            x = conv2d(torch.cat([kept, moved * log_scale.exp() + shift], 1), inverse[i])
            x = x * self.log_std[i].exp() + self.mean[i]
            log_det = log_det + log_scale.sum((1, 2, 3))
        return x, log_det

    def invert(self, x: Tensor, initialise: bool = False) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for i, affine in enumerate(self.affines):
            if initialise:
                self._initialise(i, x)
            x = conv2d((x - self.mean[i]) * (-self.log_std[i]).exp(), self.weight[i])
            kept, moved = x.chunk(2, 1)
            log_scale, shift = affine(kept)
            x = torch.cat([kept, (moved - shift) * (-log_scale).exp()], 1)
            log_det = log_det - log_scale.sum((1, 2, 3))
        return x, log_det - self._log_det(x)

    def _initialise(self, i: int, x: Tensor) -> None:
        std, mean = torch.std_mean(x, (0, 2, 3), correction=0)
        if not std.min() > 0:
            raise ValueError(
                "a channel is constant over the batch: its scale cannot be set. Use more data, and "
                "dequantise images of integer levels"
            )
        self.mean[i, :, 0, 0] = mean
        self.log_std[i, :, 0, 0] = std.log()

    def _log_det(self, x: Tensor) -> Tensor:
        """Of all actnorms and matrices, from noise to image."""
        matrices = torch.linalg.slogdet(self.weight[..., 0, 0]).logabsdet
        return x[0, 0].numel() * (self.log_std.sum() - matrices.sum())


class _Affine(nn.Module):
    """Log-scale and shift of some channels, decided by as many others; all 0 at first."""

    def __init__(self, channels: int, hidden: Sequence[int], max_log_scale: float) -> None:
        super().__init__()
        self.max_log_scale = max_log_scale
        layers: list[nn.Module] = []
        n_in, kernel = channels, 3
        for width in hidden:
            layers += [nn.Conv2d(n_in, width, kernel, padding="same"), nn.ReLU()]
            n_in, kernel = width, 1
        last = nn.Conv2d(n_in, 2 * channels, 3, padding="same")
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.net = nn.Sequential(*layers, last)

    def forward(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(kept).chunk(2, 1)
        return self.max_log_scale * torch.tanh(log_scale / self.max_log_scale), shift
