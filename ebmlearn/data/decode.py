"""From a source to integer levels: the readers behind ``ebmlearn.data.load``, and area averaging."""

import io
import os
import tempfile
import warnings
from collections.abc import Iterator
from glob import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebmlearn.data.sources import Source


def read_digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Levels (N, 1, 8, 8) uint8 and labels (N, 1) uint8 of scikit-learn's digits, in its order.

    Within each class every fifth image is a test image, so both splits hold the classes and the writers
    (neighbours in the file) in equal proportion, with no random number involved.
    """
    bunch: Any = require("sklearn.datasets").load_digits()
    y = bunch.target.astype(np.uint8)
    rank = np.empty(len(y), dtype=np.int64)
    for c in range(10):
        rank[y == c] = np.arange((y == c).sum())
    chosen = (rank % 5 == 4) == (split == "test")
    return bunch.images.astype(np.uint8)[chosen, None], y[chosen, None]


def read_parquet(
    source: Source, split: str, n: int | None, files: list[Path]
) -> tuple[np.ndarray, np.ndarray]:
    """Levels (N, C, side, side) uint8 and labels (N, len(source.labels)) uint8: the first n images, or all.

    Reads ``files`` when there are any, else the hub. Both are streamed: ``datasets`` writes no copy, and
    fetches no more than the row groups that hold the first n images.

    Raises:
        OSError: a local file is damaged.
        ConnectionError: the set is in no local folder, and the hub cannot be read.
        ValueError: columns or image shapes differ from what ``SOURCES`` says.
    """
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    channels, height, width = source.shape
    expected = ("L" if channels == 1 else "RGB", height, width)
    places: list[Path | None] = [*files] or [None]
    for file in places:
        left = None if n is None else n - sum(map(len, ys))
        if left == 0:
            break
        for images, labels in _batches(source, split, left, file):
            found = {(image.mode, image.height, image.width) for image in images}
            if found != {expected}:
                raise ValueError(
                    f"{file or source.repo} has images of (mode, height, width) {sorted(found)};"
                    f" those of {source.repo} are {expected}"
                )
            x = np.stack(images).reshape(-1, height, width, channels).transpose(0, 3, 1, 2)
            xs.append(x if source.crop is None else _crop_and_shrink(x, source.crop, source.side))
            ys.append(labels)
    if not xs:
        raise ValueError(f"split {split!r} of {source.repo} holds no image in {files or 'the hub'}")
    return np.concatenate(xs), np.concatenate(ys)


def _batches(
    source: Source, split: str, n: int | None, file: Path | None
) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Batches of decoded images (of Pillow) and labels of one local file, or of the hub."""
    datasets, pil = require("datasets"), require("PIL.Image")
    columns = [source.image, *source.labels]
    options: dict[str, Any] = {"split": split, "streaming": True}
    try:
        # Streaming leaves an empty lock file in cache_dir; without it, one in the user's cache for each path.
        with tempfile.TemporaryDirectory() as scratch:
            if file is None:
                stream = datasets.load_dataset(source.repo, source.config, cache_dir=scratch, **options)
            else:
                data_files = {split: escape(str(file))}
                stream = datasets.load_dataset("parquet", data_files=data_files, cache_dir=scratch, **options)
    except Exception as error:
        raise _unreadable(source, split, file, error) from error
    found = stream.column_names or columns
    if missing := [c for c in columns if c not in found]:
        raise ValueError(f"{file or source.repo} lacks the columns {missing}; it has {found}")
    stream = stream.select_columns(columns).cast_column(source.image, datasets.Image(decode=False))
    try:
        for rows in (stream if n is None else stream.take(n)).iter(batch_size=500):
            images = [pil.open(io.BytesIO(item["bytes"])) for item in rows[source.image]]
            for image in images:
                image.load()
            yield images, np.stack([rows[c] for c in source.labels], axis=1).astype(np.uint8)
    except Exception as error:
        raise _unreadable(source, split, file, error) from error


def _unreadable(source: Source, split: str, file: Path | None, error: Exception) -> OSError:
    cause = f"{type(error).__name__}: {error}"
    if file is not None:
        return OSError(
            f"cannot read {file} ({cause}). The file is damaged or cut off: delete it and copy it again from"
            f" https://huggingface.co/datasets/{source.repo}"
        )
    root = os.environ.get("EBMLEARN_DATA", "")
    wanted = f"{source.repo}/{source.config}/{split}-00000-of-*.parquet"
    offline = [v for v in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(v)]
    return ConnectionError(
        f"cannot load split {split!r} of {source.repo}. Looked in (1) the folder EBMLEARN_DATA: "
        + (f"no {Path(root, wanted)}" if root else "the variable is not set")
        + f"; (2) the Hugging Face hub: {cause}. Without network, copy {wanted} from the hub into a folder"
        " and let EBMLEARN_DATA name that folder. With network, unset HF_HUB_OFFLINE and HF_DATASETS_OFFLINE"
        f" (set now: {', '.join(offline) or 'neither'})"
    )


def area_average(x: Tensor, side: int) -> Tensor:
    """Square images (N, C, S, S) reduced to (N, C, side, side), side <= S, float32.

    A new pixel is the mean of the old image over the square that the new pixel covers; an old pixel that is
    covered in part counts with the covered part of its area. No filter, no rounding; where S is a multiple
    of ``side`` this is the mean of blocks. Computed in float64: a constant image stays exactly constant.
    """
    ratio = x.shape[-1] / side
    low = torch.arange(side, dtype=torch.float64)[:, None] * ratio
    old = torch.arange(x.shape[-1], dtype=torch.float64)
    weight = (torch.minimum(low + ratio, old + 1) - torch.maximum(low, old)).clamp(min=0) / ratio
    return torch.cat([(weight @ part.double() @ weight.T).float() for part in x.split(500)])


def _crop_and_shrink(x: np.ndarray, crop: int, side: int) -> np.ndarray:
    """The central square of (N, C, H, W) levels, area averaged and rounded to the nearest level."""
    top, left = (x.shape[2] - crop) // 2, (x.shape[3] - crop) // 2
    square = torch.from_numpy(x[:, :, top : top + crop, left : left + crop])
    return area_average(square, side).round().to(torch.uint8).numpy()


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
