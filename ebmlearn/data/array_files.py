"""Arrays in files, of which nothing is run and nothing is unpacked that is larger than the file says."""

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from ebmlearn.data.checks import open_regular

SUFFIXES = (".npy", ".npz", ".pt")
#: A packed file that says it holds more bytes than this is not unpacked.
MAX_UNPACKED = 2**33


def read(path: Path, name: str) -> tuple[Any, Any]:
    """Images and labels of a file; the latter may be None."""
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"{name} ends in {kind!r}; expected a file {', '.join(SUFFIXES)}")
    with open_regular(path) as file:
        try:
            if kind == ".npy":
                return _npy(file, os.fstat(file.fileno()).st_size, name), None
            with zipfile.ZipFile(file) as packed:
                total = sum(entry.file_size for entry in packed.infolist())
                if total > MAX_UNPACKED:
                    raise ValueError(
                        f"{name} unpacks to {total:,} bytes; expected at most {MAX_UNPACKED:,}: use .npy"
                    )
                # A hidden entry is a loss in silence, and torch compares no checksum.
                file.seek(-22, os.SEEK_END)
                end = file.read()
                if end[:4] != b"PK\5\6" or int.from_bytes(end[10:12], "little") != len(packed.infolist()):
                    raise zipfile.BadZipFile("its list of contents is not whole")
                if (bad := packed.testzip()) is not None:
                    raise zipfile.BadZipFile(f"the checksum of {bad!r} does not match")
                if kind == ".npz":
                    return _npz(packed, name)
            file.seek(0)
            return _pt(file, total, name)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, UnicodeError) as error:
            written = "numpy.savez" if kind == ".npz" else "torch.save"
            raise OSError(
                f"cannot read {name}: it is damaged, or was not written by {written} ({error})"
            ) from error


def _npy(file: IO[bytes], size: int, name: str) -> np.ndarray:
    """An array, whose header is compared with the size of the file before memory is asked for."""
    damaged = f"cannot read {name}: it is damaged, or was not written by numpy.save"
    try:
        version = np.lib.format.read_magic(file)
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
    except Exception as error:
        raise OSError(f"{damaged} ({error})") from error
    if dtype.kind not in "buif":
        found = "pickled objects, which could run code" if dtype.hasobject else f"values of the dtype {dtype}"
        raise ValueError(f"{name} holds {found}; expected numbers")
    held, wanted = size - file.tell(), math.prod(shape) * dtype.itemsize
    if held != wanted:
        raise OSError(f"{damaged}: {held:,} bytes of data where the shape {shape} has {wanted:,}")
    try:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:
        raise OSError(f"{damaged} ({error})") from error


def _npz(packed: zipfile.ZipFile, name: str) -> tuple[Any, Any]:
    entries = {entry.filename: entry for entry in packed.infolist()}
    twice = len(entries) < len(packed.infolist())
    if "x.npy" not in entries or not entries.keys() <= {"x.npy", "y.npy"} or twice:
        found = ", ".join(repr(entry.removesuffix(".npy")) for entry in list(entries)[:5])
        raise ValueError(
            f"{name} holds {found or 'nothing'}; expected the images x and, perhaps, their labels y"
        )
    arrays = []
    for entry in entries.values():
        with packed.open(entry) as file:
            arrays.append(_npy(file, entry.file_size, f"{name}[{entry.filename[0]!r}]"))
    held = dict(zip(entries, arrays, strict=True))
    return held["x.npy"], held.get("y.npy")


def _pt(file: IO[bytes], total: int, name: str) -> tuple[Any, Any]:
    try:
        held = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # its text advises to run what the file says, which is not ours to repeat
        raise ValueError(
            f"{name} is damaged, or holds something else than plain tensors, which could run code and is not"
            " loaded. Expected what torch.save writes of a tensor, of (x, y) or of {'x': x, 'y': y}"
        ) from error
    if isinstance(held, Tensor):
        held = (held,)
    elif isinstance(held, dict) and held.keys() in ({"x"}, {"x", "y"}):
        held = tuple(held[key] for key in ("x", "y") if key in held)
    if not isinstance(held, tuple) or len(held) not in (1, 2) or not all(isinstance(v, Tensor) for v in held):
        found = f"a dictionary of {list(held)[:5]}" if isinstance(held, dict) else f"a {type(held).__name__}"
        raise ValueError(
            f"{name} holds {found}; expected a tensor, a tuple (x, y) or a dictionary of x and y"
        )
    if sum(v.numel() * v.element_size() for v in held) > total:
        raise ValueError(f"{name} says more than it holds (expanded tensors): save x.contiguous()")
    return held[0], held[1] if len(held) == 2 else None
