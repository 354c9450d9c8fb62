"""Images of one's own, by the name that a command gets: a folder, a file of an array, or an id on the hub."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ebmlearn.data import cache
from ebmlearn.data.array_files import SUFFIXES
from ebmlearn.data.arrays import from_array
from ebmlearn.data.folder import class_names, from_folder, has_splits, list_files
from ebmlearn.data.hub import at_most
from ebmlearn.data.images import Images, spread
from ebmlearn.data.sources import SOURCES


def resolve(data: str) -> str:
    """A name under which the same data are found from any working directory: paths become absolute.

    Names of the table of `ebmlearn.data` mean these sets; a folder of that name is ``./mnist``.

    Raises:
        FileNotFoundError: If it looks like a path, and there is nothing.
    """
    if data in SOURCES:
        return data
    path = Path(data).expanduser()
    if path.exists():
        return str(path.resolve())
    if path.suffix.lower() in SUFFIXES or data.startswith((".", "/", "~")) or data.count("/") > 1:
        raise FileNotFoundError(f"there is no file or folder {data!r} (looked from {str(Path.cwd())!r})")
    return data


def is_own(data: str) -> bool:
    """Whether `load` reads it: a path, or an id on the hub."""
    return data not in SOURCES and ("/" in data or Path(data).is_absolute())


def load(
    data: str,
    split: str = "train",
    *,
    size: int,
    channels: int,
    n: int | None = None,
    warn: bool = True,
    image: str | None = None,
    label: str | None = None,
) -> Images:
    """Load a split of data of one's own.

    Args:
        data: What `resolve` returns. A folder with the sub-folders ``train`` and ``test`` has these splits;
            any other folder, and a file, is all ``train``. An id on the hub may name a configuration,
            ``owner/name:config``.
        split: Name of the split.
        size, channels: As for `from_folder`.
        n: At most so many images, of a folder or a file spread evenly; None: all.
        warn: Say so where a folder or a file has more.
        image, label: Columns of a set on the hub.

    Raises:
        ValueError: If there is no such split, or a split has other classes than ``train``.
        Exception: What `from_folder`, `from_array` or `from_hub` raise.
    """
    path = Path(data)
    if not path.is_absolute():
        if image is None:
            raise ValueError(
                f"{data} is no file or folder here, so it is taken for an id on the Hugging Face hub. Then"
                " name the column of its images, --image-column, and that of its classes, if any,"
                f" --label-column; https://huggingface.co/datasets/{data} shows them"
            )
        repo, _, config = data.partition(":")
        sizes: dict[str, Any] = {"size": size, "channels": channels}
        return at_most(n, repo=repo, config=config or None, split=split, image=image, label=label, **sizes)
    if image or label:
        raise ValueError(f"the columns of images and labels are named for sets on the hub; {data} is none")
    if path.is_dir() and has_splits(path):
        if split != "train":
            same_classes(path / "train", path / split)
        path = path / split
    elif split != "train":
        raise ValueError(
            f"{data} has no split {split!r}: nothing of it is set aside. Give other images, --test FOLDER or"
            " --test FILE.npy, or put images into sub-folders train and test before training"
        )
    if path.is_dir():
        files = list_files(path)
        total = len(files)
        most = None if n is None else min(n, total)

        def decode() -> tuple[np.ndarray, np.ndarray]:
            decoded = from_folder(path, size=size, channels=channels, n=most)
            return decoded.x.numpy(), decoded.y.numpy()

        # A photograph takes half a second, and is needed again to resume, to evaluate and by other ranks.
        entry = cache.entry(
            ("folder", str(path), size, channels, most), "folder", [file for _, file in files]
        )
        x, y = cache.through(entry, None, decode, cache.check_images)
        images = Images(torch.from_numpy(x), torch.from_numpy(y))
    else:
        images = from_array(path, size=size, channels=channels)
        total = len(images.x)
        chosen = spread(total, None if n is None else min(n, total))
        images = Images(images.x[chosen], images.y[chosen])
    if warn and len(images.x) < total:
        warnings.warn(
            f"{len(images.x):,} of the {total:,} images of {path} are used, spread evenly", stacklevel=3
        )
    return images


def same_classes(train: str | Path, other: str | Path) -> None:
    """Refuse a folder whose classes have other numbers than those trained on; a file knows no names.

    Raises:
        ValueError: If two folders have other sub-folders, or the second holds splits.
    """
    if not Path(other).is_dir():
        return
    second, train = class_names(other), Path(train)
    if train.is_dir():
        train = train / "train" if has_splits(train) else train
        if odd := sorted({*class_names(train)} ^ {*second}):
            raise ValueError(
                f"{str(other)!r} has other classes than {str(train)!r}, so a number would mean another class"
                f" ({', '.join(map(repr, odd[:5]))} in one of them only); expected the same sub-folders"
            )
