"""What all that reads data needs: optional packages, regular files, labels that are whole numbers."""

import os
import stat
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

#: Larger image files are not read: no image that is accepted needs as much.
MAX_BYTES = 2**28


def require(module: str) -> ModuleType:
    """Imports an optional dependency.

    Raises:
        ImportError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # tqdm.auto, which `datasets` imports, complains in a notebook without ipywidgets
            warnings.filterwarnings("ignore", "IProgress not found")
            return import_module(module)
    except ImportError as error:
        raise ImportError(f"this data set needs {module} ({error}): pip install 'ebmlearn[data]'") from error


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file to be read; a pipe or a device would keep us waiting.

    Raises:
        OSError: If it cannot be read or is no regular file.
    """
    try:
        how = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = open(os.open(path, how), "rb")  # noqa: SIM115
    except OSError as error:
        raise OSError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(f"cannot read {str(path)!r}: it is no regular file, but a pipe, a device or the like")
    return file


def read_bytes(path: Path) -> bytes:
    """The content of a regular file of at most `MAX_BYTES`.

    Raises:
        OSError: As `open_regular`; or if it is larger.
    """
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise OSError(f"cannot read {str(path)!r}: {size:,} bytes; expected at most {MAX_BYTES:,}")
        return file.read()


def whole_labels(values: Any, what: str, n_classes: int | None = None, first: int = 0) -> np.ndarray:
    """Labels as int64, of the shape of ``values``.

    Args:
        values: Numbers.
        what: What messages call them.
        n_classes: Labels run up to ``n_classes - 1``; None: as far as int32.
        first: The number of the first one, for messages.

    Raises:
        ValueError: If one is no whole number in range.
    """
    top = 2**31 if n_classes is None else n_classes
    wanted = f"a whole number from 0 to {top - 1:,}"
    try:
        y = np.atleast_1d(np.asarray(values))
    except ValueError as error:
        raise ValueError(f"{what} are lists of several lengths; expected {wanted} for each image") from error
    if y.dtype.kind not in "biuf":
        odd = next((v for v in y.flat if isinstance(v, bool) or not isinstance(v, int | float)), y.dtype)
        raise ValueError(f"{what} hold {str(odd)[:40]!r}; expected {wanted} for each image")
    wrong = ~((y >= 0) & (y < top) & (y == np.floor(y)))
    if wrong.any():
        i = int(wrong.reshape(len(y), -1).any(1).argmax())
        raise ValueError(f"{what}: number {first + i} is {y[i]}; expected {wanted}")
    return y.astype(np.int64)
