"""Data sets of the Hugging Face hub, or of a folder laid out like it."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from ebmlearn.data import cache
from ebmlearn.data.decode import collect, open_image
from ebmlearn.data.images import Images, area_average, check_size
from ebmlearn.data.sources import Source, local_files
from ebmlearn.data.stream import Table, rows


def from_hub(
    repo: str,
    *,
    image: str,
    label: str | None = None,
    split: str = "train",
    config: str | None = None,
    size: int | None = None,
    channels: int | None = None,
    background: float | None = None,
    n: int | None = None,
) -> Images:
    """Load the images of any data set of the Hugging Face hub that holds them itself (in parquet files).

    Looked for in the places of `ebmlearn.data.load`: ``EBMLEARN_DATA``, where the files of a set lie in
    ``<folder>/<repo>/<config>`` (without ``config`` in ``<folder>/<repo>/data``), the cache, the hub. The
    images pass the checks of `ebmlearn.data.from_folder`.

    Args:
        repo: Id on the hub, such as ``"owner/name"``.
        image: Name of the column that holds the images.
        label: Name of the column that holds the classes, whole numbers >= 0; None: all are of class 0.
        split: Name of the split.
        config: Name of the configuration, for a set that has several.
        size, channels, background: As for `ebmlearn.data.from_folder`.
        n: Only the first n images, in the order of the split; no more than these are fetched. None: all.

    Raises:
        ValueError: The set holds something else; there is no such split or configuration; an argument is out
            of range.
        OSError: A file of the folder, or an image, is damaged.
        ConnectionError: The set is neither in the folder nor in the cache, and the hub cannot be read.
        ImportError: An optional dependency is missing.
    """
    found = at_most(
        n,
        repo=repo,
        image=image,
        label=label,
        split=split,
        config=config,
        size=size,
        channels=channels,
        background=background,
    )
    if n is not None and n > len(found.x):
        raise ValueError(f"n is {n:,}, but split {split!r} of {repo} holds only {len(found.x):,} images")
    return found


def at_most(
    n: int | None,
    *,
    repo: str,
    image: str,
    label: str | None,
    split: str,
    config: str | None,
    size: int | None,
    channels: int | None,
    background: float | None = None,
) -> Images:
    """`from_hub`, but all images where there are fewer than n."""
    check_size(size, channels, n, background)
    _check_names(repo, split, config)
    # Where a set has one configuration its files lie in the folder `data`.
    folders = ("data", "default", "") if config is None else (config,)
    table = Table(
        repo, config, split, image, () if label is None else (label,), None, local_files(repo, folders, split)
    )
    key = (*table[:-1], size, channels, background)

    def read() -> tuple[np.ndarray, np.ndarray]:
        labels: list[np.ndarray] = []

        def images() -> Iterator[tuple[str, bytes]]:
            for where, content, y in rows(table, n):
                labels.append(y)
                yield where, content

        x = collect(images(), size, channels, background)
        if not len(x):
            raise ValueError(f"split {split!r} of {repo} holds no image")
        return x.numpy(), np.stack(labels)

    name = f"{repo.replace('/', '--')}-{split}"
    x, y = cache.through(cache.entry(key, name, table.files), n, read, cache.check_images)
    labels = torch.from_numpy(y[:n])
    return Images(
        torch.from_numpy(x[:n]), labels[:, 0] if label else torch.zeros(len(labels), dtype=torch.int64)
    )


def read_parquet(
    source: Source, split: str, n: int | None, files: list[Path]
) -> tuple[np.ndarray, np.ndarray]:
    """Levels (N, C, side, side) uint8 and labels (N, len(source.labels)) uint8: the first n images, or all.

    Reads ``files`` when there are any, else the hub. Both are streamed: ``datasets`` writes no copy, and
    fetches no more than the row groups that hold the first n images.

    Raises:
        OSError: a local file, or an image, is damaged.
        ConnectionError: the set is in no local folder, and the hub cannot be read.
        ValueError: columns, labels or image shapes differ from what ``SOURCES`` says.
    """
    channels, height, width = source.shape
    expected = ("L" if channels == 1 else "RGB", height, width)
    table = Table(source.repo, source.config, split, source.image, source.labels, source.n_classes, files)
    # in place: a list of many small arrays, and then their stack, took twice the memory
    total = source.splits[split] if n is None else n
    levels = np.empty((total, channels, source.side, source.side), np.uint8)
    ys = np.empty((total, len(source.labels)), np.uint8)
    done = 0
    for where, content, labels in rows(table, n):
        image = np.asarray(open_image(content, where, expected))
        x = image[None] if channels == 1 else image.transpose(2, 0, 1)
        if done == len(levels):  # this copy of the set is larger than the one that is known
            levels, ys = (np.concatenate([known, np.empty_like(known)]) for known in (levels, ys))
        levels[done] = x if source.crop is None else _crop_and_shrink(x, source.crop, source.side)
        ys[done] = labels
        done += 1
    if not done:
        raise ValueError(f"split {split!r} of {source.repo} holds no image in {files or 'the hub'}")
    return levels[:done], ys[:done]


def _check_names(repo: str, split: str, config: str | None) -> None:
    """They become parts of paths: nothing in them may lead elsewhere."""
    part = r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.+-]*"
    if not isinstance(repo, str) or not re.fullmatch(f"{part}/{part}", repo):
        raise ValueError(f"repo is {repo!r}; expected the id of a set on the hub, such as 'owner/name'")
    for name, value in (("split", split), *((("config", config),) if config is not None else ())):
        if not isinstance(value, str) or not re.fullmatch(part, value):
            raise ValueError(f"{name} is {value!r}; expected a name of letters, numbers and any of _ . + -")


def _crop_and_shrink(x: np.ndarray, crop: int, side: int) -> np.ndarray:
    """The central square of (C, H, W) levels, area averaged and rounded to the nearest level."""
    top, left = (x.shape[1] - crop) // 2, (x.shape[2] - crop) // 2
    square = torch.from_numpy(
        x[None, :, top : top + crop, left : left + crop].copy()
    )  # Pillow's is read-only
    return area_average(square, side)[0].round().to(torch.uint8).numpy()
