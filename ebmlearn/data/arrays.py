"""Images that are an array already, in memory or in a file."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebmlearn.data.array_files import read
from ebmlearn.data.checks import whole_labels
from ebmlearn.data.images import (
    Images,
    area_average,
    central_square,
    check_size,
    spread,
    to_unit,
    warn_enlarged,
)


def from_array(
    x: Tensor | np.ndarray | str | Path,
    y: Tensor | np.ndarray | None = None,
    *,
    size: int | None = None,
    channels: int | None = None,
    n: int | None = None,
) -> Images:
    """Make images of an array, a tensor or a file that holds one.

    ================  ===================================================================================
    ``FILE.npy``      the images
    ``FILE.npz``      the images as ``x``, their labels as ``y`` or none
    ``FILE.pt``       of ``torch.save``: a tensor, a tuple ``(x, y)``, or a dictionary of ``x`` and ``y``
    ================  ===================================================================================

    Nothing in a file is run: pickled objects are refused.

    Args:
        x: Images (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3; or the path of a file. uint8 are
            levels from 0 to 255 and become [-1, 1]; floating-point numbers must lie in [-1, 1].
        y: Labels (N,), whole numbers >= 0; None: those of the file, else 0 everywhere.
        size, channels, n: As for `ebmlearn.data.from_folder`; grey is not rounded.

    Raises:
        OSError: The file cannot be read or is damaged.
        ValueError: The file holds something else; a shape, a dtype or a range is none of those above, or one
            that could be taken in two ways; an argument is out of range.
    """
    check_size(size, channels, n)
    name = "x"
    if isinstance(x, str | Path):
        name = repr(str(x))
        x, inside = read(Path(x), name)
        if y is not None and inside is not None:
            raise ValueError(f"y is given, and {name} holds labels too; expected one of them")
        y = inside if y is None else y
    images = _images(_tensor(x, name), name)
    labels = torch.zeros(len(images), dtype=torch.int64) if y is None else _labels(y, len(images))
    chosen = torch.from_numpy(spread(len(images), n))
    parts = [_finished(part, size, channels) for part in images[chosen].split(500)]
    if size is not None and min(images.shape[-2:]) < size:
        warn_enlarged([f"of {images.shape[-2]} x {images.shape[-1]}"] * len(chosen), len(chosen), size)
    return Images(torch.cat(parts), labels[chosen])


def _finished(x: Tensor, size: int | None, channels: int | None) -> Tensor:
    x = to_unit(x) if x.dtype == torch.uint8 else x.to(torch.float32, copy=True)
    if channels == 1 and x.shape[1] == 3:
        x = torch.einsum("nchw,c->nhw", x, torch.tensor([0.299, 0.587, 0.114]))[:, None].clamp(-1, 1)
    elif channels == 3 and x.shape[1] == 1:
        x = x.repeat(1, 3, 1, 1)
    return x if size is None else area_average(central_square(x), size)


def _tensor(x: Any, name: str) -> Tensor:
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "buif" or x.dtype.itemsize > 8:
            raise ValueError(f"{name} has the dtype {x.dtype}; expected uint8 or floating-point numbers")
        x = torch.from_numpy(np.array(x, dtype=x.dtype.newbyteorder("="), order="C"))
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is a {type(x).__name__}; expected an array, a tensor or the path of a file")
    if x.layout != torch.strided or x.is_quantized or x.device.type == "meta":
        raise ValueError(f"{name} is no plain tensor of numbers, but {x.layout}, {x.dtype} on {x.device}")
    return x.detach().cpu()


def _images(x: Tensor, name: str) -> Tensor:
    """(N, C, H, W), with dtype and range checked."""
    x = _with_channels(x, name)
    if not x.numel():
        raise ValueError(f"{name} has the shape {tuple(x.shape)}: no image, or no pixel in it")
    if x.dtype == torch.uint8:
        return x
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise ValueError(
            f"{name} has the dtype {x.dtype}; expected uint8 levels from 0 to 255, or floating-point numbers"
            " in [-1, 1]. Levels from 0 to 255 are converted by x.astype('uint8'), or x.to(torch.uint8)"
        )
    low, high = (x.min().item(), x.max().item())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} holds NaN or infinity; expected numbers in [-1, 1]")
    if low >= 0 and high > 0:
        top = "1" if high <= 1 else "255" if high <= 255 else f"{high:.6g}"
        raise ValueError(
            f"{name} lies in [{low:.6g}, {high:.6g}]; expected numbers in [-1, 1], of which some are below"
            f" 0. If 0 is black and {top} is white, give 2 * x / {top} - 1"
        )
    if low < -1 or high > 1:
        raise ValueError(
            f"{name} lies in [{low:.6g}, {high:.6g}]; expected numbers in [-1, 1], black to white"
        )
    return x


def _with_channels(x: Tensor, name: str) -> Tensor:
    shape, colours = tuple(x.shape), (1, 3)
    wanted = "expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1 or 3"
    if x.ndim == 3 and shape[2] not in colours and shape[0] != 3:
        return x[:, None]
    if x.ndim == 3:
        raise ValueError(
            f"{name} has the shape {shape}, which could be one colour image or several grey ones; {wanted}:"
            " give x[None] for one image, x[:, None] for several grey ones"
        )
    if x.ndim != 4:
        raise ValueError(f"{name} has the shape {shape}; {wanted}")
    first, last = shape[1] in colours, shape[3] in colours
    if first and last:
        raise ValueError(f"{name} has the shape {shape}, whose channels could be the second or the last axis")
    if not first and not last:
        alpha = ". Of 4 channels the last is transparency: leave it out" if 4 in (shape[1], shape[3]) else ""
        raise ValueError(f"{name} has the shape {shape}; {wanted}{alpha}")
    return x if first else x.permute(0, 3, 1, 2)


def _labels(y: Any, n: int) -> Tensor:
    if isinstance(y, Tensor):
        y = _tensor(y, "y")
        y = (y.double() if y.is_floating_point() else y).numpy()
    y = whole_labels(y, "the labels y")
    if y.shape != (n,):
        raise ValueError(
            f"y has the shape {y.shape}, for {n:,} images; expected ({n},), the number of the class of each"
            " (of one-hot labels y.argmax(1))"
        )
    return torch.from_numpy(y)
