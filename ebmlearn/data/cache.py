"""Decoded images and texts kept on disk: files that any later load can do without."""

import hashlib
import os
import warnings
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

# Part of the key of an entry: raise it when the decoding, or the layout of an entry, changes.
_FORMAT = 1

Arrays = tuple[np.ndarray, np.ndarray]


def folder() -> Path:
    """The folder of the cache, which may not exist yet."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.path.expanduser(os.environ.get("EBMLEARN_CACHE") or Path(user_cache, "ebmlearn")))


def entry(decoding: Hashable, name: str, files: list[Path]) -> Path:
    """The cache file of a split, named so; its name changes with the source files and the way of decoding."""
    stamps = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    key = hashlib.sha256(repr((_FORMAT, decoding, stamps)).encode()).hexdigest()[:16]
    return folder() / f"{name}-{key}.npz"


def holds(path: Path, n: int | None) -> bool:
    """Whether the entry is whole enough for a load of the first n images (None: of all)."""
    try:
        with open(path, "rb") as file, np.load(file) as held:
            return _serves(held, n)
    except Exception:
        return False


def through(
    path: Path, n: int | None, decode: Callable[[], Arrays], check: Callable[[np.ndarray, np.ndarray], None]
) -> Arrays:
    """At least the first n images (None: all) and labels of the entry; else ``decode()``, then kept.

    A damaged entry is decoded again, an entry that cannot be written is done without, each with a warning.
    What ``check`` refuses, with a ValueError, is damaged too.
    """
    try:
        if path.exists():
            with open(path, "rb") as file, np.load(file) as held:
                if _serves(held, n):
                    levels, labels = held["levels"], held["labels"]
                    if not len(levels) == len(labels) == int(held["count"]):
                        raise ValueError(f"{len(levels)} images, {len(labels)} labels")
                    check(levels, labels)
                    return levels, labels
    # Each array has a checksum; where a byte is wrong decides which of a dozen errors of zipfile and numpy
    # comes of it.
    except Exception as error:
        warnings.warn(
            f"the cache file {path} is damaged ({error!r}): decoding its images again", stacklevel=3
        )
    levels, labels = decode()
    complete = n is None or len(levels) < n
    keep(
        path,
        lambda file: np.savez(file, levels=levels, labels=labels, count=len(levels), complete=complete),
        stacklevel=4,
    )
    return levels, labels


def check_images(x: np.ndarray, y: np.ndarray) -> None:
    """For `through`, where images are kept as `ebmlearn.data.Images` has them.

    Raises:
        ValueError: If they are not (N, C, H, W) float32 in [-1, 1], with labels in int64.
    """
    if x.dtype != np.float32 or x.ndim != 4 or not (np.abs(x) <= 1).all() or y.dtype != np.int64:
        raise ValueError(f"images {x.dtype} {x.shape}, labels {y.dtype}, or a number outside of [-1, 1]")


def keep(path: Path, write: Callable[[IO[bytes]], object], *, stacklevel: int = 3) -> None:
    """Have ``write`` fill a file of the cache; where that is impossible, warn and go on."""
    try:
        _write(path, write)
    except OSError as error:
        warnings.warn(
            f"cannot keep {path.name} in {path.parent} ({error}), so the next load fetches or decodes it"
            " again; let EBMLEARN_CACHE name a folder that can be written",
            stacklevel=stacklevel,
        )


def _serves(held: Mapping[str, np.ndarray], n: int | None) -> bool:
    return bool(held["complete"]) or (n is not None and n <= int(held["count"]))


def _write(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes under another name, then renames, so that a crash leaves no half of an entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
