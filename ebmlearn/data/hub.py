"""Data sets of the Hugging Face hub, or of a folder laid out like it: parquet, streamed by ``datasets``."""

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np
import torch

from ebmlearn.data import cache
from ebmlearn.data.checks import require, whole_labels
from ebmlearn.data.decode import collect, open_image
from ebmlearn.data.images import Images, area_average, check_size
from ebmlearn.data.sources import Source, local_files


class Table(NamedTuple):
    """Columns of one split on the hub, or of the files of it that are here.

    Attributes:
        repo, config, split: what identifies it; ``config=None``: the only one.
        image, labels: names of the columns.
        n_classes: labels are 0 to n_classes - 1; None: unknown.
        files: the local files; none: the hub is read.
    """

    repo: str
    config: str | None
    split: str
    image: str
    labels: tuple[str, ...]
    n_classes: int | None
    files: list[Path]


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

    Looked for in the places of `load`: ``EBMLEARN_DATA``, as ``<folder>/<repo>/<config>/train-00000-of-
    00001.parquet`` (without ``config`` as ``<folder>/<repo>/data/...``), the cache, the hub. The images pass
    the checks of `from_folder`.

    Args:
        repo: Id on the hub, such as ``"owner/name"``.
        image: Name of the column that holds the images.
        label: Name of the column that holds the classes, whole numbers >= 0; None: all are of class 0.
        split: Name of the split.
        config: Name of the configuration, for a set that has several.
        size, channels, background: As for `from_folder`.
        n: Only the first n images, in the order of the split; no more than these are fetched. None: all.

    Raises:
        ValueError: The set holds something else; there is no such split or configuration; an argument is out
            of range.
        OSError: A file of the folder, or an image, is damaged.
        ConnectionError: The set is neither in the folder nor in the cache, and the hub cannot be read.
        ImportError: An optional dependency is missing.
    """
    check_size(size, channels, n)
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

    def check(x: np.ndarray, y: np.ndarray) -> None:
        if x.dtype != np.float32 or x.ndim != 4 or not (np.abs(x) <= 1).all() or y.dtype != np.int64:
            raise ValueError(f"images {x.dtype} {x.shape}, labels {y.dtype}, or a number outside of [-1, 1]")

    name = f"{repo.replace('/', '--')}-{split}"
    x, y = cache.through(cache.entry(key, name, table.files), n, read, check)
    if n is not None and n > len(x):
        raise ValueError(f"n is {n:,}, but split {split!r} of {repo} holds only {len(x):,} images")
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
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    for where, content, labels in rows(table, n):
        image = np.asarray(open_image(content, where, expected))
        x = image[None] if channels == 1 else image.transpose(2, 0, 1)
        xs.append(x if source.crop is None else _crop_and_shrink(x, source.crop, source.side))
        ys.append(labels.astype(np.uint8))
    if not xs:
        raise ValueError(f"split {split!r} of {source.repo} holds no image in {files or 'the hub'}")
    return np.stack(xs), np.stack(ys)


def rows(table: Table, n: int | None) -> Iterator[tuple[str, bytes, np.ndarray]]:
    """What messages call a row, the bytes of its image, and its labels (int64, checked)."""
    done = 0
    for file in table.files or [None]:
        start = 0
        for batch in [] if done == n else _batches(table, None if n is None else n - done, file):
            place = file or table.repo
            y = [
                whole_labels(batch[c], f"the labels in column {c!r} of {place}", table.n_classes, start)
                for c in table.labels
            ]
            for i, item in enumerate(batch[table.image]):
                where = f"row {start + i} of {place}"
                content = item.get("bytes") if isinstance(item, dict) else None
                if not isinstance(content, bytes):
                    raise ValueError(
                        f"{where} holds no image in column {table.image!r}, at most the name of a file,"
                        " which is not opened. Download such a set, and give its folder to `from_folder`"
                    )
                yield where, content, np.array([labels[i] for labels in y], dtype=np.int64)
            start += len(batch[table.image])
            done += len(batch[table.image])


def _batches(table: Table, n: int | None, file: Path | None) -> Iterator[dict[str, list[Any]]]:
    """Batches of rows of one local file, or of the hub."""
    datasets = require("datasets")
    require("PIL.Image")
    columns = [table.image, *table.labels]
    options: dict[str, Any] = {"split": table.split, "streaming": True}
    try:
        # Streaming leaves an empty lock file in cache_dir; without it, one in the user's cache for each path.
        with tempfile.TemporaryDirectory() as scratch:
            if file is None:
                _knock(datasets)
                stream = datasets.load_dataset(table.repo, table.config, cache_dir=scratch, **options)
            else:
                data_files = {table.split: escape(str(file))}
                stream = datasets.load_dataset("parquet", data_files=data_files, cache_dir=scratch, **options)
    except Exception as error:
        raise _unreadable(table, file, error) from error
    found = stream.column_names or columns
    if missing := [c for c in columns if c not in found]:
        raise ValueError(f"{file or table.repo} lacks the columns {missing}; it has {found}")
    try:
        stream = stream.select_columns(columns).cast_column(table.image, datasets.Image(decode=False))
        yield from (stream if n is None else stream.take(n)).iter(batch_size=500)
    except Exception as error:
        raise _unreadable(table, file, error) from error


def _knock(datasets: Any) -> None:
    """Ask for the hub once: ``datasets`` would try for half a minute before it says that there is no network.

    Raises:
        OSError: It cannot be reached. Behind a proxy, or when told to stay offline, nothing is asked.
    """
    address = urlsplit(datasets.config.HF_ENDPOINT)
    if (
        not datasets.config.HF_HUB_OFFLINE
        and address.scheme not in getproxies()
        and "all" not in getproxies()
    ):
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=10).close()


def _check_names(repo: str, split: str, config: str | None) -> None:
    """They become parts of paths: nothing in them may lead elsewhere."""
    part = r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.+-]*"
    if not isinstance(repo, str) or not re.fullmatch(f"{part}/{part}", repo):
        raise ValueError(f"repo is {repo!r}; expected the id of a set on the hub, such as 'owner/name'")
    for name, value in (("split", split), ("config", config)):
        if value is not None and (not isinstance(value, str) or not re.fullmatch(part, value)):
            raise ValueError(f"{name} is {value!r}; expected a name of letters, numbers and any of _ . + -")


def _unreadable(table: Table, file: Path | None, error: Exception) -> Exception:
    cause = f"{type(error).__name__}: {error}"
    if file is not None:
        return OSError(
            f"cannot read {file} ({cause}). The file is damaged or cut off: delete it and copy it again from"
            f" https://huggingface.co/datasets/{table.repo}"
        )
    if isinstance(error, ValueError):  # the hub answered: there is no such split, or several configurations
        return ValueError(
            f"cannot load split {table.split!r} of {table.repo}, config {table.config!r}: {error}"
        )
    root = os.environ.get("EBMLEARN_DATA", "")
    wanted = f"{table.repo}/{table.config or 'data'}/{table.split}-00000-of-*.parquet"
    offline = [v for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(v)]
    return ConnectionError(
        f"cannot load split {table.split!r} of {table.repo}. Looked in (1) the folder EBMLEARN_DATA: "
        + (f"no {Path(root, wanted)}" if root else "the variable is not set")
        + f"; (2) the Hugging Face hub: {cause}. Without network, copy {wanted} from the hub into a folder"
        " and let EBMLEARN_DATA name that folder. With network, unset HF_HUB_OFFLINE and HF_DATASETS_OFFLINE"
        f" (set now: {', '.join(offline) or 'neither'})"
    )


def _crop_and_shrink(x: np.ndarray, crop: int, side: int) -> np.ndarray:
    """The central square of (C, H, W) levels, area averaged and rounded to the nearest level."""
    top, left = (x.shape[1] - crop) // 2, (x.shape[2] - crop) // 2
    square = torch.from_numpy(
        x[None, :, top : top + crop, left : left + crop].copy()
    )  # Pillow's is read-only
    return area_average(square, side)[0].round().to(torch.uint8).numpy()
