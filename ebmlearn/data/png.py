"""Whether a PNG is whole: Pillow compares no checksum of pixels, and makes rows that are missing black."""

import struct
import zlib

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
# First column, first row, step in columns, step in rows: of all pixels, and of the seven passes of Adam7.
_PLAIN = ((0, 0, 1, 1),)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def check_png(content: bytes) -> None:
    """Compare the checksum of each chunk, and the number of bytes that the pixels unpack to.

    The size of the image is taken to be checked: no more is unpacked than it has pixels.

    Raises:
        ValueError: If one does not match, or something is missing.
    """
    at, kind, pixels, head = 8, b"", [], b""
    while kind != b"IEND":
        if at + 12 > len(content):
            raise ValueError("its end is missing")
        length, kind = struct.unpack_from(">I4s", content, at)
        inside = memoryview(content)[at + 4 : at + 8 + length]
        (wanted,) = (
            struct.unpack_from(">I", content, at + 8 + length) if at + 12 + length <= len(content) else (-1,)
        )
        if zlib.crc32(inside) != wanted:
            raise ValueError(f"the checksum of its part {kind!r} does not match")
        if (kind == b"IHDR") != (at == 8):
            raise ValueError("its header is not where it should be")
        head = bytes(inside[4:]) if at == 8 else head
        pixels += [inside[4:]] if kind == b"IDAT" else []
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    expected = 0
    for left, top, across, down in _PASSES if interlaced else _PLAIN:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:  # each row has a byte for its filter
            expected += rows * (1 + (columns * depth * _SAMPLES[colour] + 7) // 8)
    found = len(zlib.decompressobj().decompress(b"".join(pixels), expected))
    if found != expected:
        raise ValueError(f"its pixels unpack to {found:,} bytes, not {expected:,}")
