"""From the bytes of PNG and JPEG files to integer levels, and to tensors.

Files are taken to be hostile: no other decoder of Pillow is ever started, and format, size and mode are
checked in the header, before a pixel is decoded.
"""

import io
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebmlearn.data.checks import require
from ebmlearn.data.images import area_average, central_square, to_unit, warn_enlarged
from ebmlearn.data.png import check_png

#: More pixels than this are refused, width times height: decoded they would be a quarter of a gigabyte.
MAX_PIXELS = 80_000_000
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_CONVERT = "open it in an image editor and save it as PNG in RGB with 8 bits a channel"


def open_image(content: bytes, where: str, expected: tuple[str, int, int] | None = None) -> Any:
    """An image of Pillow, decoded whole.

    Args:
        content: Of a PNG or JPEG file.
        where: What messages call it.
        expected: The only (mode, height, width) that passes; None: any that `levels` can take.

    Raises:
        OSError: If it is no PNG or JPEG, or damaged: the checksums of a PNG are compared, a JPEG has none.
        ValueError: If its size or its mode is none of those expected.
    """
    pil = require("PIL.Image")

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they would say is checked below, or refused
            image = pil.open(io.BytesIO(content), formats=("PNG", "JPEG"))
    except pil.DecompressionBombError as error:
        raise ValueError(f"{where} is too large: {error}") from error
    except Exception as error:
        known = content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
        what = (
            "it is damaged or cut off" if known else "it is no PNG or JPEG image (its content, not its name)"
        )
        raise OSError(f"cannot read {where}: {what}") from error
    _check_header(image, content, where, expected)
    try:
        if image.format == "PNG":
            check_png(content)
        image.load()
        if expected is None:
            image = require("PIL.ImageOps").exif_transpose(image)  # as viewers show it
    except MemoryError:
        raise
    except Exception as error:
        raise OSError(f"cannot read {where}: it is damaged or cut off ({error})") from error
    return image


def _check_header(image: Any, content: bytes, where: str, expected: tuple[str, int, int] | None) -> None:
    found = (image.mode, image.height, image.width)
    if expected is not None and found != expected:
        raise ValueError(f"{where} is of (mode, height, width) {found}; expected {expected}")
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"{where} is too large: {image.width} x {image.height} pixels; expected at most {MAX_PIXELS:,}"
        )
    if image.mode not in _MODES or (image.format == "PNG" and content[24] == 16):
        odd = f"the mode {image.mode!r}" if image.mode not in _MODES else "16 bits a channel"
        raise ValueError(f"{where} has {odd}; expected grey, RGB or a palette of 8 bits: {_CONVERT}")
    if image.format == "PNG" and getattr(image, "n_frames", 1) > 1:
        raise ValueError(
            f"{where} is an animation of {image.n_frames} pictures; expected one: save its frames"
        )


def levels(image: Any, where: str, channels: int | None, background: float | None) -> np.ndarray:
    """Levels (C, H, W) of an image, in 0 ... 255; uint8, or float32 where a background shows through.

    The rules are those of `ebmlearn.data.from_folder`.

    Raises:
        ValueError: If it is transparent and there is no background.
    """
    grey = channels == 1 or (channels is None and image.mode in ("1", "L", "LA"))
    alpha = None
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
    colour = np.asarray(image.convert("RGB").convert("L" if grey else "RGB"))
    planes = colour[None] if grey else colour.transpose(2, 0, 1)
    if alpha is None or alpha.min() == 1:
        return planes
    if background is None:
        raise ValueError(
            f"{where} is transparent in places: say what shines through, `background=` from -1 (black) to 1"
            " (white), or save it without transparency"
        )
    return alpha * planes + (1 - alpha) * np.float32((background + 1) * 127.5)


def collect(
    images: Iterable[tuple[str, bytes]], size: int | None, channels: int | None, background: float | None
) -> Tensor:
    """Decoded images (N, C, H, W) in [-1, 1], from pairs of what messages call them and their content.

    Raises:
        OSError, ValueError: As `open_image` and `levels`; and if without ``size`` their shapes differ.
    """
    done: list[Tensor] = []
    smaller: list[str] = []
    first = ""
    for where, content in images:
        planes = torch.from_numpy(levels(open_image(content, where), where, channels, background).copy())
        if size is not None:
            planes = central_square(planes)
            if planes.shape[-1] < size:
                smaller.append(where)
            # a plane at a time: photographs are large, and this is done in float64
            planes = torch.cat([area_average(to_unit(plane[None, None]), size)[0] for plane in planes])
        else:
            planes = to_unit(planes)
        first = first or where
        if done and planes.shape != done[0].shape:
            advice = "channels=1 or channels=3" if len(planes) != len(done[0]) else "size="
            raise ValueError(
                f"{first} has the shape (C, H, W) = {tuple(done[0].shape)} and {where} has"
                f" {tuple(planes.shape)}; expected one shape for all: give {advice}"
            )
        done.append(planes)
    if size is not None:
        warn_enlarged(smaller, len(done), size)
    return torch.stack(done) if done else torch.empty(0)
